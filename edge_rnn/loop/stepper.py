"""One sample's way from the source to the sink."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from edge_rnn.errors import InputError
from edge_rnn.loop.clock import Clock
from edge_rnn.loop.counters import Counters
from edge_rnn.loop.feed import Feed
from edge_rnn.loop.journal import Journal
from edge_rnn.loop.log_histogram import LogHistogram
from edge_rnn.loop.outlet import Outlet
from edge_rnn.loop.protocols import Array
from edge_rnn.loop.rhythm import Rhythm
from edge_rnn.loop.ring import Item
from edge_rnn.stream import Stream

__all__ = ["ON_BAD", "OnBad", "Stepper"]

OnBad = Literal["raise", "hold", "skip"]
ON_BAD: tuple[OnBad, ...] = get_args(OnBad)


class Stepper:
    """Takes samples, steps the stream, hands outputs on; answers to bad samples and to gaps.

    Parameters
    ----------
    on_bad
        What becomes of a sample without numbers, or that the stream refuses.
    rhythm
        A pause between two samples that is beyond its bound is a gap.
    resets
        Whether the state starts anew after one.
    work
        Where the time that a sample takes is counted.

    Attributes
    ----------
    last
        ``(input_size,)``: the last good sample.
    y
        ``(output_size,)``: the last output; None before the first.
    """

    def __init__(
        self,
        stream: Stream,
        feed: Feed,
        outlet: Outlet,
        counters: Counters,
        work: LogHistogram,
        clock: Clock,
        journal: Journal,
        on_bad: OnBad,
        rhythm: Rhythm,
        resets: bool,
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._outlet = outlet
        self._counters = counters
        self._work = work
        self._clock = clock
        self._journal = journal
        self._on_bad = on_bad
        self._rhythm = rhythm
        self._resets = resets
        self._x = np.zeros(stream.input_size, np.float32)
        self._has_last = False
        self._last_t_s = math.nan
        self._last_ns: int | None = None
        self.last = np.zeros(stream.input_size, np.float32)
        self.y: Array | None = None

    def take(self) -> None:
        """One sample from the source to the sink, if there is one."""
        start_ns = self._clock.now_ns()
        item = self._feed.take(self._x)
        if item is None:
            return
        self._counters.samples += 1
        t_s = self._time_of(item)
        if item.problem:
            self._counters.bad += 1
            self._refuse("bad sample", item.problem, t_s)
        else:
            self._step(t_s)
        self._work.record(self._clock.now_ns() - start_ns)

    def hold(self, t_s: float | None = None) -> None:
        """A step with the last good sample once more, if there was one."""
        if not self._has_last:
            return
        try:
            self.y = self._stream.step(self.last)
        except InputError as error:  # finite, but the output would not be
            self._counters.nonfinite += 1
            self._journal.tell("nonfinite", f"the last sample once more: {error}")
            return
        self._counters.steps += 1
        self._counters.held += 1
        self._outlet.write(self.y, self._clock.wall_s() if t_s is None else t_s)

    def gap(self, why: str) -> None:
        """Answer a gap."""
        answer = "carries on"
        if self._resets:
            answer = "starts anew"
            self._stream.reset()
            self._has_last = False
            self._counters.resets += 1
        self._journal.tell("gap", f"{why}; the state {answer}.")

    def _step(self, t_s: float) -> None:
        refused = self._stream.refused
        try:
            y = self._stream.step(self._x)
        except InputError as error:
            self._counters.nonfinite += 1
            self._refuse("nonfinite", str(error), t_s)
            return
        self._counters.steps += 1
        if self._stream.refused != refused:
            self._counters.nonfinite += 1
            self._journal.tell("nonfinite", f"sample {self._counters.samples} is not finite.")
        else:
            self.last[:] = self._x
            self._has_last = True
        self.y = y
        self._outlet.write(y, t_s)

    def _refuse(self, kind: str, problem: str, t_s: float) -> None:
        """Do what is to be done with a sample that no step can be made with."""
        text = f"sample {self._counters.samples}: {problem.rstrip('.')}."
        if self._on_bad == "raise":
            raise InputError(text)
        self._journal.tell(kind, text)
        if self._on_bad == "hold":
            self.hold(t_s)

    def _time_of(self, item: Item) -> float:
        """The sample's time in seconds; sees to a gap before it."""
        first = self._last_ns is None
        gap_s = 0.0 if self._last_ns is None else (item.arrived_ns - self._last_ns) / 1e9
        self._last_ns = item.arrived_ns
        t_s = item.t_s
        if math.isnan(t_s):
            t_s = self._clock.wall_s()
        elif math.isinf(t_s) or t_s < self._last_t_s:
            self._counters.bad_times += 1
            self._journal.tell(
                "time", f"sample {self._counters.samples} has the time {t_s:g} s, after {self._last_t_s:g} s."
            )
            if math.isfinite(t_s):
                self._last_t_s = t_s
        else:
            if not math.isnan(self._last_t_s):
                gap_s = max(gap_s, t_s - self._last_t_s)
            self._last_t_s = t_s
        if gap_s > self._rhythm.bound_s:
            self._counters.gaps += 1
            self.gap(f"there was no sample for {gap_s:.3f} s")
        if not first:
            self._rhythm.note(gap_s)
        return t_s
