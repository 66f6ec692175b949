"""Layout of a library's data: the network's constants, the state in the caller's memory, and error codes."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rnn.kernels.compile.words import Words
from edge_rnn.kernels.program.structure import Structure
from edge_rnn.typing import F32, I32

__all__ = ["HEADER_INTS", "STATE_ALIGNMENT_BYTES", "Layout", "Refusal", "State"]

HEADER_INTS = 16
"""int32 before the arena in a state."""

STATE_ALIGNMENT_BYTES = 32
"""Alignment of a state's address."""


class State(Words):
    """Layout of the int32 before the arena."""

    MODEL = 0
    """Tag that ``reset`` of this library wrote."""
    PARITY = 1
    POLICY = 2
    REFUSED = 3


class Refusal(Words):
    """Error codes of C functions, in addition to :class:`edge_rnn.kernels.program.record.Status`."""

    NOT_RESET = 3
    """The state was not reset, or was reset by another library."""
    BAD_STATE = 4
    """The state's address is not a multiple of :data:`STATE_ALIGNMENT_BYTES`, or values to restore are not finite."""
    BAD_POLICY = 5
    FAILED = 6
    """The outputs of the self-test differ from the expected ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Network as constants; see :class:`edge_rnn.streams.plan.Plan`.

    Parameters
    ----------
    structure
        Operations and sizes.
    weights
        ``(n,)`` float32.
    arena_floats
        Length of the arena.
    initial
        ``(n,)`` float32: first part of the arena at the start; the rest is zero.
    kept
        ``(n, 3)`` int32: even offset, odd offset and length of all values that outlast a step; held values come first,
        then the last output, which is NaN before the first one.
    tag
        int32 that identifies the network.
    test_x, test_y
        ``(time, I)`` and ``(time, O)`` float32: samples of the self-test and their expected outputs.
    test_tolerance
        Largest absolute error that passes the self-test.
    """

    structure: Structure
    weights: F32
    arena_floats: int
    initial: F32
    kept: I32
    tag: int
    test_x: F32
    test_y: F32
    test_tolerance: float

    @property
    def state_bytes(self) -> int:
        """Bytes of a state."""
        return 4 * (HEADER_INTS + self.arena_floats)

    @property
    def kept_floats(self) -> int:
        """Number of floats that ``save`` writes."""
        return int(self.kept[:, 2].sum())
