"""A network at work in a loop that runs for months: the loop, and what it reads from and writes to.

The loop is :class:`edge_rnn.loop.SensorLoop`. :mod:`edge_rnn.loop.sources` and :mod:`edge_rnn.loop.sinks` hold what is
ready-made; :class:`Source` and :class:`Sink` say how to write another one.
"""

from __future__ import annotations

from edge_rnn.loop.protocols import SampleError, Sink, SinkClosed, Source, Timed
from edge_rnn.loop.report.counters import Counters
from edge_rnn.loop.report.log_histogram import LogHistogram
from edge_rnn.loop.schedule import Decision, decide
from edge_rnn.loop.sensor_loop import SensorLoop
from edge_rnn.loop.system.realtime import Realtime
from edge_rnn.loop.urls import open_sink, open_source

__all__ = [
    "Counters",
    "Decision",
    "LogHistogram",
    "Realtime",
    "SampleError",
    "SensorLoop",
    "Sink",
    "SinkClosed",
    "Source",
    "Timed",
    "decide",
    "open_sink",
    "open_source",
]
