"""Group drafts into layers: of the library where they compute what one does, else by an equation of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edge_rnn.errors import ModelError, UnsupportedError
from edge_rnn.layers import INPUT, LAYER_TYPES, Add, Dense, Layer, Standardize
from edge_rnn.storage.budget import Budget
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn_export.readers.tracing.drafts import Draft, reachable
from edge_rnn_export.readers.tracing.equations import layer_of
from edge_rnn_export.readers.tracing.recognition import recognized
from edge_rnn_export.readers.tracing.terms import Term, Terms
from edge_rnn_export.readers.tracing.values import value_of

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


@dataclass(slots=True, eq=False)
class _Group:
    """Drafts that become one layer."""

    drafts: list[Draft]
    outputs: list[Draft] = field(default_factory=list)

    @property
    def is_cell(self) -> bool:
        return any(draft.kind == "delay" for draft in self.drafts)


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
    end = _settled(end, same)
    used = reachable(end)
    _fold(used, end)
    order = reachable(end)
    groups = _groups(order, end)
    if len(groups) > MAX_LAYERS:
        raise UnsupportedError(f"The network has {len(groups)} layers, expected {MAX_LAYERS} at most.")
    return replace(_Layers(budget).made(groups, end), used=used)


def _settled(end: Draft, same: Mapping[Draft, Draft]) -> Draft:
    """Replace instances and values at one step by the drafts of all steps, and what constants give by constants."""

    def through(draft: Draft) -> Draft:
        while draft.is_read_at or (draft in same and same[draft] is not draft):
            draft = draft.reads[0] if draft.is_read_at else same[draft]
        return draft

    end = through(end)
    seen: set[Draft] = set()
    waiting = [end]
    while waiting:
        draft = waiting.pop()
        if draft in seen:
            continue
        seen.add(draft)
        draft.args = tuple(through(arg) if isinstance(arg, Draft) else arg for arg in draft.args)
        waiting += draft.reads
    for draft in reachable(end):
        if any(map(_is_constant, draft.reads)) and draft.kind in ("op", "Dense") and not _is_constant(draft):
            _with_constants(draft)
    return end


def _is_constant(draft: Draft) -> bool:
    """True if a draft is computed from constants alone."""
    return draft.kind == "start" or (
        draft.kind in ("op", "Dense") and draft.first_row < 0 and draft.rows is not None and _has_no_state(draft)
    )


def _has_no_state(draft: Draft) -> bool:
    return all(each.kind in ("op", "Dense", "start") and each.first_row < 0 for each in reachable(draft))


def _with_constants(draft: Draft) -> None:
    """Take what constants give as constants: of a Dense, as a part of its bias."""
    values = {each: value_of(each) for each in draft.reads if _is_constant(each)}
    if draft.kind == "op":
        shape = None if draft.operation == "concat" else (draft.size,)
        for each, value in values.items():
            values[each] = np.array(value if shape is None else np.broadcast_to(value, shape), np.float32)
        draft.args = tuple(values.get(arg, arg) if isinstance(arg, Draft) else arg for arg in draft.args)
        return
    weight = np.asarray(draft.fields["weight"], np.float64)
    bias = np.asarray(draft.fields.get("bias", np.zeros(len(weight))), np.float64)
    kept, place = [], 0
    for each in draft.reads:
        columns = weight[:, place : place + each.size]
        place += each.size
        if each in values:
            bias = bias + columns @ values[each]
        else:
            kept.append(columns)
    draft.args = tuple(each for each in draft.reads if each not in values)
    draft.fields |= {"weight": np.concatenate(kept, axis=1), "bias": bias}


def _readers(order: Sequence[Draft]) -> dict[Draft, list[Draft]]:
    readers: dict[Draft, list[Draft]] = {draft: [] for draft in order}
    for draft in order:
        for each in draft.reads:
            readers[each].append(draft)
    return readers


def _fold(order: Sequence[Draft], end: Draft) -> None:
    """Fold biases, scales and activations into the Dense that they alone read."""
    readers = _readers(order)
    folded: dict[Draft, Draft] = {}
    cells = _of_cycles(order)
    for draft in order:
        if draft.kind != "op" or len(draft.reads) != 1:
            continue
        before = folded.get(draft.reads[0], draft.reads[0])
        alone = len(readers[draft.reads[0]]) == 1 and draft.reads[0] is not end
        if before.kind != "Dense" or not alone or before in cells or draft in cells or before.size != draft.size:
            continue
        if _taken(before, draft):
            folded[draft] = before
    for draft in order:
        draft.args = tuple(folded.get(arg, arg) if isinstance(arg, Draft) else arg for arg in draft.args)
    if end in folded:  # the end stays the object that it is
        dense = folded[end]
        end.kind, end.args, end.fields, end.operation, end.function = "Dense", dense.args, dense.fields, "", None
        end.name, end.title = dense.name, dense.title


def _taken(dense: Draft, draft: Draft) -> bool:
    """Fold a function of units into a Dense without activation; False if a Dense cannot take it."""
    if "activation" in dense.fields:
        return False
    if draft.operation.startswith("activation:") or draft.operation == "softmax":
        text = draft.operation.removeprefix("activation:")
        if text not in Dense.ACTIVATIONS and text.partition(":")[0] not in Dense.ACTIVATIONS:
            return False
        dense.fields["activation"] = text
        return True
    numbers = [np.asarray(arg, np.float64) for arg in draft.args if not isinstance(arg, Draft)]
    if len(numbers) != 1 or draft.operation not in ("add", "sub", "mul", "div"):
        return False
    first = isinstance(draft.args[0], Draft)
    if draft.operation in ("sub", "div") and not first:
        return False
    weight, bias = dense.fields["weight"], dense.fields.get("bias")
    with np.errstate(all="ignore"):  # non-finite values are refused when they become weights
        if draft.operation in ("add", "sub"):
            shift = numbers[0] if draft.operation == "add" else -numbers[0]
            dense.fields["bias"] = shift if bias is None else np.asarray(bias, np.float64) + shift
        else:
            scale = numbers[0] if draft.operation == "mul" else 1 / numbers[0]
            dense.fields["weight"] = np.asarray(weight, np.float64) * scale[:, None]
            if bias is not None:
                dense.fields["bias"] = np.asarray(bias, np.float64) * scale
    return True


def _of_cycles(order: Sequence[Draft]) -> dict[Draft, int]:
    """Number of the cycle that each draft on a cycle belongs to (Tarjan 1972, doi:10.1137/0201010)."""
    index: dict[Draft, int] = {}
    low: dict[Draft, int] = {}
    stack: list[Draft] = []
    on_stack: set[Draft] = set()
    found: dict[Draft, int] = {}
    cycles = 0
    for root in order:
        if root in index:
            continue
        work: list[tuple[Draft, int]] = [(root, 0)]
        while work:
            draft, place = work.pop()
            if place == 0:
                index[draft] = low[draft] = len(index)
                stack.append(draft)
                on_stack.add(draft)
            reads = draft.reads
            descended = False
            for number in range(place, len(reads)):
                each = reads[number]
                if each not in index:
                    work += [(draft, number + 1), (each, 0)]
                    descended = True
                    break
                if each in on_stack:
                    low[draft] = min(low[draft], index[each])
            if descended:
                continue
            for each in reads:
                if each in on_stack:
                    low[draft] = min(low[draft], low[each])
            if low[draft] == index[draft]:
                members = []
                while True:
                    each = stack.pop()
                    on_stack.discard(each)
                    members.append(each)
                    if each is draft:
                        break
                if len(members) > 1 or draft in draft.reads:
                    found.update(dict.fromkeys(members, cycles))
                    cycles += 1
    return found


def _groups(order: Sequence[Draft], end: Draft) -> list[_Group]:
    """Groups in topological order."""
    cycles = _of_cycles(order)
    readers = _readers(order)
    groups: dict[int, _Group] = {}
    of: dict[Draft, _Group] = {}
    passed: dict[Draft, bool] = {}  # True behind the matrix through which a cell reads a vector
    for draft in order:
        if draft in cycles:
            group = groups.setdefault(cycles[draft], _Group([]))
            group.drafts.append(draft)
            of[draft] = group
            passed[draft] = draft.kind == "Dense"
    for draft in reversed(order):
        if draft in of or draft.kind in ("input", "start"):
            continue
        joined = {id(of[each]): of[each] for each in readers[draft] if each in of}
        outside = draft is end or any(each not in of for each in readers[draft])
        group = next(iter(joined.values())) if len(joined) == 1 and not outside else _Group([])
        if group.drafts and not _may_join(draft, group, [passed[each] for each in readers[draft] if each in passed]):
            group = _Group([])
        group.drafts.append(draft)
        of[draft] = group
        passed[draft] = draft.kind == "Dense" or (group.is_cell and any(passed[each] for each in readers[draft]))
    for draft in order:  # functions of several vectors of a cell that nothing else needs
        alone = draft in of and not of[draft].is_cell and len(of[draft].drafts) == 1
        if not alone or draft.kind != "op" or len(draft.reads) < 2:
            continue
        behind = {id(of[each]): of[each] for each in draft.reads if each in of}
        if (
            len(behind) == 1
            and all(each in of for each in draft.reads)
            and (cell := next(iter(behind.values()))).is_cell
        ):
            cell.drafts.append(draft)
            of[draft] = cell
    for draft in order:
        if draft in of and (draft is end or any(of.get(each) is not of[draft] for each in readers[draft])):
            of[draft].outputs.append(draft)
    return _sorted(order, of)


def _may_join(draft: Draft, group: _Group, passed: Sequence[bool]) -> bool:
    """True if a draft that only a group reads may become part of it."""
    if draft.kind == "op":
        first = group.drafts[0]
        return first.kind in ("op", "delay", "Dense") and (group.is_cell or first.kind == "op") and not any(passed)
    if draft.kind == "Dense":
        return group.is_cell and not any(passed) and draft.fields.get("activation", "none") == "none"
    return draft.kind == "delay" and group.is_cell


def _sorted(order: Sequence[Draft], of: Mapping[Draft, _Group]) -> list[_Group]:
    """Groups, each after those that it reads; the drafts of each in the order given."""
    groups: dict[int, _Group] = {}
    for draft in order:
        if draft in of:
            groups.setdefault(id(of[draft]), of[draft])
    for group in groups.values():
        inside = set(group.drafts)
        group.drafts = [draft for draft in order if draft in inside]
    result: list[_Group] = []
    done: set[int] = set()
    waiting = list(reversed(groups.values()))
    while waiting:
        group = waiting[-1]
        needed = {id(of[each]): of[each] for draft in group.drafts for each in draft.reads if each in of}
        missing = [each for key, each in needed.items() if key not in done and each is not group]
        if id(group) in done or not missing:
            waiting.pop()
            if id(group) not in done:
                done.add(id(group))
                result.append(group)
            continue
        waiting += missing
    return result


class _Layers:
    """Layers that have been made."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.layers: list[Layer] = []
        self.names: dict[Draft, str] = {}
        self.states: dict[Draft, tuple[str, str]] = {}
        self._places: dict[Draft, tuple[int, int]] = {}  # of outputs that share a layer: start, and size of the layer
        self._taken: Counter[str] = Counter([INPUT])

    def made(self, groups: Sequence[_Group], end: Draft) -> Finished:
        for group in groups:
            self._make(group)
        if end in self._places:
            self._pick(end)
        for draft in reachable(end):
            if draft.kind == "input":
                self.names[draft] = INPUT
        return Finished(tuple(self.layers), self.names, self.states)

    def _make(self, group: _Group) -> None:
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

    def _layer(self, group: _Group, reads: Sequence[Draft], last: Draft) -> Layer:
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

    def _simple(self, group: _Group) -> Layer | None:
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
