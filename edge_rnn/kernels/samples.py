"""What goes in and out of a step: samples and outputs are copied and checked in one go.

``v - v`` is 0 for every finite number and NaN for the others, and a sum keeps a NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compiler import helper
from edge_rnn.kernels.memory import load, load_anywhere, store
from edge_rnn.kernels.vector import all_zero, first_lanes, splat

__all__ = ["all_finite", "give", "hold", "take"]

_ZERO = np.float32(0)


@helper
def take(sample: Any, x: Any, count: Any) -> Any:
    """Copy ``count`` values of ``x`` to ``sample``; whether all are finite."""
    totals, total, i = splat(8, _ZERO), _ZERO, 0
    while i + 8 <= count:
        values = load_anywhere(8, x, i)
        store(values, sample, i)
        totals = totals + (values - values)
        i += 8
    while i < count:
        value = x[i]
        sample[i] = value
        total += value - value
        i += 1
    return all_zero(totals) and total == 0


@helper
def hold(sample: Any, held: Any, x: Any, count: Any) -> Any:
    """Copy ``x`` to ``sample``, channels that are not finite as ``held`` has them; whether all are finite."""
    finite = True
    for i in range(count):
        if x[i] - x[i] == 0:
            held[i] = x[i]
        else:
            finite = False
        sample[i] = held[i]
    return finite


@helper
def all_finite(output: Any, count: Any) -> Any:
    """Whether ``count`` values are finite, whatever follows them up to a multiple of 8."""
    total, i = splat(8, _ZERO), 0
    while i + 8 <= count:
        values = load(8, output, i)
        total = total + (values - values)
        i += 8
    if i < count:
        values = first_lanes(load(8, output, i), count - i)
        total = total + (values - values)
    return all_zero(total)


@helper
def give(output: Any, last: Any, y: Any, count: Any) -> Any:
    """Copy ``output`` to ``last``, which is padded to 8 as it is, and to ``y``."""
    for i in range(0, count, 8):
        store(load(8, output, i), last, i)
    for i in range(count):
        y[i] = output[i]
