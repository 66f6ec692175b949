"""The sink as the loop sees it: a failing one loses outputs, and never stops the loop."""

from __future__ import annotations

from edge_rnn.loop.backoff import Backoff, spell_delay
from edge_rnn.loop.clock import Clock
from edge_rnn.loop.counters import Counters
from edge_rnn.loop.hanging import close_aside
from edge_rnn.loop.journal import Journal
from edge_rnn.loop.protocols import Array, Sink, SinkClosed

__all__ = ["Outlet"]


class Outlet:
    """A sink with what becomes of its errors.

    Attributes
    ----------
    closed
        Whether the sink wants no more.
    """

    def __init__(self, sink: Sink, counters: Counters, clock: Clock, journal: Journal) -> None:
        self._sink = sink
        self._counters = counters
        self._clock = clock
        self._journal = journal
        self._backoff = Backoff()
        self._retry_ns = 0
        self.closed = False

    def write(self, y: Array, t_s: float) -> None:
        """Hand over an output, or count it as lost."""
        if self._retry_ns and self._clock.now_ns() < self._retry_ns:
            self._counters.unwritten += 1
            return
        try:
            self._sink.write(y, t_s)
        except SinkClosed:
            self._counters.unwritten += 1
            self.closed = True
        except Exception as error:
            self._counters.sink_failures += 1
            self._counters.unwritten += 1
            delay_s = self._backoff.failed()
            self._retry_ns = self._clock.now_ns() + int(1e9 * delay_s)
            text = str(error).rstrip(".") or type(error).__name__
            self._journal.tell("sink", f"the sink failed: {text}; it is tried again {spell_delay(delay_s)}.")
        else:
            self._counters.written += 1
            if self._retry_ns:
                self._retry_ns = 0
                self._backoff.succeeded()
                self._journal.tell("sink back", "the sink is back.")

    def close(self) -> None:
        """Let go of the sink."""
        close_aside(self._sink, wait_s=5.0)
