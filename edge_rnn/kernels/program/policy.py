"""What goes in and out of a step, by the policy of the stream: one set of rules for single streams and for banks.

``v - v`` is 0 for every finite number and NaN for the others, and a sum keeps a NaN. Words of a handle are read by
constant places alone: where it is a function's own, nothing is left of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.program.record import Handle, Policy
from edge_rnn.kernels.vectors.addresses import as_floats
from edge_rnn.kernels.vectors.load_store import at, load, load_anywhere, store, store_anywhere
from edge_rnn.kernels.vectors.vector import all_zero, first_lanes, splat

__all__ = ["REFUSED", "hand_over", "is_finite", "repeat_last", "take"]


REFUSED = -1
"""What :func:`take` returns for a sample that does not count."""

_ZERO = np.float32(0)


@helper
def take(handle: Any, x: Any) -> Any:
    """Copy the sample to where the step reads it; 0, or 1 if channels were held, or REFUSED.

    A sample without a finite value is nothing to begin with: before the first output it is refused, not held.
    """
    arena, count = as_floats(handle[Handle.ARENA]), handle[Handle.INPUT_SIZE]
    sample = at(arena, handle[Handle.INPUT])
    if handle[Handle.POLICY] == Policy.HOLD:
        missing = _copy_or_hold(sample, at(arena, handle[Handle.HELD]), x, count)
        if missing == 0:
            return 0
        last = arena[handle[Handle.LAST_OUTPUT]]
        return REFUSED if missing == count and last - last != 0 else 1
    return 0 if _copy(sample, x, count) else REFUSED


@helper
def is_finite(handle: Any) -> Any:
    """Whether what the step has made is finite: the output, and the states where these have to be looked at."""
    states = handle[Handle.STATES_EVEN + handle[Handle.PARITY]]
    return _all_finite(_output(handle), handle[Handle.OUTPUT_SIZE]) and _all_finite(
        at(as_floats(handle[Handle.ARENA]), states), handle[Handle.STATE_FLOATS]
    )


@helper
def hand_over(handle: Any, y: Any, held: Any) -> None:
    """The step counts: its output is kept and goes to ``y``, old and new states change places."""
    count, output = handle[Handle.OUTPUT_SIZE], _output(handle)
    last = at(as_floats(handle[Handle.ARENA]), handle[Handle.LAST_OUTPUT])
    for i in range(0, count, 8):
        store(load(8, output, i), last, i)
    whole = count // 8 * 8
    for i in range(0, whole, 8):
        store_anywhere(load(8, output, i), y, i)
    for i in range(whole, count):
        y[i] = output[i]
    handle[Handle.REFUSED] += held
    handle[Handle.PARITY] = 1 - handle[Handle.PARITY]


@helper
def repeat_last(handle: Any, y: Any) -> None:
    """The sample does not count: the last output once more, NaN where there was none."""
    last = at(as_floats(handle[Handle.ARENA]), handle[Handle.LAST_OUTPUT])
    for i in range(handle[Handle.OUTPUT_SIZE]):
        y[i] = last[i]
    handle[Handle.REFUSED] += 1


@helper
def _output(handle: Any) -> Any:
    """What the step has put out."""
    place = handle[Handle.OUTPUT_EVEN + handle[Handle.PARITY]]
    return at(as_floats(handle[Handle.ARENA]), place)


@helper
def _copy(sample: Any, x: Any, count: Any) -> Any:
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
def _copy_or_hold(sample: Any, held: Any, x: Any, count: Any) -> Any:
    """Copy ``x`` to ``sample``, channels that are not finite as ``held`` has them; how many these are."""
    missing = 0
    for i in range(count):
        if x[i] - x[i] == 0:
            held[i] = x[i]
        else:
            missing += 1
        sample[i] = held[i]
    return missing


@helper
def _all_finite(output: Any, count: Any) -> Any:
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
