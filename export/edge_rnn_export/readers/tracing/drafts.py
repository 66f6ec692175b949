"""Draft layers, and how they become a model's: a bias or an activation is folded into the Dense before it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edge_rnn.errors import ModelError
from edge_rnn.layers import INPUT, LAYER_TYPES, Dense, Layer, Standardize
from edge_rnn.storage.budget import Budget

__all__ = ["Draft", "Finished", "finished"]

Kind = Literal["input", "Elman", "GRU", "LSTM", "Dense", "Add", "Embedding", "shift", "divide", "activation"]


@dataclass(slots=True, eq=False)
class Draft:
    """Layer before it is final.

    Parameters
    ----------
    kind
        A layer's class; ``"input"``, the samples; or an operation that may be folded into the layer before it:
        ``"shift"`` (subtract ``mean``), ``"divide"`` (by ``scale``) or ``"activation"``.
    title, name
        Of the node, for messages and for the layer.
    size
        Number of outputs.
    """

    kind: Kind
    title: str
    name: str
    size: int
    reads: tuple[Draft, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """Layers in topological order, and by draft the name of the layer that it became or was folded into."""

    layers: tuple[Layer, ...]
    names: Mapping[Draft, str]


def finished(drafts: Sequence[Draft], end: Draft, budget: Budget) -> Finished:
    """Convert drafts to layers.

    Parameters
    ----------
    drafts
        All drafts in topological order.
    end
        Draft that produces the model's output.

    Raises
    ------
    ModelError
        A layer's arrays or options do not fit; the message names the node.
    """
    used = {end}
    for draft in reversed(drafts):
        if draft in used:
            used.update(draft.reads)
    kept = [draft for draft in drafts if draft in used and draft.kind != "input"]
    merged = _merged(kept, end)
    layers: list[Layer] = []
    names: dict[Draft, str] = {draft: INPUT for draft in used if draft.kind == "input"}
    before = INPUT
    for draft, name in zip(kept, _names(kept), strict=True):
        if draft in merged:
            names[draft] = names[merged[draft]]
            continue
        reads = tuple(names[each] for each in draft.reads)
        layers.append(_layer(draft, name, () if reads == (before,) and draft.kind != "Add" else reads, budget))
        before = names[draft] = name
    return Finished(tuple(layers), names)


def _merged(kept: Sequence[Draft], end: Draft) -> dict[Draft, Draft]:
    """Map drafts to be folded to the single draft that they read and alone read, which takes their fields."""
    readers = Counter(each for draft in kept for each in draft.reads)
    merged: dict[Draft, Draft] = {}
    for draft in kept:
        if len(draft.reads) != 1 or readers[draft.reads[0]] != 1 or draft.reads[0] is end:
            continue
        before = merged.get(draft.reads[0], draft.reads[0])
        if before.kind == "Dense" and "activation" not in before.fields:
            if draft.kind == "shift" and "bias" not in before.fields:
                before.fields["bias"] = -draft.fields["mean"]
            elif draft.kind == "activation":
                before.fields["activation"] = draft.fields["activation"]
            else:
                continue
            merged[draft] = before
        elif before.kind == "shift" and "scale" not in before.fields and draft.kind == "divide":
            before.fields["scale"] = draft.fields["scale"]
            merged[draft] = before
    return merged


def _layer(draft: Draft, name: str, inputs: tuple[str, ...], budget: Budget) -> Layer:
    arrays = [value for value in draft.fields.values() if isinstance(value, np.ndarray)]
    budget.take(f"the {draft.title}", 8 * sum(array.size for array in arrays))
    try:
        if draft.kind == "activation":
            budget.take(f"the {draft.title}", 8 * draft.size**2)
            return Dense(np.eye(draft.size, dtype=np.float32), name=name, inputs=inputs, **draft.fields)
        if draft.kind in ("shift", "divide"):
            zeros, ones = np.zeros(draft.size, np.float32), np.ones(draft.size, np.float32)
            fields = {"mean": zeros, "scale": ones} | draft.fields
            return Standardize(fields["mean"], fields["scale"], name=name, inputs=inputs)
        return LAYER_TYPES[draft.kind](name=name, inputs=inputs, **draft.fields)
    except ModelError as error:
        raise ModelError(f"The {draft.title} is not a valid layer: {error}") from None


def _names(drafts: Sequence[Draft]) -> list[str]:
    """Layer names from node names: for ``/rnn/GRU_1`` the module, ``rnn``, then ``rnn_2`` and so on."""
    taken: Counter[str] = Counter([INPUT])
    found = []
    for place, draft in enumerate(drafts, start=1):
        parts = [part for part in draft.name.split("/") if part]
        text = parts[-2] if len(parts) > 1 else draft.name
        text = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:48].strip("_-")
        if not re.match(r"[A-Za-z_]", text):
            text = f"{draft.kind.lower()}{place}"
        name = text
        while name in taken:
            taken[text] += 1
            name = f"{text}_{taken[text]}"
        taken[name] += 1
        found.append(name)
    return found
