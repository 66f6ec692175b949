"""Objects shared by the parts of one loop."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_rnn.loop.report.counters import Counters
from edge_rnn.loop.report.journal import Journal
from edge_rnn.loop.report.log_histogram import LogHistogram
from edge_rnn.loop.system.clock import Clock

__all__ = ["LoopContext"]


@dataclass(frozen=True, slots=True, eq=False)
class LoopContext:
    """Clock, journal, counters and histograms of one loop.

    Parameters
    ----------
    clock
        The system clock, or a test double.
    journal
        Receiver of messages.
    counters
        Event counts.
    lateness
        Histogram of tick lateness in ns: start of the tick minus its deadline.
    work
        Histogram of processing time in ns, from taking a sample (ring or ``read``) to the return of the sink.
    """

    clock: Clock
    journal: Journal
    counters: Counters = field(default_factory=Counters)
    lateness: LogHistogram = field(default_factory=LogHistogram)
    work: LogHistogram = field(default_factory=LogHistogram)
