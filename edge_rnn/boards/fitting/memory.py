"""Memory that a model needs on a board, for each way to run it there."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rnn.boards.fitting.program import Program

__all__ = ["PROGRAM_SHARE", "Way", "ways"]

PROGRAM_SHARE = 0.5
"""Maximum share of RAM, and of flash, for a model and its runtime; the rest is for the system and other programs."""

# Resident bytes of a process after its first step, from /proc/self/status, on x86-64 with CPython 3.11, numpy 2.4,
# numba 0.68 and llvmlite 0.50. A process on 64-bit ARM takes about as much, a 32-bit process less.
_COMPILING = 169_000_000
_CACHED = 98_000_000
_LOADER = 9_500_000
_C_PROGRAM = 1_500_000  # almost all of it is libc, the loader and the initial stack; estimated

_STACK = 2_048  # assumed if the code could not be run


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a model on a board.

    Parameters
    ----------
    name
        Name of the way, such as ``"Python + Numba"``.
    ram_bytes, ram_limit
        RAM needed, and half of the board's RAM.
    flash_bytes, flash_limit
        The same for flash; 0 on a board with an operating system.
    """

    name: str
    ram_bytes: int
    ram_limit: int
    flash_bytes: int = 0
    flash_limit: int = 0

    @property
    def fits(self) -> bool:
        """True if RAM and flash stay within their limits."""
        return self.ram_bytes <= self.ram_limit and self.flash_bytes <= self.flash_limit


def ways(program: Program, stack_bytes: int | None) -> tuple[Way, ...]:
    """List the ways to run a model on its board, the most convenient first."""
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
        # Reading a model file and packing its weights briefly takes twice their size.
        found.append(Way("Python + Numba, first start", _COMPILING + 2 * program.weight_bytes, limit))
        found.append(Way("Python, kernels cached", _CACHED + 2 * program.weight_bytes, limit))
    if device.python:
        found.append(Way("Python + built library", _LOADER + code + model, limit))
    found.append(Way("C program + built library", _C_PROGRAM + code + model, limit))
    return tuple(found)
