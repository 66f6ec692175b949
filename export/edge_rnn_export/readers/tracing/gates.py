"""Match the terms of a step: gates, mixtures of an old and a new value, complements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.terms import Applied, Leaf, Sum, Term

__all__ = ["Gate", "OtherError", "Step", "activated_by", "addends_of", "both", "complement", "fields_of", "is_same"]
__all__ += ["mixture", "only", "start_of"]


class OtherError(Exception):
    """A term is not what a cell computes there."""


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """Pre-activation: matrices for the input and the state, biases and a peephole, None where missing."""

    x: AnyArray | None
    h: AnyArray | None
    bias: AnyArray | None
    peephole: AnyArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Step to recognize: vectors read from outside, new values of states by their delays, and the output."""

    reads: Sequence[Draft]
    states: Mapping[Draft, Term]
    output: Term

    def gate(self, term: Any, state: Draft | None, cell: Term | None = None) -> Gate:
        """Split a sum into its parts; ``cell`` is the cell state that a peephole reads."""
        if isinstance(term, np.ndarray) or term.size < 1:
            raise OtherError
        found = term if isinstance(term, Sum) else None
        if found is None:
            raise OtherError
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
                    raise OtherError
            elif cell is not None:
                numbers = _peephole(each.vector, cell) if each.matrix is None else _diagonal(each, cell)
                peephole = sign * numbers if peephole is None else peephole + sign * numbers
            else:
                raise OtherError
        x = np.concatenate(list(columns.values()), axis=1) if columns else np.zeros((size, 0))
        bias = None if found.bias is None else np.broadcast_to(found.bias, (size,))
        return Gate(x, h, bias, peephole)


def _draft(term: Term | None) -> Draft | None:
    return term.draft if isinstance(term, Leaf) else None


def _peephole(term: Term, cell: Term) -> AnyArray:
    if isinstance(term, Applied) and term.operation == "mul":
        for vector, numbers in (term.args, term.args[::-1]):
            if is_same(vector, cell) and isinstance(numbers, np.ndarray):
                return numbers.astype(np.float64)
    if is_same(term, cell):
        return np.ones(cell.size)
    raise OtherError


def _diagonal(product: Any, cell: Term) -> AnyArray:
    """Peephole spelled as a diagonal matrix."""
    matrix = product.matrix
    if not is_same(product.vector, cell) or matrix.shape[0] != matrix.shape[1]:
        raise OtherError
    numbers = np.diagonal(matrix)
    if (np.diag(numbers) != matrix).any():
        raise OtherError
    return numbers.astype(np.float64)


def is_same(a: Any, b: Any) -> bool:
    """True if two terms are the same, or the same vector from outside."""
    return a is b or (isinstance(a, Leaf) and isinstance(b, Leaf) and a.draft is b.draft)


def factors(term: Any) -> tuple[Any, Any]:
    """Return the factors of a product of two vectors, or raise OtherError."""
    if not isinstance(term, Applied) or term.operation != "mul":
        raise OtherError
    a, b = term.args
    return a, b


def addends_of(term: Any) -> list[tuple[bool, Term]]:
    """Addends of a sum without matrices and bias, each with True if it is subtracted."""
    if not isinstance(term, Sum) or term.bias is not None or any(each.matrix is not None for each in term.products):
        raise OtherError
    return [(each.negative, each.vector) for each in term.products]


def complement(term: Any) -> Term | None:
    """``z`` of ``1 - z``."""
    if isinstance(term, Sum) and term.bias is not None and len(term.products) == 1 and (term.bias == 1).all():
        (each,) = term.products
        if each.negative and each.matrix is None:
            return each.vector
    return None


def mixture(term: Term, old: Draft) -> tuple[Any, Any, bool]:
    """Gate and candidate of ``(1 - z) n + z h``, or its other forms; True if the gate stands before the candidate."""
    addends = addends_of(term)
    if len(addends) == 2 and not any(negative for negative, _ in addends):
        for (_, kept), (_, new) in (addends, addends[::-1]):
            for gate, value in both(kept):
                if not (isinstance(value, Leaf) and value.draft is old) or isinstance(gate, np.ndarray):
                    continue
                for other, candidate in both(new):
                    if isinstance(candidate, np.ndarray):
                        continue
                    if complement(other) is gate:
                        return gate, candidate, False
                    if not isinstance(other, np.ndarray) and complement(gate) is other:
                        return other, candidate, True
    return _moved(addends, old)


def _moved(addends: Sequence[tuple[bool, Term]], old: Draft) -> tuple[Any, Any, bool]:
    """``n + z (h - n)`` and ``h + z (n - h)``."""
    if len(addends) == 2 and not any(negative for negative, _ in addends):
        for (_, base), (_, moved) in (addends, addends[::-1]):
            if not (isinstance(moved, Applied) and moved.operation == "mul"):
                continue
            for gate, difference in both(moved):
                if isinstance(gate, np.ndarray) or not isinstance(difference, Sum) or len(difference.products) != 2:
                    continue
                plus = [each.vector for each in difference.products if not each.negative and each.matrix is None]
                minus = [each.vector for each in difference.products if each.negative and each.matrix is None]
                if difference.bias is not None or len(plus) != 1 or not (minus and is_same(minus[0], base)):
                    continue
                if isinstance(plus[0], Leaf) and plus[0].draft is old:
                    return gate, base, False
                if isinstance(base, Leaf) and base.draft is old:
                    return gate, plus[0], True
    raise OtherError


def both(term: Any) -> list[tuple[Any, Any]]:
    """Factors of a product in both orders; empty for any other term."""
    try:
        a, b = factors(term)
    except OtherError:
        return []
    return [(a, b), (b, a)]


def only(step: Step) -> tuple[Draft, Term]:
    """Return the only state, which is also the output, and its new value."""
    if len(step.states) != 1:
        raise OtherError
    ((delay, new),) = step.states.items()
    if not is_same(new, step.output):
        raise OtherError
    return delay, new


def activated_by(term: Any) -> tuple[str, Term]:
    """Text of an activation, and the term that it is applied to."""
    if isinstance(term, Applied) and term.operation.startswith("activation:"):
        (arg,) = term.args
        if not isinstance(arg, np.ndarray):
            return term.operation.removeprefix("activation:"), arg
    if isinstance(term, Sum) and not (len(term.products) == 1 and term.products[0].matrix is None):
        return "none", term
    raise OtherError


def start_of(delay: Draft, name: str) -> dict[str, Any]:
    """Field of an initial state, if it is not zero."""
    value = delay.fields["value"]
    return {name: np.asarray(value, np.float32)} if np.any(value) else {}


def fields_of(gates: Sequence[Gate], inner: Sequence[Gate] | None = None) -> dict[str, Any]:
    """Matrices and biases of gates, one below the other; ``inner`` are gates of the state alone, if these differ."""
    of_state = gates if inner is None else inner
    size = next(each.shape[0] for gate in (*gates, *of_state) for each in (gate.x, gate.h) if each is not None)
    x = np.concatenate([gate.x for gate in gates if gate.x is not None])
    h = np.concatenate([np.zeros((size, size)) if gate.h is None else gate.h for gate in of_state])
    if not x.size or h.shape[0] != x.shape[0]:
        raise OtherError
    fields: dict[str, Any] = {"weight_ih": x, "weight_hh": h}
    for name, parts in (("bias_ih", gates), ("bias_hh", None if inner is None else inner)):
        if parts is not None and any(gate.bias is not None for gate in parts):
            fields[name] = np.concatenate([np.zeros(size) if gate.bias is None else gate.bias for gate in parts])
    return fields
