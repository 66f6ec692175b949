"""What the parts of one loop share."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_rnn.loop.report.counters import Counters
from edge_rnn.loop.report.journal import Journal
from edge_rnn.loop.report.log_histogram import LogHistogram
from edge_rnn.loop.system.clock import Clock

__all__ = ["LoopContext"]


@dataclass(frozen=True, slots=True, eq=False)
class LoopContext:
    """A clock to go by, and the places where a loop's parts note what happens.

    Parameters
    ----------
    clock
        The machine's, or a test's.
    journal
        Where messages go.
    counters
        Counts of what has happened.
    lateness
        Histogram of how long after its deadline each tick began, in ns.
    work
        Histogram of what a sample takes from the ring, or from ``read``, to the sink's return, in ns.
    """

    clock: Clock
    journal: Journal
    counters: Counters = field(default_factory=Counters)
    lateness: LogHistogram = field(default_factory=LogHistogram)
    work: LogHistogram = field(default_factory=LogHistogram)
