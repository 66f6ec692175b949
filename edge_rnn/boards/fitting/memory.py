"""What a model takes up on a board, for each way to run it there."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rnn.boards.fitting.program import Program

__all__ = ["PROGRAM_SHARE", "Way", "ways"]

PROGRAM_SHARE = 0.5
"""How much of RAM, and of flash, a model and what runs it may take up: the rest is for the system and others."""

# Resident bytes of a process after its first step, from /proc/self/status, on x86-64 with CPython 3.11, numpy 2.4,
# numba 0.68 and llvmlite 0.50; a process on 64-bit ARM takes about as much, one of 32 bits less.
_COMPILING = 169_000_000
_CACHED = 98_000_000
_LOADER = 9_500_000
_C_PROGRAM = 1_500_000  # of which libc, the loader and the first stack are nearly all; estimated

_STACK = 2_048  # where the code could not be run


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run a model on a board.

    Parameters
    ----------
    name
        What runs: ``"Python + Numba"``.
    ram_bytes, ram_limit
        What that takes up, and half of what there is.
    flash_bytes, flash_limit
        The same of flash; 0 for a board with a system.
    """

    name: str
    ram_bytes: int
    ram_limit: int
    flash_bytes: int = 0
    flash_limit: int = 0

    @property
    def fits(self) -> bool:
        """Whether it takes up no more than it may."""
        return self.ram_bytes <= self.ram_limit and self.flash_bytes <= self.flash_limit


def ways(program: Program, stack_bytes: int | None) -> tuple[Way, ...]:
    """The ways to run a model on its board, from the most comfortable one down."""
    device = program.device
    limit = int(device.ram_bytes * PROGRAM_SHARE)
    code = program.code_bytes
    model = program.weight_bytes + program.state_bytes
    if device.flash_bytes:
        ram = program.state_bytes + (stack_bytes or _STACK)
        flash = code + program.weight_bytes
        return (Way("built library, no system", ram, limit, flash, int(device.flash_bytes * PROGRAM_SHARE)),)
    if device.output == "wasm":
        return (Way("WebAssembly module", code + model, limit),)
    found = []
    if device.numba:
        # A model file is read before its weights are packed: for a moment they are there twice.
        found.append(Way("Python + Numba, first start", _COMPILING + 2 * program.weight_bytes, limit))
        found.append(Way("Python, kernels cached", _CACHED + 2 * program.weight_bytes, limit))
    if device.python:
        found.append(Way("Python + built library", _LOADER + code + model, limit))
    found.append(Way("C program + built library", _C_PROGRAM + code + model, limit))
    return tuple(found)
