"""Sensor loops: run a network on live samples for months, from a source to a sink.

The loop is :class:`edge_rnn.loop.SensorLoop`. :mod:`edge_rnn.loop.sources` and :mod:`edge_rnn.loop.sinks` hold the
ready-made sources and sinks; :class:`Source` and :class:`Sink` are the protocols to implement for your own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn.loop.protocols import SampleError, Sink, SinkClosed, Source, Timed
    from edge_rnn.loop.report.counters import Counters
    from edge_rnn.loop.report.log_histogram import LogHistogram
    from edge_rnn.loop.schedule import Decision, decide
    from edge_rnn.loop.scheme import Scheme, Url
    from edge_rnn.loop.schemes import open_sink, open_source
    from edge_rnn.loop.sensor_loop import SensorLoop
    from edge_rnn.loop.system.realtime import Realtime

__all__ = [
    "Counters",
    "Decision",
    "LogHistogram",
    "Realtime",
    "SampleError",
    "Scheme",
    "SensorLoop",
    "Sink",
    "SinkClosed",
    "Source",
    "Timed",
    "Url",
    "decide",
    "open_sink",
    "open_source",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "protocols": (
                "SampleError",
                "Sink",
                "SinkClosed",
                "Source",
                "Timed",
            ),
            "report.counters": ("Counters",),
            "report.log_histogram": ("LogHistogram",),
            "schedule": (
                "Decision",
                "decide",
            ),
            "scheme": (
                "Scheme",
                "Url",
            ),
            "schemes": (
                "open_sink",
                "open_source",
            ),
            "sensor_loop": ("SensorLoop",),
            "system.realtime": ("Realtime",),
        },
    )
