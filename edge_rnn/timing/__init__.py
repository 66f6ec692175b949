"""Timing: chunks of many steps between calibrations, and single calls one by one."""

from __future__ import annotations

from edge_rnn.timing.chunks import Chunks, Make, calls, reads, runs, time_chunks, turns
from edge_rnn.timing.latency import Histogram, Latency, collector_off, latency_of, time_steps

__all__ = [
    "Chunks",
    "Histogram",
    "Latency",
    "Make",
    "calls",
    "collector_off",
    "latency_of",
    "reads",
    "runs",
    "time_chunks",
    "time_steps",
    "turns",
]
