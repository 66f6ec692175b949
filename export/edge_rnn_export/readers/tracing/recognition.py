"""Recognize Elman cells, GRUs and LSTMs by what they compute.

Terms of a step are compared with the equations in :mod:`edge_rnn.layers.cell_equations`, gate by gate; then both
are computed on random values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.equations.evaluation import evaluate
from edge_rnn.errors import ModelError
from edge_rnn.layers import GRU, LSTM, Elman, Recurrent
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.terms import Applied, Leaf, Sum, Term, numbers_of

__all__ = ["Recognized", "recognized"]

_TRIES = 4
_ROUNDED = 1e-6
"""Largest difference, relative to 1 or the largest output, between a layer with weights of float32 and the terms."""


@dataclass(frozen=True, slots=True, eq=False)
class Recognized:
    """Fields of a layer, and its states: ``"h"`` and ``"c"`` by the delays that hold them."""

    kind: type[Recurrent]
    fields: Mapping[str, Any]
    states: Mapping[Draft, str]


class _OtherError(Exception):
    """A term is not what a cell computes there."""


@dataclass(frozen=True, slots=True, eq=False)
class _Gate:
    """Pre-activation: matrices for the input and the state, biases and a peephole, None where missing."""

    x: AnyArray | None
    h: AnyArray | None
    bias: AnyArray | None
    peephole: AnyArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Step to recognize: vectors read from outside, new values of states by their delays, and the output."""

    reads: Sequence[Draft]
    states: Mapping[Draft, Term]
    output: Term

    def gate(self, term: Any, state: Draft | None, cell: Term | None = None) -> _Gate:
        """Split a sum into its parts; ``cell`` is the cell state that a peephole reads."""
        if isinstance(term, np.ndarray) or term.size < 1:
            raise _OtherError
        found = term if isinstance(term, Sum) else None
        if found is None:
            raise _OtherError
        size = found.size
        columns = {draft: np.zeros((size, draft.size)) for draft in self.reads}
        h = peephole = None
        for each in found.products:
            sign = -1.0 if each.negative else 1.0
            if isinstance(each.vector, Leaf) and each.vector.draft is not _draft(cell):
                draft = each.vector.draft
                matrix = np.eye(size) if each.matrix is None else each.matrix.astype(np.float64)
                if draft in columns:
                    columns[draft] += sign * matrix
                elif draft is state:
                    h = sign * matrix if h is None else h + sign * matrix
                else:
                    raise _OtherError
            elif cell is not None:
                numbers = _peephole(each.vector, cell) if each.matrix is None else _diagonal(each, cell)
                peephole = sign * numbers if peephole is None else peephole + sign * numbers
            else:
                raise _OtherError
        x = np.concatenate(list(columns.values()), axis=1) if columns else np.zeros((size, 0))
        bias = None if found.bias is None else np.broadcast_to(found.bias, (size,))
        return _Gate(x, h, bias, peephole)


def _draft(term: Term | None) -> Draft | None:
    return term.draft if isinstance(term, Leaf) else None


def _peephole(term: Term, cell: Term) -> AnyArray:
    if isinstance(term, Applied) and term.operation == "mul":
        for vector, numbers in (term.args, term.args[::-1]):
            if _is_same(vector, cell) and isinstance(numbers, np.ndarray):
                return numbers.astype(np.float64)
    if _is_same(term, cell):
        return np.ones(cell.size)
    raise _OtherError


def _diagonal(product: Any, cell: Term) -> AnyArray:
    """Peephole spelled as a diagonal matrix."""
    matrix = product.matrix
    if not _is_same(product.vector, cell) or matrix.shape[0] != matrix.shape[1]:
        raise _OtherError
    numbers = np.diagonal(matrix)
    if (np.diag(numbers) != matrix).any():
        raise _OtherError
    return numbers.astype(np.float64)


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, Leaf) and isinstance(b, Leaf) and a.draft is b.draft)


def recognized(reads: Sequence[Draft], states: Mapping[Draft, Term], output: Term) -> Recognized | None:
    """Return the cell that computes a step, or None if it is none of the library's.

    Parameters
    ----------
    reads
        Vectors whose concatenation the layer reads.
    states
        New values of the states, by their delays.
    output
        Output of the layer.
    """
    step = _Step(reads, states, output)
    for attempt in (_elman, _gru, _lstm):
        try:
            found = attempt(step)
            if found is not None and _computes_the_same(step, found):
                return found
        except (_OtherError, ModelError):
            continue
    return None


