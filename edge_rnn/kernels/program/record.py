"""Words that compiled code reads: records (one per operation of a step) and handles (one per stream).

Words of handles and tables have 64 bits in processes of 32 bits too, where an address fills the low half of a word: so
one text of a kernel, compiled on a 64-bit machine, fits both.

A step is a program: a table of function addresses, and for each function a record of int32 with the places of its
weights, inputs, outputs and states. Every state has two slots, old and new, which are swapped after each step: each
operation has two records, for even and for odd steps, so that a cell need not know which it is. A step that must not
count (a NaN came in) is undone by not swapping.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.compile.words import Words
from edge_rnn.typing import F32

__all__ = [
    "FREE",
    "MIXED",
    "NO_WEIGHTS",
    "PLACES",
    "RECORD_INTS",
    "Bank",
    "Handle",
    "Operand",
    "Operation",
    "Packed",
    "Policy",
    "Record",
    "Site",
    "Status",
    "padded",
]

RECORD_INTS = 16
"""int32 in a record; records of a model whose kernels have more places are longer by a multiple of 8."""

PLACES = 8
"""Index of the first place in a record. The text of a generated kernel defines what its places mean; those of any other
kernel are the old and the new slot of each state.
"""


class Record(Words):
    """Layout of a record; offsets count floats, WEIGHTS within the weight block, all others within the arena."""

    WEIGHTS = 0
    X = 1
    N_IN = 2
    OUT = 3
    N_OUT = 4
    BACKWARDS = 5
    """1 if panels are read from last to first: every other step, see :mod:`edge_rnn.kernels.program.sweep`."""
    UNIT_FLOATS = 6
    """Floats of weights for each unit."""


class Handle(Words):
    """Layout of a handle, an array of ``int64_t``, one per stream.

    The first three words never move: loops that users have compiled and cached read them.
    """

    STEP = 0
    """Address of ``int32_t step(handle, x, y)``."""
    INPUT_SIZE = 1
    OUTPUT_SIZE = 2
    FUNCTIONS = 3
    """Address of the table of function addresses; 0 for a stream that steps by its structure's program."""
    OPERATIONS = 4
    """Number of operations in a step."""
    RECORDS_EVEN = 5
    RECORDS_ODD = 6
    """Addresses of the records for even and for odd steps, which a step picks by PARITY."""
    WEIGHTS = 7
    ARENA = 8
    INPUT = 9
    """Offset in the arena of the sample that the step works on."""
    HELD = 10
    """Offset in the arena of each channel's last finite value, under :attr:`Policy.HOLD`."""
    LAST_OUTPUT = 11
    """Offset in the arena of the last output."""
    OUTPUT_EVEN = 12
    OUTPUT_ODD = 13
    """Offsets in the arena of the output of an even and of an odd step."""
    STATES_EVEN = 14
    STATES_ODD = 15
    """Offsets in the arena of the new states of an even and of an odd step, which are adjacent."""
    STATE_FLOATS = 16
    """Number of floats in these states, padding included; 0 if they need not be checked."""
    PARITY = 17
    """0 before an even step, 1 before an odd one."""
    POLICY = 18
    REFUSED = 19
    """Number of samples that were held or skipped."""
    IN_USE = 20
    """:data:`FREE`, the number of the call that is in the stream, or :data:`MIXED`."""
    ADVANCE = 21
    """Address of ``int32_t advance(handle, x, y)``: a step that does not touch IN_USE."""
    RECORD_LENGTH = 22
    """int32 in a record."""


FREE = 0
"""``Handle.IN_USE`` of a stream that is not in use."""
MIXED = -1
"""``Handle.IN_USE`` of a stream that two calls were in at once: its state is invalid until it is reset."""


class Bank(Words):
    """Layout of the table of a bank of streams, an array of ``int64_t``."""

    STEP = 0
    """Address of ``int32_t bank(table, xs, ys)``."""
    COUNT = 1
    """Number of streams."""
    HANDLES = 2
    """Address of a table with the address of each stream's handle."""
    PRESENT = 3
    """Address of a word for each stream: 0 if it takes no part."""
    GROUP = 4
    """Number of streams that the functions in GROUPED take at once."""
    FUNCTIONS = 5
    """Address of a table of functions for a single stream, one per operation."""
    GROUPED = 6
    """Address of a table of functions, one per operation; 0 if there is none for several streams."""
    WHO = 7
    """Address of scratch, a word per stream that takes part: its index times 2, plus 1 if values were held."""
    RECORDS = 8
    """Address of scratch, a word per stream that takes part: address of its current record."""
    ARENAS = 9
    """Address of scratch, a word per stream that takes part: address of its arena."""


class Policy(Words):
    """Policy of a stream for samples that are not finite, or whose outputs are not."""

    RAISE = 0
    HOLD = 1
    SKIP = 2


class Status(Words):
    """Result of a compiled step."""

    DONE = 0
    BAD_SAMPLE = 1
    BAD_OUTPUT = 2
    IN_USE = 3
    """Another call is in the stream; this one changed nothing."""
    MIXED = 4
    """Another call was in the stream at the same time as this one, or as an earlier one."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Weights of one compiled function, in the order in which it reads them.

    Parameters
    ----------
    floats
        ``(n,)`` float32: values of any type, their bytes viewed as float32.
    unit_floats
        Number of floats per unit, or another count that the function needs; 0 if it needs none.
    """

    floats: F32
    unit_floats: int = 0


NO_WEIGHTS = Packed(np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Operand:
    """Compiled function that prepares a vector before a matrix multiplies it.

    Parameters
    ----------
    name
        Name of the compiled function.
    weights
        Its weights.
    floats
        Length of its result in the arena.
    size
        Number of values in the result, for the function that reads it.
    """

    name: str
    weights: Packed
    floats: int
    size: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One compiled function of a step, with its weights and its use of scratch.

    Parameters
    ----------
    name
        Name of the compiled function.
    weights
        Its weights, in its own layout; empty for a function without weights.
    x
        Preparation of the layer's input; None for none.
    """

    name: str
    weights: Packed = NO_WEIGHTS
    x: Operand | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Conditions that a layer runs under.

    Parameters
    ----------
    target
        The CPU.
    x_bound
        Upper bound on the absolute values of the layer's input; None if unbounded.
    """

    target: Target
    x_bound: float | None


def padded(size: int) -> int:
    """Round ``size`` up to a multiple of 8 floats, the unit of vector loads and stores."""
    return -(-size // 8) * 8
