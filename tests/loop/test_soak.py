"""Long runs of a loop: memory and time per sample stay constant."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.loop import Counters, LogHistogram, Realtime, SampleError, sinks, sources
from loop_fakes import FakeClock, loop


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def soak(tmp_path: Path, samples: int, *, traced: bool) -> None:
    """Run good samples mixed with every possible fault, at a rate, by a clock that does not wait."""
    clock = FakeClock()
    good = np.ones(1, np.float32)
    bad: list[Any] = ["x", [1, 2], SampleError("bad"), OSError("gone"), np.full(1, np.nan, np.float32)]
    count = 0
    marks: list[tuple[int, int, int]] = []
    marked = {samples // 4, samples // 2, samples - 1}

    def read() -> Any:
        nonlocal count
        count += 1
        if count in marked:
            gc.collect()
            made._chores._clerk.wait(60)
            marks.append((sys.getallocatedblocks(), tracemalloc.get_traced_memory()[0], rss_bytes()))
        if count == samples:
            made.stop()
        if count % 50 == 0:
            value = bad[count // 50 % len(bad)]
            if isinstance(value, Exception):
                raise type(value)(*value.args)
            return value
        if count % 1001 == 0:
            clock.pass_s(0.0035)  # a few deadlines pass
        return good

    def write(y: Any, t_s: float) -> None:
        if count % 70 == 0:
            raise OSError("full")

    made = loop(
        sources.Call(read),
        sinks.Call(write),
        1000,
        clock=clock,
        snapshot=tmp_path / "state",
        snapshot_every_s=max(samples / 1000 / 50, 1.0),
        status=tmp_path / "status",
        status_every_s=max(samples / 1000 / 50, 1.0),
        collect="slack",
        realtime=Realtime(),
    )
    if traced:
        tracemalloc.start()
    try:
        counters = made.run()
    finally:
        tracemalloc.stop()
    assert counters.samples + counters.source_failures == samples
    assert counters.snapshots > 10
    (early, late) = marks[0], marks[-1]
    # Three quarters of the run lie between. Integers that have grown, a message: not one thing more for each sample.
    assert late[0] - early[0] < 1000, marks
    assert late[1] - early[1] < 64 * 1024, marks
    assert late[2] - early[2] < 4 * 1024 * 1024, marks


@pytest.mark.parametrize("samples", [20_000, 100_000])
@pytest.mark.slow
def test_nothing_grows(samples: int, tmp_path: Path) -> None:
    soak(tmp_path, samples, traced=True)


@pytest.mark.slow
def test_nothing_grows_in_a_million_samples(tmp_path: Path) -> None:
    soak(tmp_path, 1_000_000, traced=False)


def test_counters_cost_the_same_with_large_numbers() -> None:
    """Counters have a fixed size: an array of 64-bit words, and one integer per counter."""
    histogram = LogHistogram()
    before = sys.getsizeof(histogram._buckets)
    for i in range(10_000):
        histogram.record(i * i)
    assert sys.getsizeof(histogram._buckets) == before < 5000
    assert not hasattr(Counters(), "__dict__")
