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
from edge_rnn_export.readers.tracing.gates import (
    Gate,
    OtherError,
    Step,
    activated_by,
    addends_of,
    both,
    complement,
    fields_of,
    is_same,
    mixture,
    only,
    start_of,
)
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
    step = Step(reads, states, output)
    for attempt in (_elman, _gru, _lstm):
        try:
            found = attempt(step)
            if found is not None and _computes_the_same(step, found):
                return found
        except (OtherError, ModelError):
            continue
    return None


def _elman(step: Step) -> Recognized | None:
    delay, new = only(step)
    text, term = activated_by(new)
    gate = step.gate(term, delay)
    return Recognized(Elman, fields_of([gate]) | {"activation": text} | start_of(delay, "h0"), {delay: "h"})


def _gru(step: Step) -> Recognized | None:
    delay, new = only(step)
    gate, candidate, swapped = mixture(new, delay)
    text, term = activated_by(gate)
    z = step.gate(term, delay)
    if swapped:
        if text != "sigmoid":
            raise OtherError  # only of a sigmoid the complement is that of the negative
        z = Gate(*(None if each is None else -each for each in (z.x, z.h, z.bias)))
    candidate_text, inner = activated_by(candidate)
    for build in (_reset_after, _reset_before):
        try:
            gates, of_state, reset_text, after = build(step, delay, inner)
        except OtherError:
            continue
        if reset_text != text:
            raise OtherError
        fields = fields_of([gates[0], z, gates[1]], [of_state[0], z, of_state[1]] if after else None)
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
        return Recognized(GRU, fields | options | start_of(delay, "h0"), {delay: "h"})
    raise OtherError


_Built = tuple[tuple[Gate, Gate], tuple[Gate, Gate], str, bool]


def _reset_after(step: Step, delay: Draft, inner: Term) -> _Built:
    """``W x + b + r (U h + b_h)``."""
    if not isinstance(inner, Sum):
        raise OtherError
    gated = [each for each in inner.products if isinstance(each.vector, Applied) and each.vector.operation == "mul"]
    if len(gated) != 1 or gated[0].matrix is not None or gated[0].negative:
        raise OtherError
    rest = Sum(inner.size, tuple(each for each in inner.products if each is not gated[0]), inner.bias)
    n = step.gate(rest, None)
    for reset, product in both(gated[0].vector):
        try:
            text, term = activated_by(reset)
            if text == "none":
                continue
            r, of_state = step.gate(term, delay), step.gate(product, delay)
        except OtherError:
            continue
        if of_state.x is not None and of_state.x.any():
            continue
        return (r, n), (r, of_state), text, True
    raise OtherError


def _reset_before(step: Step, delay: Draft, inner: Term) -> _Built:
    """``W x + b + U (r h)``."""
    if not isinstance(inner, Sum):
        raise OtherError
    gated = [each for each in inner.products if isinstance(each.vector, Applied) and each.vector.operation == "mul"]
    if len(gated) != 1 or gated[0].matrix is None:
        raise OtherError
    rest = Sum(inner.size, tuple(each for each in inner.products if each is not gated[0]), inner.bias)
    n = step.gate(rest, None)
    for reset, old in both(gated[0].vector):
        if isinstance(old, Leaf) and old.draft is delay:
            text, term = activated_by(reset)
            r = step.gate(term, delay)
            sign = -1.0 if gated[0].negative else 1.0
            return (r, n), (r, Gate(None, sign * gated[0].matrix.astype(np.float64), None)), text, False
    raise OtherError


def _lstm(step: Step) -> Recognized | None:
    if len(step.states) != 2:
        raise OtherError
    for h, c in (list(step.states), list(step.states)[::-1]):
        if not is_same(step.states[h], step.output):
            continue
        found = _lstm_of(step, h, c)
        if found is not None:
            return found
    raise OtherError


def _lstm_of(step: Step, h: Draft, c: Draft) -> Recognized | None:
    new_h, new_c = step.states[h], step.states[c]
    fields: dict[str, Any] = {}
    if isinstance(new_h, Sum):  # a projection
        if len(new_h.products) != 1 or new_h.bias is not None or new_h.products[0].matrix is None:
            raise OtherError
        fields["weight_hr"] = new_h.products[0].matrix * (-1.0 if new_h.products[0].negative else 1.0)
        new_h = new_h.products[0].vector
    old_c = next((leaf for leaf in _leaves_of(new_c) if leaf.draft is c), None)
    if old_c is None:
        raise OtherError
    addends = addends_of(new_c)
    if len(addends) != 2 or any(negative for negative, _ in addends):
        raise OtherError
    for output, shown in both(new_h):
        for (_, kept), (_, added) in (addends, addends[::-1]):
            for forget, old in both(kept):
                if not (isinstance(old, Leaf) and old.draft is c):
                    continue
                for enter, candidate in both(added):
                    try:
                        return _lstm_from(step, h, c, (forget, enter, candidate, output, shown), new_c, old_c, fields)
                    except OtherError:
                        continue
    raise OtherError


def _lstm_from(
    step: Step, h: Draft, c: Draft, terms: Sequence[Any], new_c: Term, old_c: Term, fields: Mapping[str, Any]
) -> Recognized:
    forget, enter, candidate, output, shown = terms
    more = dict(fields)
    if complement(forget) is enter and not isinstance(enter, np.ndarray):
        more["coupled"], forget = "forget", enter
    elif complement(enter) is forget and not isinstance(forget, np.ndarray):
        more["coupled"], enter = "input", forget
    (f_text, f_term), (i_text, i_term), (o_text, o_term) = map(activated_by, (forget, enter, output))
    g_text, g_term = activated_by(candidate)
    shown_text, shown_term = ("none", shown) if is_same(shown, new_c) else activated_by(shown)
    if not is_same(shown_term, new_c) or len({f_text, i_text, o_text}) > 1:
        raise OtherError
    i, f = step.gate(i_term, h, old_c), step.gate(f_term, h, old_c)
    g, o = step.gate(g_term, h), step.gate(o_term, h, new_c)
    gates = [i, f, g, o]
    size, width = c.size, h.size
    blank = np.zeros((size, width))
    gates = [Gate(each.x, blank if each.h is None else each.h, each.bias, each.peephole) for each in gates]
    made = fields_of(gates)
    if any(each.peephole is not None for each in (i, f, o)):
        zeros = np.zeros(size)
        made["peephole"] = np.concatenate([zeros if e.peephole is None else e.peephole for e in (i, f, o)])
    options = {"gate_activation": i_text, "cell_activation": g_text, "output_activation": shown_text}
    return Recognized(LSTM, made | more | options | start_of(h, "h0") | start_of(c, "c0"), {h: "h", c: "c"})


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


def _computes_the_same(step: Step, found: Recognized) -> bool:
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
