"""Rows of weights times values: every sum is exact if float32 can hold it, for any number of chains and streams."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba.core import types

from edge_rnn.kernels.compile.compiler import FLOATS, INT32S, WORDS
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices import weight_loads
from edge_rnn.kernels.matrices.rows import fma_rows, fma_rows_listed, rows_by
from edge_rnn.kernels.vectors.addresses import floats_from
from kernel_calls import addresses, aligned, compiled, load_sums, runnable, store_sums

pytestmark = pytest.mark.sampled(2)

TARGETS = runnable()
CPUS = sorted(TARGETS, key=lambda cpu: (cpu != "host", cpu))

# chains, gates, lanes of a stream, floats from one vector of a row to the next, streams
SHAPES = [
    (1, 1, 64, 64, 1),
    (2, 4, 8, 8, 1),
    (3, 3, 8, 8, 1),  # three chains are added up in two rounds
    (8, 1, 8, 8, 1),
    (2, 3, 16, 16, 1),
    (1, 4, 4, 16, 1),  # a part of a panel, as without vectors
    (1, 3, 8, 16, 4),
    (5, 1, 8, 8, 2),
    (4, 2, 8, 8, 1),
    (7, 1, 8, 8, 1),
    (1, 4, 32, 32, 1),
    (2, 1, 32, 32, 1),
    (1, 1, 8, 64, 1),
    (2, 2, 16, 16, 2),
]


def call_of(
    rows_of: Any, chains: int, gates: int, lanes: int, pitch: int, streams: int, target: Target
) -> Callable[..., None]:
    """``(sums, weights, addresses of vectors, rows)``: sums are replaced by what the loop makes of them."""
    width = lanes * streams

    def add_rows(sums, weights, xs, rows):  # type: ignore[no-untyped-def]
        start = load_sums(gates, width, sums)
        store_sums(rows_of(chains, start, weights, pitch, floats_from(streams, xs), rows), sums)

    return compiled(add_rows, types.void(FLOATS, FLOATS, WORDS, types.int64), target)


def whole(rng: np.random.Generator, most: int, *shape: int) -> np.ndarray:
    return rng.integers(-most, most, shape, endpoint=True).astype(np.float32)


def in_rows(weights: np.ndarray, pitch: int) -> np.ndarray:
    """``(rows, gates, lanes)`` with NaN between a vector and the next, where nothing is to be read."""
    gaps = ((0, 0), (0, 0), (0, pitch - weights.shape[2]))
    return np.pad(weights, gaps, constant_values=np.nan)


def sum_of(start: np.ndarray, weights: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """``(gates, streams, lanes)`` float64: ``start[g, s, l] + sum over k of weights[k, g, l] * xs[s, k]``."""
    return start.astype(np.float64) + np.einsum("kgl,sk->gsl", weights.astype(np.float64), xs.astype(np.float64))


def check(
    call: Callable[..., None], shape: tuple[int, ...], rows: int, dtype: Any = np.float32, unit: float = 1.0
) -> None:
    """Compare sums of whole numbers times ``unit``, a power of two: 256 * 50 * 100 < 2^24, exact in any order."""
    _, gates, lanes, pitch, streams = shape
    rng = np.random.default_rng([rows, *shape])
    weights, xs = whole(rng, 50, rows, gates, lanes) * np.float32(unit), whole(rng, 100, streams, rows)
    start = whole(rng, 1000, gates, streams, lanes) * np.float32(unit)
    sums, held = aligned(start), [aligned(x) for x in xs]
    stored = aligned(in_rows(weights, pitch).astype(dtype).view(np.float32))
    call(sums, stored, addresses(held), rows)
    expected = sum_of(start, weights, xs)
    np.testing.assert_array_equal(sums.reshape(start.shape), expected, err_msg=f"{rows} rows")


def counts(chains: int) -> list[int]:
    """Rows around a turn of the loop, and many."""
    return sorted({0, 1, 2, 3, chains - 1, chains, chains + 1, 2 * chains - 1, 2 * chains, 2 * chains + 1, 37, 256})


@pytest.mark.parametrize(("shape", "cpu"), list(itertools.product(SHAPES, CPUS)), ids=str)
def test_each_gate_of_each_stream_gets_its_own_sum(shape: Any, cpu: str) -> None:
    call = call_of(fma_rows, *shape, TARGETS[cpu])
    for rows in counts(shape[0]):
        check(call, shape, rows)


PLAIN = (2, 3, 8, 8, 2)


@cache
def plain() -> Callable[..., None]:
    return call_of(fma_rows, *PLAIN, TARGETS["host"])


def test_no_row_leaves_the_sums_bit_for_bit() -> None:
    start = aligned(np.resize(np.array([-0.0, np.nan, np.inf, 1e-45, 3.4e38], np.float32), 48))
    sums = aligned(start)
    nothing = aligned([])
    plain()(sums, nothing, addresses([nothing, nothing]), 0)
    assert sums.tobytes() == start.tobytes()


def test_one_row_is_rounded_once() -> None:
    rng = np.random.default_rng(1)
    weights, xs = (rng.standard_normal(shape).astype(np.float32) for shape in ((1, 3, 8), (2, 1)))
    sums, held = aligned(np.zeros(48)), [aligned(x) for x in xs]
    plain()(sums, aligned(weights), addresses(held), 1)
    np.testing.assert_array_equal(sums.reshape(3, 2, 8), sum_of(np.zeros((3, 2, 8)), weights, xs).astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 1, 4])
def test_a_value_that_is_not_finite_reaches_all_sums_of_its_stream_and_no_other(bad: float, row: int) -> None:
    """Five rows: two turns of two chains, and one alone. An infinity times a weight of 0 is NaN."""
    rng = np.random.default_rng(2)
    weights, xs = whole(rng, 9, 5, 3, 8), whole(rng, 9, 2, 5)
    weights[row, :, ::2] = 0
    xs[1, row] = bad
    sums, held = aligned(np.zeros(48)), [aligned(x) for x in xs]
    plain()(sums, aligned(weights), addresses(held), 5)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(sums.reshape(3, 2, 8), sum_of(np.zeros((3, 2, 8)), weights, xs))
    assert not np.isfinite(sums.reshape(3, 2, 8)[:, 1]).any()
    assert np.isfinite(sums.reshape(3, 2, 8)[:, 0]).all()


# ---- float16

HALVES = {"by the instruction": rows_by(weight_loads.halves), "by integers": rows_by(weight_loads.soft_halves)}


@cache
def call_of_halves(how: str, shape: tuple[int, ...], cpu: str) -> Callable[..., None]:
    return call_of(HALVES[how], *shape, TARGETS[cpu])


@pytest.mark.parametrize(
    ("how", "shape", "cpu"),
    [
        (how, shape, cpu)
        for how, shape, cpu in itertools.product(HALVES, [(2, 4, 8, 8, 1), (1, 1, 16, 16, 1)], CPUS)
        if how == "by integers" or TARGETS[cpu].converts_half
    ],
    ids=str,
)
def test_rows_of_float16_are_summed_up_in_float32(how: str, shape: Any, cpu: str) -> None:
    call = call_of_halves(how, shape, cpu)
    for rows in counts(shape[0]):
        check(call, shape, rows, np.float16)
        check(call, shape, rows, np.float16, unit=2.0**-24)  # subnormal all of them


@pytest.mark.parametrize(
    "how", [how for how in HALVES if how == "by integers" or TARGETS["host"].converts_half], ids=str
)
def test_every_finite_float16_is_the_number_that_it_stands_for(how: str) -> None:
    call, x = call_of_halves(how, (2, 4, 8, 8, 1), "host"), aligned([1.0])
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    for row in every[np.isfinite(every)].reshape(-1, 32):
        sums = aligned(np.zeros(32))
        call(sums, aligned(row.view(np.float32)), addresses([x]), 1)
        np.testing.assert_array_equal(sums, row)


# ---- rows with an index


@pytest.mark.parametrize(("chains", "gates", "lanes", "pitch"), [(2, 2, 8, 16), (1, 4, 16, 16)])
@pytest.mark.sampled(1)
def test_rows_with_an_index_take_the_value_that_it_names(chains: int, gates: int, lanes: int, pitch: int) -> None:

    def add_listed(sums, weights, xs, rows, index):  # type: ignore[no-untyped-def]
        start = load_sums(gates, lanes, sums)
        store_sums(fma_rows_listed(chains, start, weights, pitch, floats_from(1, xs), rows, index), sums)

    call = compiled(add_listed, types.void(FLOATS, FLOATS, WORDS, types.int64, INT32S), TARGETS["host"])
    for rows in (0, 1, 2, 3, 4, 5, 30):
        rng = np.random.default_rng(rows)
        weights, start = whole(rng, 50, rows, gates, lanes), whole(rng, 1000, gates, 1, lanes)
        index = rng.integers(0, 90, rows)  # in any order, some of them twice
        values = whole(rng, 100, 90)
        x = np.full(90, np.nan, np.float32)
        x[index] = values[index]
        sums, held = aligned(start), aligned(x)
        call(sums, aligned(in_rows(weights, pitch)), addresses([held]), rows, aligned(index, np.int32))
        expected = sum_of(start, weights, values[None, index])
        np.testing.assert_array_equal(sums.reshape(start.shape), expected, err_msg=f"{rows} rows")
