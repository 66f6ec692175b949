"""Input and output of a step by the stream's policy: one set of rules for single streams and for banks.

``v - v`` is 0 for every finite number and NaN for all others, and a sum keeps a NaN. Words of a handle are read only at
constant indices, so that a handle that is local to a function is optimized away.
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
"""Result of :func:`take` for a sample that does not count."""

_ZERO = np.float32(0)


@helper
def take(handle: Any, x: Any) -> Any:
    """Copy the sample to the arena; return 0, or 1 if channels were held, or REFUSED.

    Under HOLD, a sample without any finite value is refused before the first output, not held.
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
    """Return True if the step's output is finite, and its states too where they have to be checked."""
    states = handle[Handle.STATES_ODD] if handle[Handle.PARITY] else handle[Handle.STATES_EVEN]
    return _all_finite(_output(handle), handle[Handle.OUTPUT_SIZE]) and _all_finite(
        at(as_floats(handle[Handle.ARENA]), states), handle[Handle.STATE_FLOATS]
    )


@helper
def hand_over(handle: Any, y: Any, held: Any) -> None:
    """Complete a step: store its output, copy it to ``y``, and swap old and new states."""
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
    """Skip a sample: repeat the last output, NaN if there is none."""
    last = at(as_floats(handle[Handle.ARENA]), handle[Handle.LAST_OUTPUT])
    for i in range(handle[Handle.OUTPUT_SIZE]):
        y[i] = last[i]
    handle[Handle.REFUSED] += 1


@helper
def _output(handle: Any) -> Any:
    """Output of the step."""
    place = handle[Handle.OUTPUT_ODD] if handle[Handle.PARITY] else handle[Handle.OUTPUT_EVEN]
    return at(as_floats(handle[Handle.ARENA]), place)


@helper
def _copy(sample: Any, x: Any, count: Any) -> Any:
    """Copy ``count`` values of ``x`` to ``sample``; return True if all are finite."""
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
    """Copy ``x`` to ``sample``, with ``held`` in place of values that are not finite; return the number of these."""
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
    """Return True if ``count`` values are finite; padding up to a multiple of 8 is ignored."""
    total, i = splat(8, _ZERO), 0
    while i + 8 <= count:
        values = load(8, output, i)
        total = total + (values - values)
        i += 8
    if i < count:
        values = first_lanes(load(8, output, i), count - i)
        total = total + (values - values)
    return all_zero(total)
