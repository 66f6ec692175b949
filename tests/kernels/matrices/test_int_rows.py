"""Rows of small integers times a rounded vector: sums equal integer sums, exactly where float32 can hold them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numba.core import types

from edge_rnn.kernels.compile.compiler import FLOATS, WORDS
from edge_rnn.kernels.matrices.int_rows import int_rows
from edge_rnn.kernels.vectors.addresses import floats_from
from integer_layouts import segment_bytes, vector_bytes
from kernel_calls import addresses, aligned, compiled, load_sums, runnable, store_sums

pytestmark = pytest.mark.sampled(2)

TARGETS = runnable()
CPUS = sorted(TARGETS, key=lambda cpu: (cpu != "host", cpu))
MOST = {"int8": 127, "w8a8": 127, "int4": 7}
STEPS = {"int8": 32639, "w8a8": 127, "int4": 32639}

# gates, units in the panel
SHAPES = [(1, 8), (1, 64), (2, 8), (3, 16), (4, 8), (4, 16)]
ROWS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 31, 32, 33, 63, 65, 96, 101]

loops = pytest.mark.parametrize(
    ("kind", "cpu", "shape"),
    [(kind, cpu, shape) for kind in MOST for cpu in CPUS for shape in SHAPES],
    ids=str,
)


class Product:
    """A matrix ``(rows, gates, units)`` and a vector of integers, their scales and step, and where sums start."""

    def __init__(self, values: np.ndarray, integers: np.ndarray, start: np.ndarray, scales: np.ndarray, step: float):
        self.values, self.integers = values.astype(np.int64), integers.astype(np.int64)
        self.start, self.scales, self.step = start.astype(np.float32), scales.astype(np.float32), step

    def expected(self) -> np.ndarray:
        """``(gates, units)`` float64; sums of products are whole numbers, exact in 64 bits."""
        found = self.start.astype(np.float64)
        rows, groups = len(self.values), len(self.scales)
        for group, scale in enumerate(self.scales.astype(np.float64)):
            inside = slice(32 * group, 32 * (group + 1)) if groups > 1 else slice(0, rows)
            found += scale * self.step * np.einsum("kgu,k->gu", self.values[inside], self.integers[inside])
        return found

    def by(self, call: Callable[..., None], kind: str, cpu: str) -> np.ndarray:
        """``(gates, units)`` float32 of the compiled loop; behind matrix and vector lie numbers that are not small."""
        dot, rows = TARGETS[cpu].dot, len(self.integers)
        packed = segment_bytes(kind, dot, self.values, self.scales)
        padding = np.resize(np.array([STEPS[kind], -STEPS[kind]]), -rows % 8)
        vector = vector_bytes(kind, dot, self.step, np.concatenate([self.integers, padding]))
        sums, stored = aligned(self.start), aligned(np.frombuffer(packed, np.int8), np.int8)
        x = aligned(np.frombuffer(vector, np.int8), np.int8)
        call(sums, stored.view(np.float32), addresses([x]), rows)
        return sums.reshape(self.start.shape)


@cache
def call_of(kind: str, cpu: str, gates: int, units: int) -> Callable[..., None]:
    loop = int_rows(kind, TARGETS[cpu])

    def add_rows(sums, weights, xs, rows):  # type: ignore[no-untyped-def]
        store_sums(loop(load_sums(gates, units, sums), weights, units, floats_from(1, xs), rows), sums)

    return compiled(add_rows, types.void(FLOATS, FLOATS, WORDS, types.int64), TARGETS[cpu])


def whole(rng: np.random.Generator, most: int, *shape: int) -> np.ndarray:
    return rng.integers(-most, most, shape, endpoint=True)


@loops
def test_sums_of_any_number_of_rows_are_those_of_whole_numbers(kind: str, cpu: str, shape: tuple[int, int]) -> None:
    """Nothing is rounded: scales are 1, 2 or 4, the step is 1/4, and 101 rows come to less than 2^24 of these."""
    most = {"int8": 1300, "w8a8": 127, "int4": 5000}[kind]  # with high bytes, where there are some
    for rows in ROWS:
        rng = np.random.default_rng([rows, *shape])
        groups = -(-rows // 32) if kind == "int4" else 1
        scales = rng.choice([1.0, 2.0, 4.0], (groups, *shape))
        values, integers = whole(rng, MOST[kind], rows, *shape), whole(rng, most, rows)
        product = Product(values, integers, whole(rng, 99, *shape), scales, 0.25)
        found = product.by(call_of(kind, cpu, *shape), kind, cpu)
        np.testing.assert_array_equal(found, product.expected(), err_msg=f"{rows} rows")


@loops
def test_every_value_of_a_vector_times_the_largest_weights_is_exact(
    kind: str, cpu: str, shape: tuple[int, int]
) -> None:
    """One value at a time, at each place of a block of rows: 127 * 32639 < 2^24."""
    most, steps = MOST[kind], STEPS[kind]
    edges = [x for x in (1, -1, 127, -128, 128, -129, 255, -255, 256, -256, steps, -steps) if abs(x) <= steps]
    weights = np.resize([most, -most, 1, -1, 0, most - 1, 1 - most], (8, *shape))
    for place in range(8):
        for x in edges:
            product = Product(weights, x * (np.arange(8) == place), np.zeros(shape), np.ones((1, *shape)), 1.0)
            np.testing.assert_array_equal(product.by(call_of(kind, cpu, *shape), kind, cpu), product.expected())


@loops
@pytest.mark.parametrize("sign", [1, -1])
def test_long_rows_of_the_largest_numbers_overflow_no_sum(
    kind: str, cpu: str, shape: tuple[int, int], sign: int
) -> None:
    """1100 * 127 * 32639 is twice what 32 bits hold.

    A sum leaves them rounded, in high and low bytes, or once every 512 rows; then come scale times step and the sum.
    """
    for rows in (511, 512, 513, 1100) if shape[1] <= 16 else (1100,):
        groups, rng = -(-rows // 32) if kind == "int4" else 1, np.random.default_rng(rows)
        scales = rng.uniform(0.001, 0.002, (groups, *shape)).astype(np.float32)
        values, integers = np.full((rows, *shape), MOST[kind]), np.full(rows, sign * STEPS[kind])
        product = Product(values, integers, np.zeros(shape), scales, 2.0**-15)
        found, expected = product.by(call_of(kind, cpu, *shape), kind, cpu), product.expected()
        roundings = 5 + (groups if kind == "int4" else 2 * (rows // 512))
        assert (np.abs(found - expected) <= roundings * 2.0**-24 * np.abs(expected)).all(), f"{rows} rows"


@pytest.mark.parametrize(("kind", "cpu"), [(kind, cpu) for kind in MOST for cpu in CPUS])
def test_a_step_that_is_nan_makes_every_sum_nan(kind: str, cpu: str) -> None:
    shape = (4, 8)
    product = Product(np.zeros((5, *shape)), np.zeros(5), np.ones(shape), np.ones((1, *shape)), np.nan)
    assert np.isnan(product.by(call_of(kind, cpu, *shape), kind, cpu)).all()
