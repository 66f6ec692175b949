"""The words that compiled code reads: records (one per operation of a step) and handles (one per stream).

A step is a program: a table of function addresses and, beside each, a record of int32 that tells this function where
its weights, inputs, outputs and states lie. Every state has two slots, old and new, which change places after each
step: there are two records for each operation, for even and for odd steps, and a cell never asks which it is. A step
that is not to count (a NaN came in) is undone by not changing places.
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
"""int32 in a record, and of a model whose kernels have more places in each of its records a multiple of 8 more."""

PLACES = 8
"""Where in the record of a generated kernel its places begin: the kernel's text says what each of them means."""


class Record(Words):
    """Where a record keeps what; offsets count floats, weights from the weight block, all else from the arena."""

    WEIGHTS = 0
    X = 1
    N_IN = 2
    OUT = 3
    N_OUT = 4
    SCRATCH = 5
    BACKWARDS = 6
    """1 if panels are read from the last to the first: every other step, see :mod:`edge_rnn.kernels.program.sweep`."""
    UNIT_FLOATS = 7
    """Floats of weights for each unit."""
    H = 8
    N_H = 9
    """What the recurrent matrix is multiplied with, and how many values that are: the old hidden state, or what was
    made of it."""
    STATE = 10
    """Old and new slot of the first state; the other states follow: 10 11, 12 13."""


class Handle(Words):
    """Where a handle (an array of ``intptr_t``, one per stream) keeps what.

    The first three never move: loops that users have compiled and cached read them.
    """

    STEP = 0
    """Address of ``int32_t step(handle, x, y)``."""
    INPUT_SIZE = 1
    OUTPUT_SIZE = 2
    FUNCTIONS = 3
    """Address of the table of function addresses."""
    OPERATIONS = 4
    """How many operations a step has."""
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
    """Offsets in the arena of what an even and an odd step put out."""
    STATES_EVEN = 14
    STATES_ODD = 15
    """Offsets in the arena of the states that an even and an odd step make, one behind the other."""
    STATE_FLOATS = 16
    """How many floats these are, padding included; 0 if they need not be looked at."""
    PARITY = 17
    """0 before an even step, 1 before an odd one."""
    POLICY = 18
    REFUSED = 19
    """How many samples were held or skipped."""
    IN_USE = 20
    """:data:`FREE`, or the number of the call that is in the stream, or :data:`MIXED`."""
    ADVANCE = 21
    """Address of ``int32_t advance(handle, x, y)``: a step that leaves IN_USE alone."""
    RECORD_LENGTH = 22
    """int32 in a record."""


FREE = 0
"""``Handle.IN_USE`` of a stream that no call is in."""
MIXED = -1
"""``Handle.IN_USE`` of a stream that two calls were in at once: its state is no state, until it is reset."""


class Bank(Words):
    """Where the table of a bank of streams (an array of ``intptr_t``) keeps what."""

    COUNT = 0
    """How many streams."""
    HANDLES = 1
    """Address of the streams' handles, an address each."""
    PRESENT = 2
    """Address of a word for each stream: 0 if it takes no part."""
    GROUP = 3
    """How many streams the functions in GROUPED take at once."""
    GROUPED = 4
    """Address of a function for each operation, 0 where there is none for several streams."""
    WHO = 5
    """Address of room for a word a stream: who takes part in this step, times 2, and 1 more if values were held."""
    RECORDS = 6
    """Address of room for a word a stream: the record that each is at."""
    ARENAS = 7
    """Address of room for a word a stream: its arena."""


class Policy(Words):
    """What a step does with a sample that is not finite, or that makes the output so."""

    RAISE = 0
    HOLD = 1
    SKIP = 2


class Status(Words):
    """What a compiled step returns."""

    DONE = 0
    BAD_SAMPLE = 1
    BAD_OUTPUT = 2
    IN_USE = 3
    """Another call is in the stream; this one has changed nothing."""
    MIXED = 4
    """Another call was in the stream at the same time as this one, or as an earlier one."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Weights of one compiled function, in the order in which it reads them.

    Parameters
    ----------
    floats
        ``(n,)`` float32: numbers of any kind, their bytes seen as float32.
    unit_floats
        How many of them belong to one unit, or what else a function counts by; 0 where it does not ask.
    """

    floats: F32
    unit_floats: int = 0


NO_WEIGHTS = Packed(np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Operand:
    """What a compiled function makes of a vector before a matrix is multiplied with it.

    Parameters
    ----------
    name
        Which compiled function.
    weights
        Its weights.
    floats
        Length in the arena of what it makes.
    size
        How many values that are, for the function that reads them.
    """

    name: str
    weights: Packed
    floats: int
    size: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One compiled function of a step, and what it needs beside its inputs.

    Parameters
    ----------
    name
        Which compiled function.
    weights
        As the function wants them; none for a function without weights.
    scratch
        How many floats of the arena it writes to, for itself and for the operations of the same layer after it.
    x, h
        What is made first of the layer's input, and of its old hidden state; None for nothing.
    x_from_scratch, h_from_scratch
        How many values an operation before it left at the start of the scratch, to be read instead of the layer's
        input, or by the recurrent matrix instead of the old hidden state; 0 for none.
    to_scratch
        How many values it leaves at the start of the scratch instead of putting out; 0 for none.
    """

    name: str
    weights: Packed = NO_WEIGHTS
    scratch: int = 0
    x: Operand | None = None
    h: Operand | None = None
    x_from_scratch: int = 0
    h_from_scratch: int = 0
    to_scratch: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer is going to run.

    Parameters
    ----------
    target
        For which CPU.
    x_bound, h_bound
        What the layer's input and its hidden state are never larger than in size; None where there is no such number.
    """

    target: Target
    x_bound: float | None
    h_bound: float | None


def padded(size: int) -> int:
    """``size`` rounded up to the 8 floats that vectors are loaded and stored by."""
    return -(-size // 8) * 8
