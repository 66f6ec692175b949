"""Group drafts into layers: of the library where they compute what one does, else by an equation of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_rnn.errors import ModelError, UnsupportedError
from edge_rnn.layers import INPUT, LAYER_TYPES, Add, Dense, Layer, Standardize
from edge_rnn.storage.budget import Budget
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn_export.readers.tracing.drafts import Draft, reachable
from edge_rnn_export.readers.tracing.equations import layer_of
from edge_rnn_export.readers.tracing.folding import fold, settled
from edge_rnn_export.readers.tracing.grouping import Group, groups_of
from edge_rnn_export.readers.tracing.recognition import recognized
from edge_rnn_export.readers.tracing.terms import Term, Terms

__all__ = ["Finished", "finished"]

_NATIVE = ("Elman", "GRU", "LSTM", "Embedding")


@dataclass(frozen=True, slots=True)
class Finished:
    """Layers in topological order.

    Parameters
    ----------
    layers
        The layers.
    names
        Name of the layer that each draft became a part of.
    states
        Layer and name of the state that each delay became.
    used
        All drafts that the output depends on.
    """

    layers: tuple[Layer, ...]
    names: Mapping[Draft, str]
    states: Mapping[Draft, tuple[str, str]]
    used: Collection[Draft] = ()


def finished(end: Draft, same: Mapping[Draft, Draft], budget: Budget) -> Finished:
    """Convert drafts to layers.

    Parameters
    ----------
    end
        Draft that produces the model's output.
    same
        For each draft of a single step the draft of all steps that it is an instance of.

    Raises
    ------
    ModelError
        A layer's arrays or options do not fit; the message names the operator.
    UnsupportedError
        There are too many layers.
    """
    end = settled(end, same)
    used = reachable(end)
    fold(used, end)
    order = reachable(end)
    groups = groups_of(order, end)
    if len(groups) > MAX_LAYERS:
        raise UnsupportedError(f"The network has {len(groups)} layers, expected {MAX_LAYERS} at most.")
    return replace(_Layers(budget).made(groups, end), used=used)


class _Layers:
    """Layers that have been made."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.layers: list[Layer] = []
        self.names: dict[Draft, str] = {}
        self.states: dict[Draft, tuple[str, str]] = {}
        self._places: dict[Draft, tuple[int, int]] = {}  # of outputs that share a layer: start, and size of the layer
        self._taken: Counter[str] = Counter([INPUT])

    def made(self, groups: Sequence[Group], end: Draft) -> Finished:
        for group in groups:
            self._make(group)
        if end in self._places:
            self._pick(end)
        for draft in reachable(end):
            if draft.kind == "input":
                self.names[draft] = INPUT
        return Finished(tuple(self.layers), self.names, self.states)

    def _make(self, group: Group) -> None:
        inside = set(group.drafts)
        reads = list(dict.fromkeys(each for draft in group.drafts for each in draft.reads if each not in inside))
        constants = [each for each in reads if each.kind == "start"]
        if constants:
            raise UnsupportedError(f"The {constants[0].title} joins constants to the outputs of layers.")
        last = group.outputs[-1]
        try:
            layer = self._layer(group, reads, last)
        except ModelError as error:
            raise ModelError(f"The {last.title} is not a valid layer: {error}") from None
        self.layers.append(layer)
        self.names.update(dict.fromkeys(group.drafts, layer.name))
        place = 0
        if len(group.outputs) > 1:
            size = sum(draft.size for draft in group.outputs)
            for draft in group.outputs:
                self._places[draft] = (place, size)
                place += draft.size

    def _layer(self, group: Group, reads: Sequence[Draft], last: Draft) -> Layer:
        draft = group.drafts[0]
        if len(group.drafts) == 1 and draft.kind in (*_NATIVE, "Dense"):
            args = draft.reads
            about = self._about(draft, args)
            self._take(draft, draft.fields.values())
            return LAYER_TYPES[draft.kind](**draft.fields, **about)
        if not group.is_cell and (simple := self._simple(group)) is not None:
            return simple
        self._take(last, (arg for each in group.drafts for arg in (*each.fields.values(), *each.args)))
        delays = [each for each in group.drafts if each.kind == "delay"]
        terms = Terms(set(group.drafts) - set(delays))
        new: dict[Draft, Term] = {delay: terms.of(delay.reads[0]) for delay in delays}
        outputs = [terms.of(each) for each in group.outputs]
        found = recognized(reads, new, outputs[0]) if len(outputs) == 1 and delays else None
        about = self._about(last, reads, "recurrence" if delays else "")
        if found is not None:
            self.states.update({delay: (about["name"], name) for delay, name in found.states.items()})
            return found.kind(**found.fields, **about)
        layer, names = layer_of(reads, new, outputs, "recurrence" if delays else "function", **about)
        self.states.update({delay: (about["name"], name) for delay, name in names.items()})
        return layer

    def _simple(self, group: Group) -> Layer | None:
        """Layer for a sum of two vectors, and for shifts and scales by constants; None for anything else."""
        drafts = group.drafts
        if len(drafts) == 1 and drafts[0].operation == "add" and len(drafts[0].reads) == 2:
            reads = drafts[0].reads
            if all(each.size == drafts[0].size for each in reads):
                return Add(**self._about(drafts[0], reads, always=True))
        fields: dict[str, Any] = {}
        for draft in drafts:
            numbers = [np.asarray(arg, np.float64) for arg in draft.args if not isinstance(arg, Draft)]
            if (
                len(draft.args) != 2
                or len(numbers) != 1
                or draft.reads[0].size != draft.size
                or (draft.operation != "add" and draft.args[1] is draft.reads[0])
            ):
                return None
            if draft.operation in ("add", "sub") and not fields:
                fields["mean"] = numbers[0] if draft.operation == "sub" else -numbers[0]
            elif draft.operation == "div" and "scale" not in fields:
                fields["scale"] = numbers[0]
            else:
                return None
        size, last = drafts[-1].size, drafts[-1]
        filled = {"mean": np.zeros(size), "scale": np.ones(size)} | fields
        return Standardize(filled["mean"], filled["scale"], **self._about(last, drafts[0].reads))

    def _about(self, draft: Draft, reads: Sequence[Draft], stem: str = "", *, always: bool = False) -> dict[str, Any]:
        """Name and inputs of a layer."""
        names = tuple(self._name_of(each) for each in reads)
        before = self.layers[-1].name if self.layers else INPUT
        return {"name": self._free(draft, stem), "inputs": () if names == (before,) and not always else names}

    def _name_of(self, draft: Draft) -> str:
        if draft.kind == "input":
            return INPUT
        if draft in self._places:
            self._pick(draft)
        return self.names[draft]

    def _pick(self, draft: Draft) -> None:
        """Add a layer that picks one of the outputs of the layer before."""
        start, size = self._places.pop(draft)
        weight = np.zeros((draft.size, size), np.float32)
        weight[range(draft.size), range(start, start + draft.size)] = 1
        self.budget.take(f"the {draft.title}", 4 * weight.size)
        layer = Dense(weight, name=self._free(draft, "output"), inputs=(self.names[draft],))
        self.layers.append(layer)
        self.names[draft] = layer.name

    def _take(self, draft: Draft, values: Iterable[Any]) -> None:
        self.budget.take(f"the {draft.title}", 8 * sum(each.size for each in values if isinstance(each, np.ndarray)))

    def _free(self, draft: Draft, stem: str = "") -> str:
        """Layer name from an operator's: for ``/rnn/GRU_1`` the module, ``rnn``, then ``rnn_2`` and so on."""
        parts = [part for part in draft.name.split("/") if part]
        text = parts[-2] if len(parts) > 1 else draft.name
        text = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:48].strip("_-")
        if not re.match(r"[A-Za-z_]", text):
            stem = stem or ("function" if draft.kind == "op" else draft.kind.lower())
            text = f"{stem}{len(self.layers) + 1}"
        name = text
        while name in self._taken:
            self._taken[text] += 1
            name = f"{text}_{self._taken[text]}"
        self._taken[name] += 1
        return name
