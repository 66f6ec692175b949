"""Feed for a source that blocks: it is read in its own thread, so that the loop notices a stall."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from edge_rnn.loop.backoff import Backoff, spell_delay
from edge_rnn.loop.context import LoopContext
from edge_rnn.loop.input.feed import read
from edge_rnn.loop.input.hanging import Hanging
from edge_rnn.loop.input.rhythm import Rhythm
from edge_rnn.loop.input.ring import Item, Ring
from edge_rnn.loop.input.sample import fill
from edge_rnn.loop.protocols import SampleError, Source, SourceUnfit
from edge_rnn.loop.schedule import Kind
from edge_rnn.typing import F32

__all__ = ["ThreadFeed"]

_MOST_PATIENCE_NS = 60_000_000_000
"""Longest time between two reports of a stall, unless the bound itself is longer."""


class ThreadFeed:
    """Samples read by a thread into a ring.

    Parameters
    ----------
    source
        The source.
    make
        Factory that re-creates the source after a failure; None to keep the same one.
    width
        Values per sample.
    elapsed
        Index of a channel that samples may lack, see :func:`~edge_rnn.loop.input.sample.fill`.
    size
        Capacity of the ring in samples.
    stall_after_s
        Silence in seconds after which the source is reported as stalled and, if possible, reopened; the time doubles
        with each report, up to a minute (or this time, if it is longer). None: the bound adapts to the pauses seen so
        far (:class:`~edge_rnn.loop.input.rhythm.Rhythm`), and the source is reported but stays open, unless it declares
        itself never silent (``steady``).
    """

    def __init__(
        self,
        source: Source,
        make: Callable[[], Source] | None,
        width: int,
        elapsed: int | None,
        size: int,
        stall_after_s: float | None,
        context: LoopContext,
    ) -> None:
        live = bool(getattr(source, "live", True))
        self.kind: Kind = "arriving" if live else "stored"
        self._ring = Ring(size, width, drops_oldest=live)
        self._width = width
        self._elapsed = elapsed
        self._source: Source | None = source
        self._make = make
        self._clock = context.clock
        self._journal = context.journal
        self._reopens = make is not None and (stall_after_s is not None or bool(getattr(source, "steady", False)))
        self._rhythm = Rhythm(stall_after_s)
        self._patience_ns = _nanoseconds(self._rhythm.bound_s)
        self._heard_ns = context.clock.now_ns()
        self._sample_ns: int | None = None
        self._silent_since_ns = self._heard_ns
        self._going_on = threading.Event()
        self._leave = threading.Event()
        self._hanging = Hanging()
        self._lock = threading.Lock()  # a reader writes here only until it is abandoned
        self._thread: threading.Thread | None = None
        self.failures = 0
        self.stalls = 0
        self.state = "running"
        self.unfit: SourceUnfit | None = None

    @property
    def waiting(self) -> int:
        return self._ring.waiting

    @property
    def dropped(self) -> int:
        return self._ring.dropped

    @property
    def ended(self) -> bool:
        return self._ring.ended and not self._ring.waiting

    def start(self) -> None:
        self._heard_ns = self._clock.now_ns()
        self._going_on, self._leave = threading.Event(), threading.Event()
        self._going_on.set()
        self._thread = threading.Thread(
            target=self._read,
            args=(self._source, self._going_on, self._leave),
            name="edge_rnn source",
            daemon=True,
        )
        self._thread.start()

    def take(self, x: F32) -> Item | None:
        return self._ring.take(x) if self._ring.waiting else None

    def discard(self, keep: int) -> None:
        self._ring.discard(keep)

    def wait(self, seconds: float) -> None:
        self._ring.wait(seconds)

    def watch(self, now_ns: int) -> None:
        if now_ns - self._heard_ns < self._patience_ns:  # the usual case, without the lock
            return
        with self._lock:
            heard_ns, waiting = self._heard_ns, self._ring.waiting
            if now_ns - heard_ns < self._patience_ns or self._ring.ended or waiting or self.state == "failing":
                return
            self.stalls += 1
            self.state = "stalled"
            self._heard_ns = now_ns
            most_ns = max(_nanoseconds(self._rhythm.bound_s), _MOST_PATIENCE_NS)
            self._patience_ns = min(2 * self._patience_ns, most_ns)
            again = self._reopens and not self._hanging.full
            if again:
                self._going_on.clear()
            silent_s = (now_ns - self._silent_since_ns) / 1e9
            begun = "" if self._sample_ns is not None else " since the start"
        what = "reopening it" if again else "still waiting"
        self._journal.tell("stall", f"the source has been silent for {silent_s:.1f} s{begun}; {what}.")
        if again:
            self._abandon()
            self.start()

    def close(self) -> None:
        thread = self._thread
        self._abandon()
        if thread is not None:
            thread.join(1.0)

    def _abandon(self) -> None:
        """Abandon the reader thread; samples that it still reads are ignored."""
        with self._lock:
            self._going_on.clear()
            source, self._source = self._source, None
        self._leave.set()
        if self._thread is not None:
            self._hanging.add(self._thread)
        self._hanging.close(source, wait_s=0.2)

    def _read(self, source: Source | None, going_on: threading.Event, leave: threading.Event) -> None:
        """Body of the reader thread: read, convert, put; after a failure wait and retry."""
        row = np.zeros(self._width, np.float32)
        backoff = Backoff()
        with np.errstate(over="ignore"):  # values beyond float32 become infinite; the stream's policy handles them
            while going_on.is_set():
                try:
                    if source is None:
                        assert self._make is not None
                        source = self._make()
                        if not self._took(source, going_on):
                            self._hanging.close(source)
                            return
                    value = read(source)
                    if value is None:
                        self._end(going_on)
                        return
                    item = Item("", fill(row, value, self._elapsed), self._clock.elapsed_ns())
                except SourceUnfit as error:
                    self._end(going_on, error)
                    return
                except SampleError as bad:
                    item = Item(str(bad), float("nan"), self._clock.elapsed_ns())
                except BaseException as error:  # SystemExit would end the thread without a report
                    source = self._failed(source, error, backoff.failed(), going_on, leave)
                    continue
                if not self._heard(backoff, going_on) or not self._ring.put(row, item, going_on):
                    return

    def _took(self, source: Source, going_on: threading.Event) -> bool:
        """Register the source that :meth:`_abandon` closes; False if the thread was abandoned before."""
        with self._lock:
            if going_on.is_set():
                self._source = source
            return going_on.is_set()

    def _end(self, going_on: threading.Event, unfit: SourceUnfit | None = None) -> None:
        with self._lock:
            if going_on.is_set():
                self.unfit = unfit
                self.state = "ended"
                self._ring.end()

    def _heard(self, backoff: Backoff, going_on: threading.Event) -> bool:
        """Record the arrival of a sample; False if the thread was abandoned before."""
        with self._lock:
            if not going_on.is_set():
                return False
            now_ns = self._clock.now_ns()
            if self._sample_ns is not None and self.state in ("running", "stalled"):  # a genuine pause, not an outage
                self._rhythm.note((now_ns - self._sample_ns) / 1e9)
            self._heard_ns = self._sample_ns = self._silent_since_ns = now_ns
            self._patience_ns = _nanoseconds(self._rhythm.bound_s)
            back, self.state = self.state != "running", "running"
        if back:
            self._journal.tell("source back", "the source is back.")
            backoff.succeeded()
        return True

    def _failed(
        self,
        source: Source | None,
        error: BaseException,
        delay_s: float,
        going_on: threading.Event,
        leave: threading.Event,
    ) -> Source | None:
        """Report the failure and wait; return the source to continue with, or None to create another one."""
        with self._lock:
            if not going_on.is_set():  # closed by another thread while we read it
                return None
            self.failures += 1
            self.state = "failing"
        text = str(error).rstrip(".") or type(error).__name__
        self._journal.tell("source", f"the source failed: {text}; retrying {spell_delay(delay_s)}.")
        if self._make is not None and not self._hanging.full:
            with self._lock:
                if not going_on.is_set():  # the thread that abandoned this one closes the source
                    return None
                self._source = None
            self._hanging.close(source)
            source = None
        leave.wait(delay_s)
        with self._lock:
            if going_on.is_set():
                self._heard_ns = self._silent_since_ns = self._clock.now_ns()
                self.state = "retrying"
        return source


def _nanoseconds(seconds: float) -> int:
    return int(min(1e9 * seconds, 2.0**62))
