"""Deadlines of a fixed rate, and what is done at one: pure arithmetic."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

__all__ = ["POLICIES", "Decision", "Kind", "Policy", "Schedule", "decide"]

Policy = Literal["catch_up", "drop", "hold"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

Kind = Literal["polled", "stored", "arriving"]
"""A source that is read when the loop likes; one whose samples wait for the loop; one whose samples come by
themselves."""


class Schedule:
    """Ticks at ``start + k / rate``: each deadline is computed from the start, so that no error adds up.

    Parameters
    ----------
    start_ns
        Deadline of the first tick.
    rate_hz
        Ticks a second.
    """

    __slots__ = ("_period_ns", "_start_ns", "_tick", "deadline_ns")

    deadline_ns: int

    def __init__(self, start_ns: int, rate_hz: float) -> None:
        self._period_ns = 1e9 / rate_hz
        self.restart(start_ns)

    def restart(self, start_ns: int) -> None:
        """Begin anew, with a tick at ``start_ns``."""
        self._start_ns = start_ns
        self._tick = 0
        self.deadline_ns = start_ns

    def missed(self, now_ns: int) -> int:
        """How many deadlines after the present one have passed as well."""
        return max(0, int((now_ns - self._start_ns) / self._period_ns) - self._tick)

    def advance(self, ticks: int) -> None:
        """Go on by so many ticks."""
        self._tick += ticks
        self.deadline_ns = self._start_ns + int(self._tick * self._period_ns)


class Decision(NamedTuple):
    """What is done at a tick, in this order."""

    discard: int
    """Samples that are thrown away, the oldest first."""
    hold: int
    """Steps with the last sample once more."""
    take: int
    """Steps with the next samples."""
    wait: bool
    """Whether to wait for a sample, and to begin the schedule anew with it."""
    skipped: int
    """Ticks that get no step."""


def decide(policy: Policy, kind: Kind, missed: int, waiting: int, backlog: int) -> Decision:
    """What to do at a tick, when ``missed`` further deadlines have passed and ``waiting`` samples are there.

    ``"catch_up"``
        No sample is left out and none is invented. All that are waiting are done back to back; of a source that is read
        when the loop likes, or of a recording, one for each deadline that has passed. If there is none, it is waited
        for, and the schedule begins anew with it, as at the start.
    ``"drop"``
        A tick is one step with the newest sample, or none. Deadlines that have passed are left out, older samples
        thrown away (never those of a recording); without a sample the tick is left out.
    ``"hold"``
        As many steps as ticks, so that the network's time is the clock's: for each deadline that has passed, and for a
        tick without a sample, a step with the last sample once more. Else the newest is taken, as for ``"drop"``.

    Never more than ``backlog`` deadlines are made up for; the others get no step.
    """
    old = max(waiting - 1, 0) if kind == "arriving" else 0
    some = min(waiting, 1)
    if policy == "drop":
        return Decision(old, 0, some, False, 1 + missed - some)
    if policy == "hold":
        made_up = min(missed, backlog)
        return Decision(old, made_up + 1 - some, some, False, missed - made_up)
    if kind == "arriving":
        return Decision(0, 0, waiting, not waiting, 0)
    take = min(1 + missed, backlog, waiting)
    skipped = 1 + missed - min(1 + missed, backlog) if waiting else 0
    return Decision(0, 0, take, not waiting, skipped)