def _only(step: _Step) -> tuple[Draft, Term]:
    if len(step.states) != 1:
        raise _OtherError
    ((delay, new),) = step.states.items()
    if not _is_same(new, step.output):
        raise _OtherError
    return delay, new


def _activated(term: Any) -> tuple[str, Term]:
    """Text of an activation, and the term that it is applied to."""
    if isinstance(term, Applied) and term.operation.startswith("activation:"):
        (arg,) = term.args
        if not isinstance(arg, np.ndarray):
            return term.operation.removeprefix("activation:"), arg
    if isinstance(term, Sum) and not (len(term.products) == 1 and term.products[0].matrix is None):
        return "none", term
    raise _OtherError


def _elman(step: _Step) -> Recognized | None:
    delay, new = _only(step)
    text, term = _activated(new)
    gate = step.gate(term, delay)
    return Recognized(Elman, _fields([gate]) | {"activation": text} | _start(delay, "h0"), {delay: "h"})


def _start(delay: Draft, name: str) -> dict[str, Any]:
    value = delay.fields["value"]
    return {name: np.asarray(value, np.float32)} if np.any(value) else {}


def _fields(gates: Sequence[_Gate], inner: Sequence[_Gate] | None = None) -> dict[str, Any]:
    """Matrices and biases of gates, one below the other; ``inner`` are gates of the state alone, if these differ."""
    of_state = gates if inner is None else inner
    size = next(each.shape[0] for gate in (*gates, *of_state) for each in (gate.x, gate.h) if each is not None)
    x = np.concatenate([gate.x for gate in gates if gate.x is not None])
    h = np.concatenate([np.zeros((size, size)) if gate.h is None else gate.h for gate in of_state])
    if not x.size or h.shape[0] != x.shape[0]:
        raise _OtherError
    fields: dict[str, Any] = {"weight_ih": x, "weight_hh": h}
    for name, parts in (("bias_ih", gates), ("bias_hh", None if inner is None else inner)):
        if parts is not None and any(gate.bias is not None for gate in parts):
            fields[name] = np.concatenate([np.zeros(size) if gate.bias is None else gate.bias for gate in parts])
    return fields


def _factors(term: Any) -> tuple[Any, Any]:
    if not isinstance(term, Applied) or term.operation != "mul":
        raise _OtherError
    a, b = term.args
    return a, b


def _addends(term: Any) -> list[tuple[bool, Term]]:
    """Addends of a sum without matrices and bias, each with True if it is subtracted."""
    if not isinstance(term, Sum) or term.bias is not None or any(each.matrix is not None for each in term.products):
        raise _OtherError
    return [(each.negative, each.vector) for each in term.products]


def _complement(term: Any) -> Term | None:
    """``z`` of ``1 - z``."""
    if isinstance(term, Sum) and term.bias is not None and len(term.products) == 1 and (term.bias == 1).all():
        (each,) = term.products
        if each.negative and each.matrix is None:
            return each.vector
    return None


def _mixture(term: Term, old: Draft) -> tuple[Any, Any, bool]:
    """Gate and candidate of ``(1 - z) n + z h``, or its other forms; True if the gate stands before the candidate."""
    addends = _addends(term)
    if len(addends) == 2 and not any(negative for negative, _ in addends):
        for (_, kept), (_, new) in (addends, addends[::-1]):
            for gate, value in _both(kept):
                if not (isinstance(value, Leaf) and value.draft is old) or isinstance(gate, np.ndarray):
                    continue
                for other, candidate in _both(new):
                    if isinstance(candidate, np.ndarray):
                        continue
                    if _complement(other) is gate:
                        return gate, candidate, False
                    if not isinstance(other, np.ndarray) and _complement(gate) is other:
                        return other, candidate, True
    return _moved(addends, old)


def _moved(addends: Sequence[tuple[bool, Term]], old: Draft) -> tuple[Any, Any, bool]:
    """``n + z (h - n)`` and ``h + z (n - h)``."""
    if len(addends) == 2 and not any(negative for negative, _ in addends):
        for (_, base), (_, moved) in (addends, addends[::-1]):
            if not (isinstance(moved, Applied) and moved.operation == "mul"):
                continue
            for gate, difference in _both(moved):
                if isinstance(gate, np.ndarray) or not isinstance(difference, Sum) or len(difference.products) != 2:
                    continue
                plus = [each.vector for each in difference.products if not each.negative and each.matrix is None]
                minus = [each.vector for each in difference.products if each.negative and each.matrix is None]
                if difference.bias is not None or len(plus) != 1 or not (minus and _is_same(minus[0], base)):
                    continue
                if isinstance(plus[0], Leaf) and plus[0].draft is old:
                    return gate, base, False
                if isinstance(base, Leaf) and base.draft is old:
                    return gate, plus[0], True
    raise _OtherError


