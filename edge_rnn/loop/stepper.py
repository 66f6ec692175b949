"""Stepper: the path of one sample from the source to the sink."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from edge_rnn.errors import InputError
from edge_rnn.loop.context import LoopContext
from edge_rnn.loop.input.checks import Checks
from edge_rnn.loop.input.feed import Feed
from edge_rnn.loop.input.rhythm import Rhythm
from edge_rnn.loop.input.ring import Item
from edge_rnn.loop.input.since_last import SinceLast
from edge_rnn.loop.outlet import Outlet
from edge_rnn.recordings.times import spell_seconds
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32

__all__ = ["ON_BAD", "OnBad", "Stepper"]

OnBad = Literal["raise", "hold", "skip"]
ON_BAD: tuple[OnBad, ...] = get_args(OnBad)


class Stepper:
    """Takes samples, steps the stream and writes outputs; handles bad samples and gaps.

    Parameters
    ----------
    on_bad
        What to do with a sample that is not numeric, or that the stream rejects.
    rhythm
        Bound on pauses between two samples; a longer pause is a gap.
    resets
        True to reset the state after a gap.
    checks
        Checks of the source, which also provide the resampler.
    since
        The time since the last sample, for a network that reads it; None for others.

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
        context: LoopContext,
        on_bad: OnBad,
        rhythm: Rhythm,
        resets: bool,
        checks: Checks,
        since: SinceLast | None,
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._outlet = outlet
        self._counters = context.counters
        self._work = context.work
        self._clock = context.clock
        self._journal = context.journal
        self._on_bad = on_bad
        self._rhythm = rhythm
        self._resets = resets
        self._checks = checks
        self._since = since
        self._kept: list[tuple[F32, float]] = []
        self._input = np.zeros(stream.input_size, np.float32)
        self._has_input = False
        self._x = np.zeros(stream.input_size, np.float32)
        self._has_last = False
        self._last_t_s = math.nan
        self._last_ns: int | None = None
        self.last = np.zeros(stream.input_size, np.float32)
        self.y: F32 | None = None

    def take(self) -> None:
        """Process one sample from the source, if there is one."""
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
            self._checks.look(self._x, item.t_s)
            if self._since is not None:
                self._since.arrived(item, self._counters.samples + self._feed.dropped)
            if self._checks.resampling is None and not self._checks.waits and not self._kept:
                self._step(t_s)
            else:
                self._resample(t_s)
        self._work.record(self._clock.now_ns() - start_ns)

    def hold(self, t_s: float | None = None) -> None:
        """Make a step that repeats the last good sample, if there was one."""
        if not self._has_last:
            return
        if self._checks.resampling is not None:
            self._x[:] = self._input
            self._resample(math.nan if t_s is None else t_s)
            return
        x = self.last if self._since is None else self._since.held(self.last)
        try:
            self.y = self._stream.step(x)
        except InputError as error:  # the sample is finite, but the output is not
            self._counters.nonfinite += 1
            self._journal.tell("nonfinite", f"repeating the last sample: {error}")
            return
        if self._since is not None:
            self._since.kept_again()
        self._counters.steps += 1
        self._counters.held += 1
        self._outlet.write(self.y, self._clock.wall_s() if t_s is None else t_s)

    def resume(self, saved_s: float) -> None:
        """Continue from a snapshot that was saved at a Unix time."""
        if self._since is not None:
            self._since.resume(saved_s)

    def gap(self, why: str, gap_s: float) -> None:
        """Handle a gap."""
        if self._since is not None:
            self._since.gap(gap_s, self._resets)
        answer = "is kept"
        if self._resets:
            answer = "is reset"
            self._stream.reset()
            self._has_last = False
            self._counters.resets += 1
        if self._checks.resampling is not None:
            self._checks.resampling.restart()
        self._journal.tell("gap", f"{why}; the state {answer}.")

    def finish(self) -> None:
        """Process buffered samples at the end of the input, and complete the checks."""
        self._checks.finish()
        self._step_kept()
        if self._checks.resampling is not None:
            for x, t_s in self._checks.resampling.end():
                self._x[:] = x
                self._step(self._clock.wall_s() if math.isnan(t_s) else t_s, resampled=True)

    def _resample(self, t_s: float) -> None:
        """Resample the sample and step; buffer it if the source's rate is not known yet."""
        if self._since is not None:
            self._since.clear(self._x)
        bad = ~np.isfinite(self._x)
        if bad.any():  # one bad value would spoil all outputs within the filter's length
            self._counters.nonfinite += 1
            if self._stream.on_nonfinite == "raise" or not self._has_input:
                self._refuse("nonfinite", "it is not finite", t_s)
                return
            self._journal.tell("nonfinite", f"sample {self._counters.samples} is not finite.")
            self._x[bad] = self._input[bad]
        self._input[:] = self._x
        self._has_input = True
        if self._checks.waits:
            self._kept.append((self._x.copy(), t_s))
            return
        self._step_kept()
        self._step_resampled(t_s)

    def _step_kept(self) -> None:
        kept, self._kept = self._kept, []
        for x, t_s in kept:
            self._x[:] = x
            self._step_resampled(t_s)
        if kept:
            self._x[:] = self._input

    def _step_resampled(self, t_s: float) -> None:
        resampling = self._checks.resampling
        if resampling is None:
            self._step(t_s, resampled=True)
            return
        for x, at_s in resampling.push(self._x, t_s):
            self._x[:] = x
            self._step(at_s, resampled=True)

    def _step(self, t_s: float, resampled: bool = False) -> None:
        if self._since is not None:
            (self._since.fill_resampled if resampled else self._since.fill)(self._x)
        refused = self._stream.rejected_samples
        try:
            y = self._stream.step(self._x)
        except InputError as error:
            self._counters.nonfinite += 1
            self._refuse("nonfinite", str(error), t_s)
            return
        self._counters.steps += 1
        if self._stream.rejected_samples != refused:
            self._counters.nonfinite += 1
            self._journal.tell("nonfinite", f"sample {self._counters.samples} is not finite.")
        else:
            self.last[:] = self._x
            self._has_last = True
        skipped = self._stream.rejected_samples != refused and self._stream.on_nonfinite == "skip"
        if self._since is not None and not skipped:
            self._since.kept()
        self.y = y
        self._outlet.write(y, t_s)

    def _refuse(self, kind: str, problem: str, t_s: float) -> None:
        """Apply ``on_bad`` to a sample with which no step can be made."""
        text = f"sample {self._counters.samples}: {problem.rstrip('.')}."
        if self._on_bad == "raise":
            raise InputError(text)
        self._journal.tell(kind, text)
        if self._on_bad == "hold":
            self.hold(t_s)

    def _time_of(self, item: Item) -> float:
        """Return the sample's time in seconds, after handling a gap before it."""
        first = self._last_ns is None
        gap_s = 0.0 if self._last_ns is None else (item.arrived_ns - self._last_ns) / 1e9
        self._last_ns = item.arrived_ns
        t_s = item.t_s
        if math.isnan(t_s):
            t_s = self._clock.wall_s()
        elif math.isinf(t_s) or t_s < self._last_t_s:
            self._counters.bad_times += 1
            now, before = spell_seconds(t_s), spell_seconds(self._last_t_s)
            self._journal.tell("time", f"sample {self._counters.samples} has the time {now} s, after {before} s.")
            if math.isfinite(t_s):
                self._last_t_s = t_s
        else:
            if not math.isnan(self._last_t_s):
                gap_s = max(gap_s, t_s - self._last_t_s)
            self._last_t_s = t_s
        if gap_s > self._rhythm.bound_s:
            self._counters.gaps += 1
            self.gap(f"no sample for {gap_s:.3f} s", gap_s)
        if not first:
            self._rhythm.note(gap_s)
        return t_s
