"""Rounding of a vector to integers, before an integer matrix multiplies it.

The result is a step as float32, 7 unused floats, and the integers in the layout that the CPU's instruction takes, see
:attr:`edge_rnn.kernels.compile.target.Target.dot`. ``mla`` and ``pmaddwd`` take int16. ``vnni`` and ``sdot`` take
bytes: for 16 bits, the 4 high bytes of each 4 values and then their 4 low bytes. For ``vnni``, 128 is added to high
bytes, and low bytes range from 0 to 255; for ``sdot`` they range from -128 to 127.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.formats import SMALLEST_RANGE, STEPS_8, STEPS_16
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.segments import QUANTIZED_HEADER
from edge_rnn.kernels.program.record import Record

__all__ = ["build"]


def build(name: str, target: Target, streams: int) -> Any:
    """Build the rounding to steps of a fixed size, or of the vector's largest value over the largest integer.

    Its weights are step and 1 / step; both are 0 if each vector's largest value decides. A value that is not finite
    makes the step NaN, and thereby all sums.
    """
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.matrices.store_rounded import ROUND, store_rounded
    from edge_rnn.kernels.vectors.load_store import at, load
    from edge_rnn.kernels.vectors.vector import absolute, all_zero, first_lanes, largest_lane, maximum, minimum, splat

    most = np.float32(STEPS_16 if name == "quantize16" else STEPS_8)
    store = store_rounded(target.dot, 16 if name == "quantize16" else 8)
    zero, tiny, nan = np.float32(0), np.float32(SMALLEST_RANGE), np.float32(np.nan)

    @helper
    def largest(x, count):  # type: ignore[no-untyped-def]
        most, whole = splat(8, zero), count // 8 * 8
        for i in range(0, whole, 8):
            most = maximum(most, absolute(load(8, x, i)))
        if whole < count:
            most = maximum(most, absolute(first_lanes(load(8, x, whole), count - whole)))
        return largest_lane(most)

    @helper
    def rounded(values, inverse):  # type: ignore[no-untyped-def]
        return maximum(-most, minimum(most, values * inverse)) + ROUND

    def quantize(record, weights, arena):  # type: ignore[no-untyped-def]
        x, count, out = at(arena, record[Record.X]), record[Record.N_IN], at(arena, record[Record.OUT])
        fixed = at(weights, record[Record.WEIGHTS])
        step, inverse = fixed[0], fixed[1]
        if inverse == zero:
            size = max(largest(x, count), tiny)
            step, inverse = size / most, most / size
        integers, nothing, whole = at(out, QUANTIZED_HEADER), splat(8, zero), count // 8 * 8
        for i in range(0, whole, 8):
            values = load(8, x, i)
            nothing = nothing + (values - values)
            store(rounded(values, inverse), integers, i)
        if whole < count:
            values = first_lanes(load(8, x, whole), count - whole)
            nothing = nothing + (values - values)
            store(rounded(values, inverse), integers, whole)
        out[0] = step if all_zero(nothing) else nan

    return quantize
