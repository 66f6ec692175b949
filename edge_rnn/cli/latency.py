"""How long steps take, called one at a time from Python or many at once in compiled code."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.console import spell_ns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_rnn.stream import Stream

__all__ = ["Latency", "LoopTime", "spell_clock", "spell_latency", "time_loop", "time_steps"]

_BATCH_NS = 500_000  # short enough that most batches are left alone by whatever else runs


@dataclass(frozen=True, slots=True)
class Latency:
    """Distribution of the time that one call takes, in ns, the clock's own cost taken off.

    Parameters
    ----------
    steps
        How many calls were timed.
    p50, p99, p999, max
        Quantiles.
    clock
        What was taken off each: the median of two looks at the clock with nothing in between.
    tick
        What the clock's differences are multiples of.
    """

    steps: int
    p50: float
    p99: float
    p999: float
    max: float
    clock: float
    tick: int

    def as_json(self, prefix: str) -> dict[str, float]:
        """Quantiles by ``PREFIX_p50`` and so on, rounded to 0.1 ns."""
        return {f"{prefix}_{name}": round(getattr(self, name), 1) for name in ("p50", "p99", "p999", "max")}


@dataclass(frozen=True, slots=True)
class LoopTime:
    """Time per step inside ``Stream.run``, in ns: least and median over short batches."""

    batches: int
    batch_steps: int
    min: float
    p50: float


def time_steps(steps: Mapping[str, Callable[[Any], Any]], xs: NDArray[np.float32], passes: int) -> dict[str, Latency]:
    """Time each call of functions that take one sample, the functions in turn within each pass over the samples.

    Parameters
    ----------
    steps
        Functions ``step(x)`` by name.
    xs
        ``(time, input_size)`` float32.
    passes
        How often to go over ``xs``; one more comes first and does not count.

    Notes
    -----
    Taken with ``time.perf_counter_ns`` and with the garbage collector off.
    """
    rows = list(xs)
    taken: dict[str, list[int]] = {name: [] for name in steps}
    clock: list[int] = []
    with _collector_off():
        for number in range(passes + 1):
            looks = _looks(len(rows))
            for name, step in steps.items():
                nanoseconds = _each(step, rows)
                if number:
                    taken[name] += nanoseconds
            if number:
                clock += looks
    return {name: _latency(nanoseconds, clock) for name, nanoseconds in taken.items()}


def time_loop(stream: Stream, xs: NDArray[np.float32], batches: int = 200) -> LoopTime:
    """Time steps inside compiled code: ``stream.run`` over many batches of about half a millisecond."""
    import numpy as np

    now = time.perf_counter_ns
    stream.run(xs[:1])
    start = now()
    stream.run(xs)
    one = max((now() - start) / len(xs), 1.0)
    count = max(1, min(20_000, int(_BATCH_NS / one)))
    batch = np.ascontiguousarray(np.tile(xs, (-(-count // len(xs)), 1))[:count])
    out = np.empty((count, stream.output_size), np.float32)
    taken = np.empty(batches)
    with _collector_off():
        for i in range(batches):
            start = now()
            stream.run(batch, out)
            taken[i] = (now() - start) / count
    return LoopTime(batches, count, float(taken.min()), float(np.median(taken)))


def spell_latency(latency: Latency) -> str:
    """Write the quantiles in words."""
    quantiles = ((latency.p50, "p50"), (latency.p99, "p99"), (latency.p999, "p99.9"), (latency.max, "max"))
    return ", ".join(f"{spell_ns(value)} {name}" for value, name in quantiles)


def spell_clock(latency: Latency) -> str:
    """Write what was taken off for the clock in words, and how fine it is where it is coarse."""
    return spell_ns(latency.clock) + (f" (it ticks every {latency.tick} ns)" if latency.tick > 1 else "")


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


def _latency(nanoseconds: list[int], clock: list[int]) -> Latency:
    import numpy as np

    cost = float(np.median(clock))
    values = np.maximum(np.array(nanoseconds, float) - cost, 0.0)
    p50, p99, p999 = (float(value) for value in np.quantile(values, (0.5, 0.99, 0.999)))
    return Latency(len(values), p50, p99, p999, float(values.max()), cost, max(1, math.gcd(*nanoseconds, *clock)))


@contextmanager
def _collector_off() -> Iterator[None]:
    """Collect garbage now rather than in the middle of a measurement."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