def _both(term: Any) -> list[tuple[Any, Any]]:
    try:
        a, b = _factors(term)
    except _OtherError:
        return []
    return [(a, b), (b, a)]


def _gru(step: _Step) -> Recognized | None:
    delay, new = _only(step)
    gate, candidate, swapped = _mixture(new, delay)
    text, term = _activated(gate)
    z = step.gate(term, delay)
    if swapped:
        if text != "sigmoid":
            raise _OtherError  # only of a sigmoid the complement is that of the negative
        z = _Gate(*(None if each is None else -each for each in (z.x, z.h, z.bias)))
    candidate_text, inner = _activated(candidate)
    for build in (_reset_after, _reset_before):
        try:
            gates, of_state, reset_text, after = build(step, delay, inner)
        except _OtherError:
            continue
        if reset_text != text:
            raise _OtherError
        fields = _fields([gates[0], z, gates[1]], [of_state[0], z, of_state[1]] if after else None)
        if after:  # biases of r and z stand once
            size = len(fields["weight_hh"]) // 3
            if "bias_hh" in fields:
                fields["bias_hh"] = fields["bias_hh"].copy()
                fields["bias_hh"][: 2 * size] = 0
        else:
            fields["weight_hh"] = np.concatenate(
                [np.zeros_like(of_state[1].h) if each is None else each for each in (gates[0].h, z.h, of_state[1].h)]
            )
        options = {"gate_activation": text, "candidate_activation": candidate_text, "reset_after": after}
        return Recognized(GRU, fields | options | _start(delay, "h0"), {delay: "h"})
    raise _OtherError


_Built = tuple[tuple[_Gate, _Gate], tuple[_Gate, _Gate], str, bool]


def _reset_after(step: _Step, delay: Draft, inner: Term) -> _Built:
    """``W x + b + r (U h + b_h)``."""
    if not isinstance(inner, Sum):
        raise _OtherError
    gated = [each for each in inner.products if isinstance(each.vector, Applied) and each.vector.operation == "mul"]
    if len(gated) != 1 or gated[0].matrix is not None or gated[0].negative:
        raise _OtherError
    rest = Sum(inner.size, tuple(each for each in inner.products if each is not gated[0]), inner.bias)
    n = step.gate(rest, None)
    for reset, product in _both(gated[0].vector):
        try:
            text, term = _activated(reset)
            if text == "none":
                continue
            r, of_state = step.gate(term, delay), step.gate(product, delay)
        except _OtherError:
            continue
        if of_state.x is not None and of_state.x.any():
            continue
        return (r, n), (r, of_state), text, True
    raise _OtherError


def _reset_before(step: _Step, delay: Draft, inner: Term) -> _Built:
    """``W x + b + U (r h)``."""
    if not isinstance(inner, Sum):
        raise _OtherError
    gated = [each for each in inner.products if isinstance(each.vector, Applied) and each.vector.operation == "mul"]
    if len(gated) != 1 or gated[0].matrix is None:
        raise _OtherError
    rest = Sum(inner.size, tuple(each for each in inner.products if each is not gated[0]), inner.bias)
    n = step.gate(rest, None)
    for reset, old in _both(gated[0].vector):
        if isinstance(old, Leaf) and old.draft is delay:
            text, term = _activated(reset)
            r = step.gate(term, delay)
            sign = -1.0 if gated[0].negative else 1.0
            return (r, n), (r, _Gate(None, sign * gated[0].matrix.astype(np.float64), None)), text, False
    raise _OtherError


def _lstm(step: _Step) -> Recognized | None:
    if len(step.states) != 2:
        raise _OtherError
    for h, c in (list(step.states), list(step.states)[::-1]):
        if not _is_same(step.states[h], step.output):
            continue
        found = _lstm_of(step, h, c)
        if found is not None:
            return found
    raise _OtherError


