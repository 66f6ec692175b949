"""Timing of chunks of many steps between calibrations, with disturbed chunks discarded.

A chunk is about 0.4 ms of steps. A calibration of about 15 µs comes before and after each chunk: the compiled read loop
(:mod:`edge_rnn.kernels.program.read_weights`) over 8 kB, which fits the L1 cache. It slows down with the clock, and
also when another thread on the same core takes load slots; a chain of dependent additions would not show the latter. A
chunk next to a calibration that is more than 5 % slower than the fastest one of the run is discarded. Candidates to be
compared take turns within one run.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_rnn.timing.latency import collector_off
from edge_rnn.typing import F32

if TYPE_CHECKING:
    from edge_rnn.streams.stream import Stream

__all__ = ["Chunks", "Make", "calls", "reads", "runs", "time_chunks", "turns"]


Make = Callable[[int], Callable[[], Any]]
"""``make(n)`` returns a callable that performs ``n`` steps; ``n`` may be 0."""

_CHUNK_NS = 400_000
_MAX_STEPS = 20_000
_MIN_STEPS = 16  # after weights that fill the caches, the code around a chunk has to be fetched again
_CALIBRATION_BYTES = 8192
_CALIBRATION_PASSES = 400
_DISTURBED = 1.05
_LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Chunks:
    """Step time in ns, measured over chunks of many steps, with the time of an empty chunk subtracted.

    Parameters
    ----------
    ns, p50
        Minimum and median over the valid chunks.
    steps
        Steps per chunk.
    kept, taken
        Number of valid chunks, and of all chunks. If every chunk was disturbed, ``kept`` is 0 and all of them are used.
    """

    ns: float
    p50: float
    steps: int
    kept: int
    taken: int


def time_chunks(makes: Mapping[str, Make], *, seconds: float = 0.3, enough: int = 25) -> dict[str, Chunks]:
    """Time the steps of several candidates, chunk by chunk in turn, each chunk after a shorter warm-up.

    Parameters
    ----------
    makes
        Functions that make a chunk of a given number of steps, by name.
    seconds
        Maximum time for each candidate. An undisturbed machine needs less.
    enough
        Number of valid chunks per candidate after which the measurement ends.

    Notes
    -----
    The garbage collector is off during the measurement.
    """
    chunks = {name: _sized(make) for name, make in makes.items()}
    taken: dict[str, list[tuple[int, int]]] = {name: [] for name in makes}
    quickest = min(_calibrate() for _ in range(20))
    now = time.perf_counter_ns
    end = now() + 1e9 * seconds * len(makes)
    with collector_off():
        while True:
            for name, (warm, call, _, _) in chunks.items():
                warm()
                before = _calibrate()
                start = now()
                call()
                ns = now() - start
                worst = max(before, _calibrate())
                quickest = min(quickest, before, worst)
                taken[name].append((ns, worst))
            counts = [sum(worst <= quickest * _DISTURBED for _, worst in each) for each in taken.values()]
            rounds = max((len(each) for each in taken.values()), default=0)
            if min(counts, default=enough) >= enough or (now() > end and rounds >= _LEAST_ROUNDS):
                break
    return {
        name: _chunks(taken[name], quickest * _DISTURBED, steps, idle) for name, (_, _, steps, idle) in chunks.items()
    }


def runs(stream: Stream, xs: F32) -> Make:
    """Steps inside ``stream.run``, over the rows of ``xs``, repeated or cut to the requested number."""

    def make(count: int) -> Callable[[], Any]:
        rows = np.ascontiguousarray(np.resize(xs, (count, xs.shape[1])))
        out = np.zeros((count, stream.output_size), np.float32)
        return lambda: stream.run(rows, out)

    return make


def calls(step: Callable[[Any], Any] | None, xs: F32) -> Make:
    """Calls of ``step(x)`` in a Python loop over the rows of ``xs``, repeated as needed; with None, the empty loop."""
    few = list(xs)

    def make(count: int) -> Callable[[], Any]:
        rows = list(islice(chain.from_iterable(repeat(few)), count))

        def loop() -> None:
            for _ in rows:
                pass

        def loop_of_calls(step: Any = step) -> None:
            for x in rows:
                step(x)

        return loop if step is None else loop_of_calls

    return make


def turns(call: Callable[[], Any]) -> Make:
    """Calls without arguments."""

    def make(count: int) -> Callable[[], Any]:
        def loop() -> None:
            for _ in range(count):
                call()

        return loop

    return make


def reads(block: F32) -> Make:
    """Passes over a block of memory ``(n,)`` with vector loads, in a compiled loop.

    ``block`` has to be aligned to 8 floats, and ``n`` a multiple of 8. It has to have been written to: untouched memory
    is mapped to a single page of zeros, which stays in the L1 cache.
    """
    from edge_rnn.kernels.program.read_weights import ReadRecord
    from edge_rnn.streams.plan import aligned

    sums, read = aligned(24), _reader()

    def make(count: int) -> Callable[[], Any]:
        record = np.zeros(len(ReadRecord), np.int32)
        record[ReadRecord.FLOATS], record[ReadRecord.TIMES] = block.size, count
        addresses = (record.ctypes.data, block.ctypes.data, sums.ctypes.data)

        def loop(keep_alive: Any = (record, block, sums)) -> None:
            read(*addresses)

        return loop

    return make


def _sized(make: Make) -> tuple[Callable[[], Any], Callable[[], Any], int, float]:
    """Return a warm-up chunk, a chunk of suitable length, its number of steps, and the time of an empty chunk in ns."""
    steps, ns = 1, 0.0
    while True:
        call = make(steps)
        ns = min(_once(call) for _ in range(2))
        if ns >= _CHUNK_NS / 4 or steps >= _MAX_STEPS:
            break
        steps *= 2 if ns > _CHUNK_NS / 64 else 8
    least = _MIN_STEPS if ns / steps < _CHUNK_NS / 4 else 1
    steps = max(least, min(_MAX_STEPS, round(steps * _CHUNK_NS / max(ns, 1.0))))
    nothing = make(0)
    return make(max(2, steps // 4)), make(steps), steps, min(_once(nothing) for _ in range(50))


def _once(call: Callable[[], Any]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


def _chunks(taken: list[tuple[int, int]], limit: float, steps: int, idle: float) -> Chunks:
    quiet = [ns for ns, worst in taken if worst <= limit]
    per_step = np.maximum(np.array(quiet or [ns for ns, _ in taken]) - idle, 0.0) / steps
    return Chunks(float(per_step.min()), float(np.median(per_step)), steps, len(quiet), len(taken))


def _calibrate() -> int:
    """Time one calibration in ns, after a pass that loads its block."""
    fetch, calibration = _calibration()
    fetch()
    return _once(calibration)


@cache
def _calibration() -> tuple[Callable[[], Any], Callable[[], Any]]:
    from edge_rnn.streams.plan import aligned

    block = aligned(_CALIBRATION_BYTES // 4)
    block.fill(1)
    make = reads(block)
    return make(2), make(_CALIBRATION_PASSES)


@cache
def _reader() -> Callable[..., None]:
    from edge_rnn.kernels.entry import object_cache

    return ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * 3)(object_cache.load("read").address)
