"""When a loop takes its samples: at a fixed rate, or as they come."""

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
"""Longest wait after which the loop looks whether it has been told to stop."""

_SLICE_NS = int(1e9 * _SLICE_S)


class Pace:
    """The loop itself.

    Parameters
    ----------
    spin_s
        Seconds before each deadline that are spent looking at the clock rather than asleep.

    Attributes
    ----------
    stopping
        Why the loop is to end; empty for going on. Anyone may set it.
    collector
        What takes the slack time; None for nothing.
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
        """A step as soon as a sample is there."""
        feed, now = self._feed, self._clock.now_ns
        while not self._over():
            if feed.waiting:
                self._stepper.take()
                self._chores.look(now())
                self._offer(0)
            else:
                self._idle()

    def at_rate(self, rate_hz: float, policy: Policy, backlog: int) -> None:
        """A tick at each deadline."""
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
                schedule.restart(now() + half_ns)  # as at the start: a tick at once would find the next one missing
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
        """Until there is a sample to take; False if there will be none."""
        while not self._over():
            if self._feed.waiting:
                return True
            self._idle()
        return False

    def _idle(self) -> None:
        """Wait for a sample, but not for long."""
        self._offer(_SLICE_NS)
        self._feed.wait(_SLICE_S)
        now_ns = self._clock.now_ns()
        self._feed.watch(now_ns)
        self._chores.look(now_ns)

    def _sleep_until(self, deadline_ns: int) -> bool:
        """Sleep up to the deadline; False if the loop was told to stop meanwhile."""
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
