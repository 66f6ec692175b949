"""Layout of a library's data: a network as numbers, the state in memory that the caller owns, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_rnn.kernels.compile.words import Words
from edge_rnn.kernels.program.record import Handle
from edge_rnn.typing import F32, I32

__all__ = ["HEADER_INTS", "STATE_ALIGNMENT_BYTES", "Layout", "Refusal", "State"]

HEADER_INTS = 16
"""int32 before the arena in a state."""

STATE_ALIGNMENT_BYTES = 32
"""A state has to begin at a multiple of this."""


class State(Words):
    """What the int32 before the arena mean."""

    MODEL = 0
    """Tells that ``reset`` of this very library was there."""
    PARITY = 1
    POLICY = 2
    REFUSED = 3


class Refusal(Words):
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
        ``(2, operations, length)`` int32.
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
    records: I32
    weights: F32
    words: Mapping[Handle, int]
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
        """How many floats ``save`` writes."""
        return int(self.kept[:, 2].sum())
