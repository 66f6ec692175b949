"""Pacing of a loop: at a fixed rate, or as samples arrive."""

from __future__ import annotations

from edge_rnn.loop.context import LoopContext
from edge_rnn.loop.input.feed import Feed
from edge_rnn.loop.outlet import Outlet
from edge_rnn.loop.persist.chores import Chores
from edge_rnn.loop.schedule import Policy, Schedule, decide
from edge_rnn.loop.stepper import Stepper
from edge_rnn.loop.system.garbage import SlackCollector

__all__ = ["Pace"]

_SLICE_S = 0.05
"""Longest wait in s between two checks for a stop request."""

_SLICE_NS = int(1e9 * _SLICE_S)


class Pace:
    """The main loop.

    Parameters
    ----------
    spin_s
        Seconds of busy waiting before each deadline.

    Attributes
    ----------
    stopping
        Reason to stop; empty to continue. Any thread may set it.
    collector
        Garbage collector that runs in slack time; None for none.
    """

    def __init__(
        self,
        feed: Feed,
        stepper: Stepper,
        outlet: Outlet,
        chores: Chores,
        context: LoopContext,
        spin_s: float,
    ) -> None:
        self._feed = feed
        self._stepper = stepper
        self._outlet = outlet
        self._chores = chores
        self._counters = context.counters
        self._lateness = context.lateness
        self._clock = context.clock
        self._spin_ns = int(1e9 * spin_s)
        self.stopping = ""
        self.collector: SlackCollector | None = None

    def as_they_come(self) -> None:
        """Run one step as soon as each sample arrives."""
        feed, now = self._feed, self._clock.now_ns
        while not self._over():
            if feed.waiting:
                self._stepper.take()
                self._chores.look(now())
                self._offer(0)
            else:
                self._idle()

    def at_rate(self, rate_hz: float, policy: Policy, backlog: int) -> None:
        """Run one tick at each deadline."""
        feed, now, counters = self._feed, self._clock.now_ns, self._counters
        half_ns = int(0.5e9 / rate_hz) if feed.kind == "arriving" else 0
        schedule = Schedule(now(), rate_hz)
        if half_ns and self._wait():
            schedule.restart(now() + half_ns)
        while not self._over() and self._sleep_until(schedule.deadline_ns):
            now_ns = now()
            self._lateness.record(now_ns - schedule.deadline_ns)
            missed = schedule.missed(now_ns)
            feed.watch(now_ns)
            waiting = feed.waiting
            todo = decide(policy, feed.kind, missed, waiting, backlog)
            counters.missed_deadlines += missed
            counters.late_samples += not waiting and not feed.ended
            counters.skipped_ticks += todo.skipped
            if todo.discard:
                feed.discard(1)
            for _ in range(todo.hold):
                self._stepper.hold()
            if todo.wait:
                if not self._wait():
                    return
                schedule.restart(now() + half_ns)  # as at the start: an immediate tick would leave the next one empty
            else:
                self._take(todo.take)
                schedule.advance(1 + missed)
                counters.overruns += now() > schedule.deadline_ns
            self._chores.look(now_ns)

    def _take(self, count: int) -> None:
        for _ in range(count):
            if self._over():
                return
            self._stepper.take()

    def _over(self) -> bool:
        if self._outlet.closed and not self.stopping:
            self.stopping = "the sink"
        return bool(self.stopping) or self._feed.ended

    def _wait(self) -> bool:
        """Wait for a sample; False if none will come."""
        while not self._over():
            if self._feed.waiting:
                return True
            self._idle()
        return False

    def _idle(self) -> None:
        """Wait briefly for a sample."""
        self._offer(_SLICE_NS)
        self._feed.wait(_SLICE_S)
        now_ns = self._clock.now_ns()
        self._feed.watch(now_ns)
        self._chores.look(now_ns)

    def _sleep_until(self, deadline_ns: int) -> bool:
        """Sleep until the deadline; False if a stop was requested meanwhile."""
        now, sleep = self._clock.now_ns, self._clock.sleep
        self._offer(deadline_ns - now())
        wake_ns = deadline_ns - self._spin_ns
        while not self.stopping:
            left_ns = wake_ns - now()
            if left_ns <= 0:
                while now() < deadline_ns:
                    pass
                return True
            sleep(min(left_ns / 1e9, _SLICE_S))
            if left_ns > _SLICE_NS:
                self._chores.look(now())
        return False

    def _offer(self, slack_ns: int) -> None:
        if self.collector is not None:
            self.collector.offer(slack_ns)
            self._counters.collections = self.collector.collections
