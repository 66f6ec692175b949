"""Functions of vectors against float64, in units in the last place, on each CPU that this machine runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba.core import types

from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.kernels.compile.compiler import FLOATS
from edge_rnn.kernels.vectors import error_function, logarithm
from edge_rnn.kernels.vectors.load_store import load, store
from kernel_calls import aligned, compiled, runnable

pytestmark = pytest.mark.sampled(2)

Array = Any
LANES = 16
INFINITY, FIVE, NEGATIVE = 0x7F800000, 0x40A00000, 0x80000000
"""Bits of numbers."""

HELPERS = {"log": logarithm.log, "erf": error_function.erf}
UNITS = {"log": 0.9, "erf": 1.5}
"""Largest error in units in the last place."""
RANGES = {"log": ((1, INFINITY),), "erf": ((0, FIVE), (NEGATIVE, NEGATIVE + FIVE))}
"""Ranges of the bits of the numbers that are tried."""


@cache
def over_arrays(name: str, cpu: str) -> Callable[[Array], Array]:
    """The function of a kernel, over an array of a multiple of 16 values."""
    helper = HELPERS[name]

    def run(x: Any, y: Any, count: Any) -> None:
        for i in range(0, count, LANES):
            store(helper(load(LANES, x, i)), y, i)

    call = compiled(run, types.void(FLOATS, FLOATS, types.int64), runnable()[cpu])

    def function(x: Array) -> Array:
        assert x.size % LANES == 0
        given, found = aligned(x), aligned(np.empty_like(x))
        call(given, found, x.size)
        return found

    return function


def floats(name: str, step: int, chunk: int = 2**20) -> Iterator[Array]:
    """Every ``step``-th float of the ranges, in chunks."""
    for first, end in RANGES[name]:
        for start in range(first, end, step * chunk):
            bits = np.minimum(start + step * np.arange(chunk), end - 1).astype(np.uint32)
            yield bits.view(np.float32)


def units_off(found: Array, x: Array, name: str) -> float:
    """Largest error in units in the last place."""
    numpy = OPERATIONS[name].numpy
    assert numpy is not None
    exact = numpy(x.astype(np.float64))
    return float((np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)).max())


@pytest.mark.parametrize("cpu", runnable())
@pytest.mark.parametrize("name", HELPERS)
def test_some_thousands_of_floats_of_every_size(name: str, cpu: str) -> None:
    function = over_arrays(name, cpu)
    for x in floats(name, 65_537, 2**15):
        assert units_off(function(x), x, name) <= UNITS[name]


@pytest.mark.slow
@pytest.mark.parametrize("cpu", runnable())
@pytest.mark.parametrize("name", HELPERS)
def test_many_millions_of_floats(name: str, cpu: str) -> None:
    function = over_arrays(name, cpu)
    for x in floats(name, 111):
        assert units_off(function(x), x, name) <= UNITS[name]


@pytest.mark.parametrize("cpu", runnable())
def test_logarithm_around_one(cpu: str) -> None:
    x = np.float32(1) + np.arange(-8192, 8192, dtype=np.float32) * np.float32(2.0**-24)
    assert units_off(over_arrays("log", cpu)(x), x, "log") <= UNITS["log"]


@pytest.mark.parametrize("cpu", runnable())
@pytest.mark.parametrize("name", HELPERS)
def test_special_values_are_those_of_numpy(name: str, cpu: str) -> None:
    x = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, -np.nan, 3e38, -3e38, 1e-45, -1e-45, 1e-38, -1e-38, 2, 4])
    numpy = OPERATIONS[name].numpy
    assert numpy is not None
    with np.errstate(all="ignore"):
        x = x.astype(np.float32)
        expected = numpy(x.astype(np.float64)).astype(np.float32)
    found = over_arrays(name, cpu)(x)
    np.testing.assert_array_max_ulp(found, expected, 1)
    np.testing.assert_array_equal(found == 0, expected == 0)
