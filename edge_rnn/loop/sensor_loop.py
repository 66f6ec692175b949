"""SensorLoop: samples in, outputs out, for months."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn.checks import choice, real, whole
from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.loop.context import LoopContext
from edge_rnn.loop.input.checks import ON_MISMATCH, Checks, OnMismatch
from edge_rnn.loop.input.feed import DirectFeed, Feed
from edge_rnn.loop.input.rhythm import Rhythm
from edge_rnn.loop.input.thread_feed import ThreadFeed
from edge_rnn.loop.outlet import Outlet
from edge_rnn.loop.pace import Pace
from edge_rnn.loop.persist.chores import Chores
from edge_rnn.loop.protocols import Sink, Source
from edge_rnn.loop.report.counters import Counters
from edge_rnn.loop.report.journal import Journal
from edge_rnn.loop.schedule import POLICIES, Policy
from edge_rnn.loop.stepper import ON_BAD, OnBad, Stepper
from edge_rnn.loop.system.clock import Clock, SystemClock
from edge_rnn.loop.system.garbage import COLLECT, Collect, off_the_hot_path
from edge_rnn.loop.system.realtime import Realtime, applied
from edge_rnn.loop.system.signals import handled
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32

__all__ = ["SensorLoop"]

_LEAST, _MOST = 1e-9, 1e9
"""Of rates in Hz and of times in seconds."""
_MOST_BACKLOG = 1_000_000


class SensorLoop:
    """A stream at work on a source for as long as there are samples, at a fixed rate or as they come.

    Parameters
    ----------
    stream
        The network. Its ``on_nonfinite`` says what becomes of a NaN in a sample; what it refuses with ``"raise"`` is
        for ``on_bad``.
    source
        A :class:`~edge_rnn.loop.Source`, or a function without arguments that makes one. With the function, a source
        that fails is closed and made again; else it is read again.
    sink
        A :class:`~edge_rnn.loop.Sink`.
    rate_hz
        Ticks a second, on the monotonic clock and without drift: tick k is due at start + k / rate. None: a step as
        each sample comes. With samples that come by themselves the first tick is half a period after the first of them.
    policy
        What happens at a tick when deadlines have passed or no sample is there: ``"catch_up"`` (no sample is left out,
        none invented), ``"drop"`` (the newest sample or none) or ``"hold"`` (as many steps as ticks); word for word in
        :func:`edge_rnn.loop.decide`.
    on_bad
        What becomes of a sample of the wrong size or without numbers, and of one that the stream refuses: ``"skip"`` no
        step, ``"hold"`` a step with the last good one, ``"raise"`` the loop saves its state and ends with an
        InputError.
    backlog
        Samples that the ring has places for, and deadlines that are made up for at most.
    stall_after_s
        Seconds without a sample after which a source that is read in a thread counts as stuck: it is reported, and made
        again where ``source`` is a function. ``inf`` for never. None: a silence of ten times the longest usual pause,
        5 s at least and 60 s until twenty pauses were seen, is reported, and the source stays open.
    reset_after_s
        After a longer pause between two samples the state starts anew. The pause is that of the source's own times, or
        of the clock that goes on while the machine sleeps, whichever is longer; a snapshot older than this is not used.
        None: carry on; pauses longer than ``stall_after_s``, or than usual, are counted all the same.
    snapshot, snapshot_every_s
        File that keeps the state, and how often, in seconds: what is lost by a loss of power is at most this and the
        time that the disk takes. It is restored at the start. None: nothing is kept.
    status, status_every_s
        File that is replaced with the loop's :meth:`status` at intervals.
    realtime
        What to ask of the system; what it refuses is a warning in the status.
    collect
        When Python's garbage is collected: in ``"slack"`` time, ``"never"``, or as ``"python"`` does.
    spin_s
        Seconds before each deadline that are spent looking at the clock rather than asleep.
    report
        Takes messages, one sentence each; by default the logger ``edge_rnn.loop`` does.
    clock
        The machine's, or a test's.
    on_mismatch
        What becomes of a source whose rate is more than 5 % off the model's or whose units are others: ``"warn"`` a
        :class:`~edge_rnn.errors.SampleWarning`, ``"raise"`` an InputError. The rate is ``rate_hz``, the source's own,
        or that of its first samples' times. Samples far outside of the model's ``Standardize``, for long, are a
        warning.
    any_rate
        Take another rate as it is.
    resample
        Make the model's rate of the source's by :class:`edge_rnn.frontend.Resample`; ticks are the source's then.

    Attributes
    ----------
    counters
        What has happened so far.
    lateness
        Histogram of how long after its deadline each tick began; empty without a rate.
    work
        Histogram of what a sample takes from the ring, or from ``read``, to the sink's return.

    Raises
    ------
    InputError
        An option is none of those that there are; a source has no pace of its own and ``rate_hz`` is None; or the
        source is not for the model and ``on_mismatch`` is ``"raise"``.

    Examples
    --------
    >>> import numpy as np, edge_rnn
    >>> from edge_rnn.loop import SensorLoop, sinks, sources
    >>> stream = edge_rnn.Stream(edge_rnn.Model([edge_rnn.Elman([[1.0]], [[0.5]])]))
    >>> recording = iter(np.ones((3, 1), np.float32))
    >>> outputs = []
    >>> sink = sinks.Call(lambda y, t_s: outputs.append(y.copy()))
    >>> loop = SensorLoop(stream, sources.Call(lambda: next(recording, None), live=False), sink)
    >>> loop.run().steps
    3
    """

    def __init__(
        self,
        stream: Stream,
        source: Source | Callable[[], Source],
        sink: Sink,
        rate_hz: float | None = None,
        *,
        policy: Policy = "catch_up",
        on_bad: OnBad = "skip",
        backlog: int = 256,
        stall_after_s: float | None = None,
        reset_after_s: float | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        snapshot_every_s: float = 60.0,
        status: str | os.PathLike[str] | None = None,
        status_every_s: float = 5.0,
        realtime: Realtime | None = None,
        collect: Collect = "slack",
        spin_s: float = 0.0,
        report: Callable[[str], None] | None = None,
        clock: Clock | None = None,
        on_mismatch: OnMismatch = "warn",
        any_rate: bool = False,
        resample: bool = False,
    ) -> None:
        where = "SensorLoop"
        choice(where, "on_mismatch", on_mismatch, ON_MISMATCH)
        choice(where, "policy", policy, POLICIES)
        choice(where, "on_bad", on_bad, ON_BAD)
        choice(where, "collect", collect, COLLECT)
        for name, value in {
            "rate_hz": rate_hz,
            "stall_after_s": stall_after_s,
            "reset_after_s": reset_after_s,
            "snapshot_every_s": snapshot_every_s,
            "status_every_s": status_every_s,
        }.items():
            if value is not None and not (name == "stall_after_s" and value == math.inf):
                real(where, name, value, _LEAST, _MOST)
        real(where, "spin_s", spin_s, 0, math.nextafter(1, 0), expected="0 or more, below 1 s")
        whole(where, "backlog", backlog, 1, _MOST_BACKLOG)
        self.stream = stream
        self.rate_hz = rate_hz
        self.policy = policy
        self._backlog = backlog
        self._stall_after_s = stall_after_s
        self._reset_after_s = reset_after_s
        self._realtime = realtime or Realtime()
        self._collect: Collect = collect
        self._clock: Clock = clock or SystemClock()
        self._journal = Journal(report, self._clock)
        self._context = LoopContext(self._clock, self._journal)
        self.counters, self.lateness, self.work = self._context.counters, self._context.lateness, self._context.work
        self._outlet = Outlet(sink, self._context, self._nothing_presses)
        self._feed, first = self._make_feed(source)
        self._checks = Checks(
            stream.model, first, self._feed.kind, rate_hz, on_mismatch, any_rate, resample, self._journal.say
        )
        self._stepper = Stepper(
            stream,
            self._feed,
            self._outlet,
            self._context,
            on_bad,
            Rhythm(reset_after_s or stall_after_s),
            reset_after_s is not None,
            self._checks,
        )
        self._chores = Chores(
            stream,
            self._context,
            self.status,
            None if snapshot is None else Path(snapshot).absolute(),
            snapshot_every_s,
            None if status is None else Path(status).absolute(),
            status_every_s,
        )
        self._pace = Pace(self._feed, self._stepper, self._outlet, self._chores, self._context, spin_s)
        self._state = "new"
        self._warnings: list[str] = []
        self._started_ns = self._clock.elapsed_ns()

    def run(self) -> Counters:
        """Run until the source ends, :meth:`stop` is called, or SIGTERM, SIGINT or SIGHUP comes; once.

        The sample at hand is finished, the state saved, source and sink closed. In the main thread SIGUSR1 tells the
        status where messages go; signals are handled as before afterwards, and a second SIGTERM is as it always was.

        Raises
        ------
        InputError
            A bad sample came and ``on_bad`` is ``"raise"``; or another loop has the same snapshot file.
        FileError
            The folder of the snapshot is not there, or the snapshot is no file.
        """
        if self._state != "new":
            raise InputError("SensorLoop.run was called a second time; make another loop.")
        self._state = "running"
        self._started_ns = self._clock.elapsed_ns()
        with handled(self.stop, self._chores.show):
            try:
                saved = self._chores.start()
                if saved is not None:
                    self._judge_age(self._clock.wall_s() - saved.at_s)
                self._feed.start()
                self._follow()
            finally:
                self._state = "stopped"
                self._feed.close()
                self._outlet.close()
                self._count_feed()
                self._chores.close()
        return self.counters

    def stop(self, reason: str = "asked") -> None:
        """Have :meth:`run` return soon; from any thread or signal handler."""
        self._pace.stopping = reason

    def status(self) -> dict[str, Any]:
        """All that the loop knows of itself, as JSON takes it; from any thread."""
        self._count_feed()
        wall_s, saved_s = self._clock.wall_s(), self._chores.saved_s
        y = self._stepper.y
        model = self.stream.model
        return {
            "state": self._state,
            "pid": os.getpid(),
            "model": model.name,
            "fingerprint": model.fingerprint,
            "rate_hz": self.rate_hz,
            "policy": self.policy,
            "at": round(wall_s, 3),
            "uptime_s": round((self._clock.elapsed_ns() - self._started_ns) / 1e9, 3),
            "source": self._feed.state,
            "stopped_by": self._pace.stopping,
            "steps_before": self._chores.steps_before,
            "snapshot_age_s": None if saved_s is None else round(wall_s - saved_s, 3),
            "undelivered": self._outlet.undelivered,
            "counters": self.counters.as_json(),
            "lateness_ns": self.lateness.as_json(),
            "work_ns": self.work.as_json(),
            "warnings": [*self._warnings, *self._checks.notes],
            "messages": self._journal.as_json(),
            "x": self._stepper.last.tolist(),
            "y": None if y is None or math.isnan(y[0]) else y.tolist(),
            "input_names": list(model.input_names),
            "labels": list(model.labels),
        }

    def latest(self) -> tuple[int, F32, F32 | None]:
        """Steps so far, the last good sample and the last output, both copied; from any thread, and at little cost.

        An output of NaN: samples were skipped, and there is no answer yet.
        Nothing is locked: sample and output may be of two steps that followed each other.
        """
        y = self._stepper.y
        return self.counters.steps, self._stepper.last.copy(), None if y is None else y.copy()

    def _make_feed(self, source: Source | Callable[[], Source]) -> tuple[Feed, Source]:
        """What reads the source, and the source itself."""
        make = None
        if isinstance(source, type) or not hasattr(source, "read"):  # a class has a read, and makes what has one
            if not callable(source):
                raise InputTypeError(
                    f"SensorLoop got {type(source).__name__} as source, expected an object with read()."
                )
            make, source = source, source()
        if getattr(source, "blocks", True):
            size = self.stream.input_size
            return ThreadFeed(source, make, size, self._backlog, self._stall_after_s, self._context), source
        feed = DirectFeed(source, make, self._context)
        if feed.kind == "polled" and self.rate_hz is None:
            raise InputError("SensorLoop got a source without a pace of its own; give rate_hz.")
        return feed, source

    def _follow(self) -> None:
        """Go through the samples."""
        with (
            applied(self._realtime, self.rate_hz) as self._warnings,
            off_the_hot_path(self._collect) as self._pace.collector,
            np.errstate(over="ignore"),  # beyond float32 is infinite, which the stream's policy is for
        ):
            for warning in self._warnings:
                self._journal.tell("realtime", warning)
            if self.rate_hz is None:
                self._pace.as_they_come()
            else:
                self._pace.at_rate(self.rate_hz, self.policy, self._backlog)
            if self._feed.ended:
                self._stepper.finish()
            if self._feed.unfit is not None:
                raise self._feed.unfit

    def _nothing_presses(self) -> bool:
        return self._feed.kind == "stored" and self.rate_hz is None and not self._pace.stopping

    def _judge_age(self, age_s: float) -> None:
        """Whether a restored state is too old; a clock that has gone backwards tells no age."""
        if self._reset_after_s is not None and age_s > self._reset_after_s:
            self._stepper.gap(f"the snapshot is {age_s:.1f} s old")

    def _count_feed(self) -> None:
        """Take over what the feed counts, which another thread may do."""
        self.counters.source_failures = self._feed.failures
        self.counters.stalls = self._feed.stalls
        self.counters.dropped = self._feed.dropped
