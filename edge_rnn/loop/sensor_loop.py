"""SensorLoop: run a network on a source of samples, for months if need be."""

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
from edge_rnn.loop.input.since_last import SinceLast
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
from edge_rnn.loop.system.compiling import compiling
from edge_rnn.loop.system.garbage import COLLECT, Collect, off_the_hot_path
from edge_rnn.loop.system.realtime import Realtime, applied
from edge_rnn.loop.system.signals import handled
from edge_rnn.recordings.elapsed import elapsed_place
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32

__all__ = ["SensorLoop"]

_LEAST, _MOST = 1e-9, 1e9
"""Upper bound of rates in Hz and of times in seconds."""
_MOST_BACKLOG = 1_000_000


class SensorLoop:
    """Loop that steps a stream on the samples of a source, at a fixed rate or as they arrive.

    Parameters
    ----------
    stream
        The network. Its ``on_nonfinite`` handles NaN in a sample; a sample that it rejects with ``"raise"`` is handled
        by ``on_bad``.
    source
        A :class:`~edge_rnn.loop.Source`, or a factory of one (a callable without arguments). With a factory, a source
        that fails is closed and re-created; without one it is read again.
    sink
        A :class:`~edge_rnn.loop.Sink`.
    rate_hz
        Ticks per second, on the monotonic clock and without drift: tick k is due at start + k / rate. None: one step
        per sample, as it arrives. For samples that arrive on their own, the first tick is half a period after the first
        sample.
    policy
        What to do at a tick when deadlines have passed or no sample is available: ``"catch_up"`` (no sample is dropped
        or repeated), ``"drop"`` (the newest sample, or no step) or ``"hold"`` (a step for every tick, repeating the
        last sample if necessary). :func:`edge_rnn.loop.decide` has the exact rules.
    on_bad
        What to do with a sample that has the wrong size, is not numeric, or is rejected by the stream: ``"skip"`` makes
        no step, ``"hold"`` makes a step with the last good sample, ``"raise"`` saves the state and ends the loop with
        an InputError.
    backlog
        Capacity of the ring in samples, and the maximum number of passed deadlines that are made up for.
    stall_after_s
        Silence in seconds after which a source read in a thread counts as stalled: it is reported, and re-created if
        ``source`` is a factory. ``inf``: never. None: a silence of ten times the longest usual pause (at least 5 s, and
        60 s until twenty pauses have been seen) is reported, and the source stays open.
    reset_after_s
        Pause between two samples in seconds after which the state is reset. The pause is measured by the source's own
        times or by the clock that keeps running during system suspend, whichever is longer; a snapshot older than this
        is not used. None: never reset; pauses longer than ``stall_after_s``, or than usual, are still counted.
    snapshot, snapshot_every_s
        Path of the state snapshot, which is restored at the start, and its interval in seconds: a power loss costs at
        most this interval plus the time of the disk write. None: no snapshots.
    status, status_every_s
        Path of the file that receives :meth:`status`, and its interval in seconds.
    realtime
        Scheduling options requested from the system; refused ones become warnings in the status.
    collect
        When to run Python's garbage collector: in ``"slack"`` time, ``"never"``, or at Python's discretion
        (``"python"``).
    spin_s
        Seconds of busy waiting before each deadline.
    report
        Receiver of messages, one sentence each; by default the logger ``edge_rnn.loop``.
    clock
        The system clock, or a test double.
    on_mismatch
        What to do if the source's rate is more than 5 % off the model's, or its units differ: ``"warn"`` issues a
        :class:`~edge_rnn.errors.SampleWarning`, ``"raise"`` raises an InputError. The rate is ``rate_hz``, the source's
        own, or measured from the times of the first samples. Samples that stay far outside the range of the model's
        ``Standardize`` cause a warning.
    any_rate
        True to accept a rate that differs from the model's.
    resample
        True to resample the source to the model's rate with :class:`edge_rnn.frontend.Resample`; ticks then run at the
        source's rate.

    Attributes
    ----------
    counters
        Event counts so far.
    lateness
        Histogram of tick lateness (start minus deadline) in ns; empty without a rate.
    work
        Histogram of processing time in ns, from taking a sample (ring or ``read``) to the return of the sink.

    Raises
    ------
    InputError
        An option is invalid; a source does not wait for its samples and ``rate_hz`` is None; or the source does not
        match the model and ``on_mismatch`` is ``"raise"``.

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
            SinceLast.of(stream.model, first, self._feed.kind, rate_hz, self._clock),
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
        """Run until the source ends, :meth:`stop` is called, or SIGTERM, SIGINT or SIGHUP arrives. Can be called once.

        The current sample is completed, the state saved, source and sink closed. In the main thread SIGUSR1 reports the
        status to the message handler. The previous signal handlers are restored afterwards; a second SIGTERM or SIGINT
        has its original effect.

        Raises
        ------
        InputError
            A bad sample came and ``on_bad`` is ``"raise"``; or another loop uses the same snapshot file.
        FileError
            The folder of the snapshot is missing, or the snapshot path is not a regular file.
        """
        if self._state != "new":
            raise InputError("SensorLoop.run was called twice; create another loop.")
        self._state = "running"
        self._started_ns = self._clock.elapsed_ns()
        with handled(self.stop, self._chores.show):
            try:
                saved = self._chores.start()
                if saved is not None:
                    self._stepper.resume(saved.at_s)
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
        """Make :meth:`run` return soon. Callable from any thread or signal handler."""
        self._pace.stopping = reason

    def status(self) -> dict[str, Any]:
        """Return the complete status of the loop, JSON-serializable. Thread-safe."""
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
        """Return the number of steps, and copies of the last good sample and the last output. Thread-safe and cheap.

        An output of NaN means that samples were skipped and there is no answer yet.
        No lock is held: sample and output may be from two consecutive steps.
        """
        y = self._stepper.y
        return self.counters.steps, self._stepper.last.copy(), None if y is None else y.copy()

    def _make_feed(self, source: Source | Callable[[], Source]) -> tuple[Feed, Source]:
        """Create the feed that reads the source; return it with the source."""
        make, elapsed = None, elapsed_place(self.stream.model.input_names)
        if isinstance(source, type) or not hasattr(source, "read"):  # a class has ``read`` too, but is a factory
            if not callable(source):
                raise InputTypeError(
                    f"SensorLoop got {type(source).__name__} as source, expected an object with read()."
                )
            make, source = source, source()
        if getattr(source, "blocks", True):
            size = self.stream.input_size
            return ThreadFeed(source, make, size, elapsed, self._backlog, self._stall_after_s, self._context), source
        feed = DirectFeed(source, make, elapsed, self._context)
        if feed.kind == "polled" and self.rate_hz is None:
            raise InputError("SensorLoop got a source that never waits for samples; give rate_hz.")
        return feed, source

    def _follow(self) -> None:
        """Process samples until the end."""
        with (
            compiling(self.stream, self._feed),  # before the options of real time, which a child would inherit
            applied(self._realtime, self.rate_hz) as self._warnings,
            off_the_hot_path(self._collect) as self._pace.collector,
            np.errstate(over="ignore"),  # values beyond float32 become infinite; the stream's policy handles them
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
        """Reset the state if the restored snapshot is too old; a clock that went backwards gives no age."""
        if self._reset_after_s is not None and age_s > self._reset_after_s:
            self._stepper.gap(f"the snapshot is {age_s:.1f} s old", age_s)

    def _count_feed(self) -> None:
        """Copy the feed's counts, which another thread may be updating."""
        self.counters.source_failures = self._feed.failures
        self.counters.stalls = self._feed.stalls
        self.counters.dropped = self._feed.dropped
