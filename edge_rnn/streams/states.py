"""Checks of states that come from outside: from the user or from a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.arrays import float32_array
from edge_rnn.errors import StateError
from edge_rnn.model import Model
from edge_rnn.streams.plan import Plan
from edge_rnn.typing import F32

__all__ = ["checked_states", "may_be_kept"]


def checked_states(model: Model, plan: Plan, states: Mapping[str, ArrayLike]) -> dict[str, F32]:
    """Return states as float32 arrays of the right shapes.

    Raises
    ------
    StateError
        A state is unknown, of the wrong shape, not finite, or beyond the range that an integer matrix reads.
    """
    checked = {}
    for name, value in states.items():
        slots = plan.states.get(name)
        if slots is None:
            known = ", ".join(plan.states) or "none"
            raise StateError(f"stream.set_state got the state {name!r}, expected one of: {known}.")
        given = float32_array("stream.set_state", name, value)
        if given.shape != (slots.size,) or not np.isfinite(given).all():
            got = f"shape {given.shape}" if given.shape != (slots.size,) else "numbers that are not finite"
            raise StateError(f"stream.set_state got {got} as {name}, expected ({slots.size},) finite numbers.")
        limit = _clips_at(model, name)
        if limit is not None and np.abs(given).max() > limit:
            raise StateError(
                f"stream.set_state got {np.abs(given).max():.6g} in {name}, expected at most {limit:.6g}, where an "
                f"integer matrix clips it; use a model whose matrices are in float32 or float16."
            )
        checked[name] = given
    return checked


def may_be_kept(plan: Plan, values: NDArray[np.floating[Any]]) -> bool:
    """Return True if values can be those of a stream: the right number, and all finite, except a NaN last output."""
    if values.size != sum(slots.size for slots in plan.kept):
        return False
    finite = np.isfinite(values)
    last_output = slice(plan.held.size, plan.held.size + plan.last_output.size)
    finite[last_output] |= np.isnan(values[last_output])
    return bool(finite.all())


def _clips_at(model: Model, name: str) -> float | None:
    """Largest absolute value of a state that an integer matrix does not clip; None if there is no limit."""
    owner, _, key = name.rpartition(".")
    place, layer = next((place, layer) for place, layer in enumerate(model.layers) if layer.name == owner)
    matrices = [layer.formats.get(matrix) for matrix, vector in layer.matrices.items() if vector in (key, "")]
    if key == layer.emits:
        for reader, reads in zip(model.layers, model.sources, strict=True):
            if place in reads:
                matrices += reader.formats.values()
    return layer.state_bound(key) if any(hasattr(matrix, "input_range") for matrix in matrices) else None
