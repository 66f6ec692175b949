"""Outlet: wraps the sink, so that a failing sink loses outputs but never stops the loop."""

from __future__ import annotations

from collections.abc import Callable

from edge_rnn.loop.backoff import Backoff, spell_delay
from edge_rnn.loop.context import LoopContext
from edge_rnn.loop.input.hanging import close_aside
from edge_rnn.loop.protocols import Sink, SinkClosed
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

__all__ = ["Outlet"]

_CLOSE_S = 15.0
_PATIENCE_NS = 10_000_000_000
_LOOK_S = 0.01


class Outlet:
    """A sink with error handling.

    Parameters
    ----------
    patient
        Returns True if the input can wait, as for a recording that is not played in real time. A sink that is full and
        raises BlockingIOError is then retried for up to 10 s.

    Attributes
    ----------
    closed
        True if the sink accepts no more outputs.
    """

    def __init__(self, sink: Sink, context: LoopContext, patient: Callable[[], bool]) -> None:
        self._sink = sink
        self._counters = context.counters
        self._clock = context.clock
        self._journal = context.journal
        self._patient = patient
        self._backoff = Backoff()
        self._retry_ns = 0
        self.closed = False

    def write(self, y: F32, t_s: float) -> None:
        """Write an output to the sink, or count it as lost."""
        if self._retry_ns and self._clock.now_ns() < self._retry_ns:
            self._counters.unwritten += 1
            return
        try:
            self._hand_over(y, t_s)
        except SinkClosed:
            self._counters.unwritten += 1
            self.closed = True
        except Exception as error:
            self._counters.sink_failures += 1
            self._counters.unwritten += 1
            delay_s = self._backoff.failed()
            self._retry_ns = self._clock.now_ns() + int(1e9 * delay_s)
            text = str(error).rstrip(".") or type(error).__name__
            self._journal.tell("sink", f"the sink failed: {text}; retrying {spell_delay(delay_s)}.")
        else:
            self._counters.written += 1
            if self._retry_ns:
                self._retry_ns = 0
                self._backoff.succeeded()
                self._journal.tell("sink back", "the sink is back.")

    @property
    def undelivered(self) -> int:
        """Outputs accepted but not yet delivered, as reported by the sink."""
        return int(getattr(self._sink, "undelivered", 0))

    def close(self) -> None:
        """Release the sink, and count accepted but undelivered outputs as lost."""
        close_aside(self._sink, wait_s=_CLOSE_S)
        if lost := min(self.undelivered, self._counters.written):
            self._counters.written -= lost
            self._counters.unwritten += lost
            self._journal.tell("sink", f"the sink accepted {counted(lost, 'result')} that it could not deliver.")

    def _hand_over(self, y: F32, t_s: float) -> None:
        end_ns = self._clock.now_ns() + _PATIENCE_NS
        while True:
            try:
                self._sink.write(y, t_s)
                return
            except BlockingIOError:
                if self._retry_ns or not self._patient() or self._clock.now_ns() >= end_ns:
                    raise
            self._clock.sleep(_LOOK_S)
