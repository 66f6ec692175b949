"""Timing of single calls: the distribution of their times, disturbances included."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.typing import F32, F64

__all__ = ["Histogram", "Latency", "collector_off", "latency_of", "time_steps"]


_BINS_PER_DECADE = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """Histogram of call times: ``counts[i]`` from ``edges_ns[i]`` up to ``edges_ns[i + 1]``, ten bins per decade."""

    edges_ns: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Distribution of the time of a call in ns, with the cost of reading the clock subtracted.

    Parameters
    ----------
    steps
        Number of timed calls.
    p50, p99, p999, max
        Quantiles and maximum.
    clock
        Subtracted cost of the clock: the median over two consecutive readings.
    tick
        Resolution: all time differences are multiples of it.
    histogram
        The whole distribution.
    """

    steps: int
    p50: float
    p99: float
    p999: float
    max: float
    clock: float
    tick: int
    histogram: Histogram

    def as_json(self, prefix: str) -> dict[str, float]:
        """Quantiles as ``PREFIX_p50`` and so on, rounded to 0.1 ns."""
        return {f"{prefix}_{name}": round(getattr(self, name), 1) for name in ("p50", "p99", "p999", "max")}


def time_steps(steps: Mapping[str, Callable[[Any], Any]], xs: F32 | Sequence[F32], passes: int) -> dict[str, Latency]:
    """Time each call of functions of one sample; the functions take turns within each pass over the samples.

    Parameters
    ----------
    steps
        Functions ``step(x)`` by name.
    xs
        ``(time, input_size)`` float32, or its rows.
    passes
        Number of passes over ``xs``, after one warm-up pass.

    Notes
    -----
    Measured with ``time.perf_counter_ns`` and with the garbage collector off. No call is discarded: disturbances are
    part of the distribution.
    """
    rows = list(xs)
    taken: dict[str, list[int]] = {name: [] for name in steps}
    clock: list[int] = []
    with collector_off():
        for number in range(passes + 1):
            looks = _looks(len(rows))
            for name, step in steps.items():
                nanoseconds = _each(step, rows)
                if number:
                    taken[name] += nanoseconds
            if number:
                clock += looks
    return {name: latency_of(nanoseconds, clock) for name, nanoseconds in taken.items()}


def latency_of(nanoseconds: Sequence[int], clock: Sequence[int]) -> Latency:
    """Distribution of measured times, given the times between two consecutive readings of the clock."""
    cost = float(np.median(clock))
    values = np.maximum(np.array(nanoseconds, float) - cost, 0.0)
    p50, p99, p999 = (float(value) for value in np.quantile(values, (0.5, 0.99, 0.999)))
    tick = max(1, math.gcd(*nanoseconds, *clock))
    return Latency(len(values), p50, p99, p999, float(values.max()), cost, tick, _histogram(values))


@contextmanager
def collector_off() -> Iterator[None]:
    """Collect garbage now, and turn the collector off during the context."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _histogram(values: F64) -> Histogram:
    bins = np.floor(np.log10(np.maximum(values, 1.0)) * _BINS_PER_DECADE).astype(int)
    first = int(bins.min())
    counts = np.bincount(bins - first)
    edges = 10 ** (np.arange(first, first + len(counts) + 1) / _BINS_PER_DECADE)
    return Histogram(tuple(edges.round(1).tolist()), tuple(counts.tolist()))


def _each(step: Callable[[Any], Any], rows: list[Any]) -> list[int]:
    now = time.perf_counter_ns
    taken = [0] * len(rows)
    for i, x in enumerate(rows):
        start = now()
        step(x)
        taken[i] = now() - start
    return taken


def _looks(count: int) -> list[int]:
    now = time.perf_counter_ns
    taken = [0] * count
    for i in range(count):
        start = now()
        taken[i] = now() - start
    return taken
