"""Exponentials and logarithms with the same bits on every CPU: products and sums are rounded separately.

A multiply-add that is one instruction rounds once, otherwise it rounds twice. The step of a network takes the faster
way, but the choice of a symbol must not depend on it. Division, addition and multiplication of normal numbers are the
same everywhere (IEEE 754), and sums over lanes have a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.vectors.activations import exp_by
from edge_rnn.kernels.vectors.load_store import load, store
from edge_rnn.kernels.vectors.logarithm import log_by
from edge_rnn.kernels.vectors.vector import exponents, largest_lane, maximum, significands, splat, sum_of_lanes

__all__ = ["exp", "exponentials", "highest", "log", "logarithm", "logarithms"]

_TINY = np.float32(np.finfo(np.float32).tiny)


@helper
def _apart(a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded after each operation."""
    return a * b + c


exp, _log = exp_by(_apart), log_by(_apart)


@helper
def log(x: Any) -> Any:
    """``log(x)`` of normal numbers above 0."""
    return _log(exponents(x), significands(x))


@helper
def logarithm(value: Any) -> Any:
    """``log`` of one float32."""
    return largest_lane(log(splat(8, np.float32(value))))


@helper
def highest(values: Any, count: Any) -> Any:
    """Largest of ``count`` values; values in the padding must not be larger."""
    most = load(8, values, 0)
    for i in range(8, count, 8):
        most = maximum(most, load(8, values, i))
    return largest_lane(most)


@helper
def exponentials(values: Any, count: Any, most: Any, factor: Any, out: Any) -> Any:
    """Write ``out = exp((values - most) * factor)``, where ``most`` is the largest; return the sum, at least 1."""
    total = splat(8, np.float32(0))
    for i in range(0, count, 8):
        e = exp((load(8, values, i) - most) * factor)
        store(e, out, i)
        total = total + e
    return sum_of_lanes(total)


@helper
def logarithms(values: Any, count: Any, out: Any) -> None:
    """Write ``out = log(values)``; values below the smallest normal number, 1.2e-38, are raised to it."""
    for i in range(0, count, 8):
        store(log(maximum(_TINY, load(8, values, i))), out, i)
