"""Paced benchmark: steps at a sensor's rate, and whether each one ends before the next sample is due."""

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
    """Take a step at each multiple of the period, and sleep in between, as a sensor loop in Python does.

    Parameters
    ----------
    step
        ``step(x)``.
    rows
        Samples, repeated as needed.
    rate_hz
        Sample rate.
    seconds
        Duration.

    Returns
    -------
    dict
        ``samples``; ``misses``: number of steps that ended after the next sample was due. In ns, with ``_p50`` to
        ``_max``: ``wake_ns``: delay of the wake-up, ``paced_step_ns``: time of the step after it, ``response_ns``: the
        sum of both; and the ``histogram`` of the latter.

    Notes
    -----
    The garbage collector and the clock frequency are left as they are, since their cost is part of the result. A loop
    that has fallen behind processes the waiting samples without sleeping.

    Raises
    ------
    InputError
        The run would have no samples, or more than ten million.
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
