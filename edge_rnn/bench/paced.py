"""A run at a sensor's pace: whether each step ends before the next sample is due."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Any

from edge_rnn.errors import InputError
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["paced"]

_MOST_SAMPLES = 10_000_000


def paced(step: Callable[[Any], Any], rows: Sequence[Any], rate_hz: float, seconds: float) -> dict[str, Any]:
    """Take a step at each multiple of the period, asleep in between, as a sensor loop in Python does.

    Parameters
    ----------
    step
        ``step(x)``.
    rows
        Samples, taken again and again.
    rate_hz
        Samples a second.
    seconds
        How long.

    Returns
    -------
    dict
        ``samples``; ``misses``: steps that ended after the next sample was due. In ns, ``_p50`` to ``_max``:
        ``wake_ns``: how late the loop woke up, ``paced_step_ns``: the step after such a sleep, ``response_ns``: both
        together; and the ``histogram`` of the latter.

    Notes
    -----
    Garbage collector and clock frequency are as they are: what they cost is what is to be found out. A loop that has
    fallen behind takes the samples that wait without sleeping.

    Raises
    ------
    InputError
        There would be no sample, or more than ten million.
    """
    from edge_rnn.timing import latency_of

    count = int(rate_hz * seconds)
    if not 1 <= count <= _MOST_SAMPLES:
        raise InputError(
            f"--rate {rate_hz:g} for --seconds {seconds:g} is {counted(count, 'sample')}, expected 1 to 10000000."
        )
    now, sleep, period = time.perf_counter_ns, time.sleep, 1e9 / rate_hz
    wakes, ends, many = array("q", bytes(8 * count)), array("q", bytes(8 * count)), len(rows)
    for x in rows:
        step(x)
    start = now() + 1_000_000
    for i in range(count):
        wait = start + i * period - now()
        if wait > 0:
            sleep(wait / 1e9)
        wakes[i] = now()
        step(rows[i % many])
        ends[i] = now()
    due = [start + int(i * period) for i in range(count)]
    clock = [-(now() - now()) for _ in range(1001)]
    late = latency_of([max(woke - at, 0) for woke, at in zip(wakes, due, strict=True)], [0])
    took = latency_of([end - woke for woke, end in zip(wakes, ends, strict=True)], clock)
    response = latency_of([max(end - at, 0) for end, at in zip(ends, due, strict=True)], [0])
    return {
        "rate_hz": rate_hz,
        "seconds": seconds,
        "samples": count,
        "misses": sum(end > at + period for end, at in zip(ends, due, strict=True)),
        **late.as_json("wake_ns"),
        **took.as_json("paced_step_ns"),
        **response.as_json("response_ns"),
        "histogram": {"edges_ns": response.histogram.edges_ns, "counts": response.histogram.counts},
    }
