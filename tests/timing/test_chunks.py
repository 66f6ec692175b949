"""Timing: the requested work is measured; the times themselves are not tested."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from edge_rnn import Model, Stream
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.read_weights import ReadRecord
from edge_rnn.streams.plan import aligned
from edge_rnn.timing import calls, chunks, latency_of, reads, runs, time_steps, turns
from edge_rnn.timing.chunks import time_chunks


@pytest.mark.parametrize("floats", [0, 8, 56, 64, 72, 128, 1024, 1096])
@pytest.mark.parametrize("times", [0, 1, 3])
def test_read_loop_reads_every_value(floats: int, times: int) -> None:
    block, sums = aligned(floats + 8), aligned(24)
    block[:] = np.random.default_rng(floats).integers(-50, 50, floats + 8)  # sums of these are exact
    record = np.zeros(len(ReadRecord), np.int32)
    record[ReadRecord.FLOATS], record[ReadRecord.TIMES] = floats, times
    read = ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * 3)(object_cache.load("read").address)
    read(record.ctypes.data, block.ctypes.data, sums.ctypes.data)
    np.testing.assert_array_equal(sums.reshape(3, 8).sum(0), times * block[:floats].reshape(-1, 8).sum(0))


def test_makers_do_as_many_steps_as_asked_for(make_model: Callable[..., Model]) -> None:
    xs = np.arange(6, dtype=np.float32).reshape(3, 2)
    seen: list[float] = []
    calls(lambda x: seen.append(float(x[0])), xs)(7)()
    assert seen == [0, 2, 4, 0, 2, 4, 0]
    calls(lambda x: seen.append(-1), xs)(0)()
    calls(None, xs)(5)()
    numbers = count()
    turns(lambda: next(numbers))(4)()
    assert next(numbers) == 4
    assert len(seen) == 7
    reads(aligned(64))(0)()

    model = make_model("gru", 2, 5)
    stream, twin = Stream(model), Stream(model)
    runs(stream, xs)(7)()
    twin.run(np.resize(xs, (7, 2)))
    assert stream.snapshot() == twin.snapshot()
    runs(stream, xs)(0)()
    assert stream.snapshot() == twin.snapshot()


def counting() -> tuple[dict[int, int], Any]:
    """Number of calls of chunks of each length, and their maker."""
    called: dict[int, int] = {}

    def make(steps: int) -> Any:
        def chunk() -> None:
            called[steps] = called.get(steps, 0) + 1
            sum(range(20 * steps))

        return chunk

    return called, make


def test_chunks_take_turns_and_all_are_reported() -> None:
    called, make = counting()
    found = time_chunks({"a": make, "b": turns(lambda: None)}, seconds=0.02, enough=3)
    assert list(found) == ["a", "b"]
    for each in found.values():
        assert 0 <= each.ns <= each.p50
        assert 0 <= each.kept <= each.taken
        assert each.steps >= 1
    assert found["a"].taken == found["b"].taken
    assert called[found["a"].steps] >= found["a"].taken
    assert called[0] > 0  # what is taken off
    assert time_chunks({}) == {}


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    during: list[bool] = []
    was_on = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        time_steps({"step": lambda x: during.append(gc.isenabled())}, np.zeros((3, 1), np.float32), passes=2)
        assert gc.isenabled() == enabled
        with pytest.raises(ZeroDivisionError):
            time_steps({"step": lambda x: 1 / 0}, np.zeros((3, 1), np.float32), passes=1)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was_on else gc.disable)()
    assert during == [False] * 9  # a pass that does not count, and two that do


def test_disturbed_chunks_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()
    # Before and after a chunk: every other chunk is next to a calibration that is 6 % too slow.
    monkeypatch.setattr(chunks, "_calibrate", lambda: 106 if next(looks) % 4 == 3 else 100)
    found = time_chunks({"a": turns(lambda: None)}, seconds=10.0, enough=4)["a"]
    assert found.kept == 4
    assert found.taken in (7, 8)

    looks = count()
    monkeypatch.setattr(chunks, "_calibrate", lambda: 100 if next(looks) < 20 else 200)
    found = time_chunks({"a": turns(lambda: None)}, seconds=0.0, enough=4)["a"]
    assert (found.kept, found.taken) == (0, 3)
    assert found.ns >= 0


def test_distribution() -> None:
    taken = [150, 150, 150, 250, 1050]
    found = latency_of(taken, clock=[40, 50, 50, 60])
    assert (found.steps, found.clock, found.tick) == (5, 50, 10)
    assert (found.p50, found.max) == (100, 1000)
    assert found.p50 <= found.p99 <= found.p999 <= found.max
    assert found.as_json("x_ns") == {
        "x_ns_p50": 100,
        "x_ns_p99": round(float(np.quantile([100, 100, 100, 200, 1000], 0.99)), 1),
        "x_ns_p999": round(float(np.quantile([100, 100, 100, 200, 1000], 0.999)), 1),
        "x_ns_max": 1000,
    }
    edges, counts = found.histogram.edges_ns, found.histogram.counts
    assert (edges[0], edges[-1]) == (100, 1258.9)
    assert (counts[0], counts[3], counts[-1], sum(counts)) == (3, 1, 1, 5)  # 199.5 to 251.2 is the fourth
    assert len(edges) == len(counts) + 1


def test_distribution_of_calls_quicker_than_the_clock() -> None:
    found = latency_of([40, 50], clock=[60])
    assert (found.p50, found.max) == (0, 0)
    assert found.histogram.counts == (2,)


def test_every_call_is_timed(make_model: Callable[..., Model]) -> None:
    seen: list[float] = []
    found = time_steps({"a": lambda x: seen.append(x), "b": lambda x: None}, np.zeros((4, 1), np.float32), passes=3)
    assert {name: each.steps for name, each in found.items()} == {"a": 12, "b": 12}
    assert len(seen) == 16
    for each in found.values():
        assert 0 <= each.p50 <= each.p99 <= each.p999 <= each.max
        assert sum(each.histogram.counts) == each.steps
