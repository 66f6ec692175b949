"""A whole network as one module of machine code with a plain C interface, for boards without Numba or without Python.

The kernels are those of the runtime, called by name; what surrounds them is :mod:`edge_rnn.kernels.program.policy`
again, but the handle is a function's own and dissolves into constants. All that changes lies in memory that the caller
owns, and no address is kept in it: it may be copied as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Handle

__all__ = ["FUNCTIONS", "HEADER_INTS", "STATE_ALIGNMENT_BYTES", "Layout", "Refusal", "State", "compile_library"]

HEADER_INTS = 16
"""int32 before the arena in a state."""

STATE_ALIGNMENT_BYTES = 32
"""A state has to begin at a multiple of this."""

FUNCTIONS = ("state_bytes", "reset", "step", "run", "save", "restore", "set_policy", "refused", "self_test")
"""C functions of a library, each behind the library's name and ``_``."""


class State(IntEnum):
    """What the int32 before the arena mean."""

    MODEL = 0
    """Tells that :data:`FUNCTIONS` ``reset`` of this very library was there."""
    PARITY = 1
    POLICY = 2
    REFUSED = 3


class Refusal(IntEnum):
    """What C functions return beside :class:`edge_rnn.kernels.program.record.Status`."""

    NOT_RESET = 3
    """The state was not reset, or by another library."""
    BAD_STATE = 4
    """The state's address is no multiple of :data:`STATE_ALIGNMENT_BYTES`, or what is to be restored is not finite."""
    BAD_POLICY = 5
    FAILED = 6
    """The self-test: the numbers are not those that they should be."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A network as numbers; see :class:`edge_rnn.streams.plan.Plan`.

    Parameters
    ----------
    operations
        Name of the kernel of each operation of a step.
    records
        ``(2, operations, 16)`` int32.
    weights
        ``(n,)`` float32.
    words
        The numbers of a handle: all but addresses, parity, policy.
    arena_floats
        Length of the arena.
    initial
        ``(n,)`` float32: how the arena begins at the start; zeros follow.
    kept
        ``(n, 3)`` int32: even offset, odd offset and length of all that outlasts a step; held values come first, then
        the last output, which is NaN while there is none.
    tag
        int32 that tells this network from others.
    test_x, test_y
        ``(time, I)`` and ``(time, O)`` float32: samples of the self-test and what is to come out.
    test_tolerance
        By how much it may be off.
    """

    operations: tuple[str, ...]
    records: NDArray[np.int32]
    weights: NDArray[np.float32]
    words: Mapping[Handle, int]
    arena_floats: int
    initial: NDArray[np.float32]
    kept: NDArray[np.int32]
    tag: int
    test_x: NDArray[np.float32]
    test_y: NDArray[np.float32]
    test_tolerance: float

    @property
    def state_bytes(self) -> int:
        """Bytes of a state."""
        return 4 * (HEADER_INTS + self.arena_floats)

    @property
    def kept_floats(self) -> int:
        """How many floats ``save`` writes."""
        return int(self.kept[:, 2].sum())


def compile_library(name: str, layout: Layout, texts: Mapping[str, str], target: Target) -> tuple[str, bytes]:
    """The library of a network.

    Parameters
    ----------
    name
        What the names of C functions begin with.
    layout
        The network.
    texts
        C strings by the name that they are seen under.
    target
        CPU to compile for.

    Returns
    -------
    The optimized LLVM module as text, to be looked at, and a relocatable object.

    Raises
    ------
    CompileError
        The code is not self-contained.
    """
    from edge_rnn.kernels.compile.compiler import compile_module
    from edge_rnn.kernels.entry import object_cache
    from edge_rnn.kernels.standalone.c_functions import c_functions

    functions = {kernel: object_cache.function_of(kernel, target) for kernel in dict.fromkeys(layout.operations)}
    functions |= {f"{name}_{key}": value for key, value in c_functions(name, layout).items()}
    constants = {
        "weights": layout.weights,
        "records": layout.records,
        "initial": layout.initial,
        "kept": layout.kept,
        "test_x": layout.test_x,
        "test_y": layout.test_y,
    }
    lines = [_definition(key, array.tobytes(), 64) for key, array in constants.items()]
    lines += [_definition(key, text.encode() + b"\0", 1) for key, text in texts.items()]
    exports = (*(f"{name}_{key}" for key in FUNCTIONS), *texts)
    machine = target.machine()
    module = compile_module(functions, exports, "\n".join(lines), target, machine)
    return str(module), bytes(machine.emit_object(module))


def _definition(name: str, data: bytes, alignment: int) -> str:
    """LLVM text of a constant."""
    escaped = "\\" + data.hex("\\") if data else ""
    return f'@{name} = constant [{len(data)} x i8] c"{escaped}", align {alignment}'
