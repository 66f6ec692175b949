"""Deadlines at a fixed rate, and the decision at each tick: pure arithmetic."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

__all__ = ["POLICIES", "Decision", "Kind", "Policy", "Schedule", "decide"]

Policy = Literal["catch_up", "drop", "hold"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

Kind = Literal["polled", "stored", "arriving"]
"""Kinds of sources: polled (read at any time), stored (a recording, whose samples wait), arriving (samples come on
their own)."""


class Schedule:
    """Ticks at ``start + k / rate``: each deadline is computed from the start, so that errors do not accumulate.

    Parameters
    ----------
    start_ns
        Deadline of the first tick.
    rate_hz
        Ticks per second.
    """

    __slots__ = ("_period_ns", "_start_ns", "_tick", "deadline_ns")

    deadline_ns: int

    def __init__(self, start_ns: int, rate_hz: float) -> None:
        self._period_ns = 1e9 / rate_hz
        self.restart(start_ns)

    def restart(self, start_ns: int) -> None:
        """Restart the schedule with a tick at ``start_ns``."""
        self._start_ns = start_ns
        self._tick = 0
        self.deadline_ns = start_ns

    def missed(self, now_ns: int) -> int:
        """Return the number of further deadlines that have passed as well."""
        return max(0, int((now_ns - self._start_ns) / self._period_ns) - self._tick)

    def advance(self, ticks: int) -> None:
        """Advance by ``ticks`` ticks."""
        self._tick += ticks
        self.deadline_ns = self._start_ns + int(self._tick * self._period_ns)


class Decision(NamedTuple):
    """Actions at a tick, in order of execution."""

    discard: int
    """Samples to discard, oldest first."""
    hold: int
    """Steps that repeat the last sample."""
    take: int
    """Steps with new samples."""
    wait: bool
    """True to wait for a sample and restart the schedule with it."""
    skipped: int
    """Ticks without a step."""


def decide(policy: Policy, kind: Kind, missed: int, waiting: int, backlog: int) -> Decision:
    """Decide what to do at a tick, given ``missed`` further deadlines that have passed and ``waiting`` samples.

    ``"catch_up"``
        No sample is dropped and none is repeated. All waiting samples are processed back to back; from a polled source
        or a recording, one per passed deadline. If none is waiting, the loop waits for one and restarts the schedule
        with it, as at the start.
    ``"drop"``
        One step per tick, with the newest sample. Passed deadlines are skipped and older samples are discarded (never
        those of a recording); a tick without a sample is skipped.
    ``"hold"``
        One step for every tick, so that the network's time follows the clock: each passed deadline and each tick
        without a sample repeats the last sample. Otherwise the newest sample is used, as for ``"drop"``.

    At most ``backlog`` passed deadlines are made up for; the others get no step.
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
