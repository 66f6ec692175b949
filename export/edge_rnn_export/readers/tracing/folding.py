"""Fold drafts: constants that others compute, functions of units into the Dense before, scales into what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_rnn.layers import Dense
from edge_rnn_export.readers.tracing.cycles import cycles_of, readers_of
from edge_rnn_export.readers.tracing.drafts import Draft, reachable
from edge_rnn_export.readers.tracing.values import value_of

__all__ = ["fold", "settled"]


def settled(end: Draft, same: Mapping[Draft, Draft]) -> Draft:
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


def fold(order: Sequence[Draft], end: Draft) -> None:
    """Fold biases, scales and activations into the Dense that they alone read, and others into the matrices behind."""
    _fold_back(order, end)
    _fold_ahead(reachable(end), end)


def _fold_back(order: Sequence[Draft], end: Draft) -> None:
    readers = readers_of(order)
    folded: dict[Draft, Draft] = {}
    cells = cycles_of(order)
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


def _fold_ahead(order: Sequence[Draft], end: Draft) -> None:
    """Fold products with constants and sums, such as those of a BatchNormalization, into the matrices that read them.

    Differences and quotients stay: they are the Standardize layer that shows in which units the samples are.
    """
    readers, cells = readers_of(order), cycles_of(order)
    for draft in reversed(order):
        if draft.operation not in ("add", "mul") or len(draft.reads) != 1 or len(draft.args) != 2:
            continue
        before, takers = draft.reads[0], dict.fromkeys(readers[draft])
        if draft is end or draft in cells or before.size != draft.size or not takers:
            continue
        if all(each.kind in _MATRICES and each not in cells for each in takers):
            for each in takers:
                _take_scale(each, draft)
            readers[before] = [each for each in readers[before] if each is not draft] + list(takers)


_MATRICES = {"Dense": ("weight", "bias"), **dict.fromkeys(("Elman", "GRU", "LSTM"), ("weight_ih", "bias_ih"))}
"""Fields with the matrix of the input and its bias."""


def _take_scale(taker: Draft, draft: Draft) -> None:
    """Let a layer read what a product or a sum reads, with its own matrix and bias changed."""
    matrix, bias = _MATRICES[taker.kind]
    weight = np.array(taker.fields[matrix], np.float64)
    (constant,) = (np.asarray(arg, np.float64) for arg in draft.args if not isinstance(arg, Draft))
    values, shift, place = np.broadcast_to(constant, (draft.size,)), np.zeros(len(weight)), 0
    with np.errstate(all="ignore"):  # non-finite values are refused when they become weights
        for each in taker.reads:
            columns = slice(place, place + each.size)
            place += each.size
            if each is draft and draft.operation == "mul":
                weight[:, columns] *= values
            elif each is draft:
                shift += weight[:, columns] @ values
    if draft.operation == "mul":
        taker.fields[matrix] = weight
    else:
        known = taker.fields.get(bias)
        taker.fields[bias] = shift if known is None else np.asarray(known, np.float64) + shift
    taker.args = tuple(draft.reads[0] if each is draft else each for each in taker.args)
