"""Compute drafts with NumPy, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.equations.activations import activated
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft, Vector, reachable

__all__ = ["computed", "value_of"]


def value_of(vector: Vector) -> AnyArray:
    """Values of constants, or of a draft that is computed from constants alone.

    Raises
    ------
    KeyError
        The draft depends on samples.
    """
    if not isinstance(vector, Draft):
        return np.asarray(vector, np.float64)
    return computed([vector], {})[0]


def computed(ends: list[Draft], given: Mapping[Draft, Any]) -> list[AnyArray]:
    """Values of drafts, from those of the samples, old states and layers in ``given``."""
    values: dict[Draft, Any] = dict(given)
    for end in ends:
        for draft in reachable(end, values):
            values[draft] = _value(draft, values)
    return [np.asarray(values[end]) for end in ends]


def _value(draft: Draft, values: Mapping[Draft, Any]) -> Any:
    if draft.kind == "start" or (draft.kind == "delay" and not draft.args):
        return np.asarray(draft.fields["value"], np.float64)
    args = [values[arg] if isinstance(arg, Draft) else np.asarray(arg, np.float64) for arg in draft.args]
    if draft.kind == "op":
        assert draft.function is not None
        return draft.function(*args)
    if draft.kind == "Dense":
        y = np.asarray(draft.fields["weight"], np.float64) @ np.concatenate(args)
        if draft.fields.get("bias") is not None:
            y = y + draft.fields["bias"]
        return activated(draft.fields.get("activation", "none"), y)
    raise KeyError(draft.title)