def _lstm_of(step: _Step, h: Draft, c: Draft) -> Recognized | None:
    new_h, new_c = step.states[h], step.states[c]
    fields: dict[str, Any] = {}
    if isinstance(new_h, Sum):  # a projection
        if len(new_h.products) != 1 or new_h.bias is not None or new_h.products[0].matrix is None:
            raise _OtherError
        fields["weight_hr"] = new_h.products[0].matrix * (-1.0 if new_h.products[0].negative else 1.0)
        new_h = new_h.products[0].vector
    old_c = next((leaf for leaf in _leaves_of(new_c) if leaf.draft is c), None)
    if old_c is None:
        raise _OtherError
    addends = _addends(new_c)
    if len(addends) != 2 or any(negative for negative, _ in addends):
        raise _OtherError
    for output, shown in _both(new_h):
        for (_, kept), (_, added) in (addends, addends[::-1]):
            for forget, old in _both(kept):
                if not (isinstance(old, Leaf) and old.draft is c):
                    continue
                for enter, candidate in _both(added):
                    try:
                        return _lstm_from(step, h, c, (forget, enter, candidate, output, shown), new_c, old_c, fields)
                    except _OtherError:
                        continue
    raise _OtherError


def _lstm_from(
    step: _Step, h: Draft, c: Draft, terms: Sequence[Any], new_c: Term, old_c: Term, fields: Mapping[str, Any]
) -> Recognized:
    forget, enter, candidate, output, shown = terms
    more = dict(fields)
    if _complement(forget) is enter and not isinstance(enter, np.ndarray):
        more["coupled"], forget = "forget", enter
    elif _complement(enter) is forget and not isinstance(forget, np.ndarray):
        more["coupled"], enter = "input", forget
    (f_text, f_term), (i_text, i_term), (o_text, o_term) = map(_activated, (forget, enter, output))
    g_text, g_term = _activated(candidate)
    shown_text, shown_term = ("none", shown) if _is_same(shown, new_c) else _activated(shown)
    if not _is_same(shown_term, new_c) or len({f_text, i_text, o_text}) > 1:
        raise _OtherError
    i, f = step.gate(i_term, h, old_c), step.gate(f_term, h, old_c)
    g, o = step.gate(g_term, h), step.gate(o_term, h, new_c)
    gates = [i, f, g, o]
    size, width = c.size, h.size
    blank = np.zeros((size, width))
    gates = [_Gate(each.x, blank if each.h is None else each.h, each.bias, each.peephole) for each in gates]
    made = _fields(gates)
    if any(each.peephole is not None for each in (i, f, o)):
        zeros = np.zeros(size)
        made["peephole"] = np.concatenate([zeros if e.peephole is None else e.peephole for e in (i, f, o)])
    options = {"gate_activation": i_text, "cell_activation": g_text, "output_activation": shown_text}
    return Recognized(LSTM, made | more | options | _start(h, "h0") | _start(c, "c0"), {h: "h", c: "c"})


def _leaves_of(term: Term) -> list[Leaf]:
    found: list[Leaf] = []
    waiting: list[Any] = [term]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, np.ndarray):
            continue
        seen.add(id(each))
        if isinstance(each, Leaf):
            found.append(each)
        else:
            waiting += [p.vector for p in each.products] if isinstance(each, Sum) else each.args
    return found


def _computes_the_same(step: _Step, found: Recognized) -> bool:
    """Compare a layer with the terms, on random inputs and states."""
    layer = found.kind(**found.fields)
    names = {name: delay for delay, name in found.states.items()}
    rng = np.random.default_rng(0)
    compute: Callable[[Term, Any], AnyArray] = numbers_of
    for _ in range(_TRIES):
        values = {draft: rng.uniform(-1, 1, draft.size) for draft in (*step.reads, *step.states)}
        x = np.concatenate([values[draft] for draft in step.reads])
        fields = {name: _wide(value) for name, value in layer.fields.items()}
        y, states = evaluate(layer.graph, fields, x, {name: values[delay] for name, delay in names.items()})
        pairs = [(y, compute(step.output, values))]
        pairs += [(states[name], compute(step.states[delay], values)) for name, delay in names.items()]
        for got, wanted in pairs:
            # What cancels in a sum has an error of the largest products' rounding to float32.
            if np.abs(got - wanted).max() > _ROUNDED * max(1.0, np.abs(wanted).max()) * _scale(layer):
                return False
    return True


def _wide(value: Any) -> Any:
    return np.asarray(value, np.float64) if isinstance(value, np.ndarray) else value


def _scale(layer: Recurrent) -> float:
    """Largest sum of absolute products that a gate may have for values up to 1."""
    x, h = (np.abs(np.asarray(each, np.float64)).sum(axis=1) for each in (layer.weight_ih, layer.weight_hh))
    return float(max(1.0, (x + h).max()))
