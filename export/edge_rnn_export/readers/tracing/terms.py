"""Write what drafts compute as sums of matrix products and functions of these, which gates have in common.

However a graph slices, joins and adds, a gate becomes one :class:`Sum`: rows of matrices times the input and the old
states, and a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.functions import activation

__all__ = ["Applied", "Leaf", "Product", "Sum", "Term", "Terms", "numbers_of"]

_OF_ALL_UNITS = ("concat", "largest", "layer_norm", "log_softmax", "mean", "part", "rms_norm", "softmax", "total")


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """Vector from outside: read by a layer, or the old value of a state."""

    draft: Draft

    @property
    def size(self) -> int:
        """Number of values."""
        return self.draft.size


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Matrix times a vector; without a matrix the vector itself, or its negative."""

    matrix: AnyArray | None
    vector: Term
    negative: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """Sum of products and a bias."""

    size: int
    products: tuple[Product, ...]
    bias: AnyArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """Function of units; arguments of size 1 are broadcast."""

    size: int
    operation: str
    function: Callable[..., Any]
    args: tuple[Term | AnyArray, ...]


Term = Leaf | Sum | Applied


class Terms:
    """Terms of the drafts of a group; all other drafts are leaves.

    Parameters
    ----------
    inside
        Drafts of the group, without its delays, which are leaves as well.
    """

    def __init__(self, inside: Container[Draft]) -> None:
        self._inside = inside
        self._known: dict[Draft, Term] = {}
        self._parts: dict[tuple[int, int, int], Term] = {}

    def of(self, draft: Draft) -> Term:
        """Term of a draft."""
        waiting = [draft]
        while waiting:
            each = waiting[-1]
            missing = [arg for arg in each.reads if arg not in self._known] if self._is_inside(each) else []
            if missing and each not in self._known:
                waiting += missing
                continue
            waiting.pop()
            if each not in self._known:
                self._known[each] = self._made(each)
        return self._known[draft]

    def _is_inside(self, draft: Draft) -> bool:
        return draft in self._inside and draft.kind in ("op", "Dense")

    def _made(self, draft: Draft) -> Term:
        if not self._is_inside(draft):
            return Leaf(draft)
        if draft.kind == "Dense":
            return self._dense(draft)
        args = [self._known[arg] if isinstance(arg, Draft) else np.asarray(arg) for arg in draft.args]
        if draft.operation.startswith("part:"):
            start, size = (int(text) for text in draft.operation.split(":")[1:])
            (vector,) = args
            assert not isinstance(vector, np.ndarray)
            return self._part(vector, start, size)
        if draft.operation in ("add", "sub"):
            found = self._sum(draft, args)
            if found is not None:
                return found
        assert draft.function is not None
        return Applied(draft.size, draft.operation, draft.function, tuple(args))

    def _dense(self, draft: Draft) -> Term:
        weight, place = draft.fields["weight"], 0
        products: list[Product] = []
        for arg in draft.reads:
            products.append(Product(weight[:, place : place + arg.size], self._known[arg]))
            place += arg.size
        made = Sum(draft.size, tuple(products), draft.fields.get("bias"))
        text = draft.fields.get("activation", "none")
        if text == "none":
            return made
        name, *numbers = text.split(":")
        function = activation(name, tuple(map(float, numbers)))
        return Applied(draft.size, function.name, function.call, (made,))

    @staticmethod
    def _sum(draft: Draft, args: Sequence[Any]) -> Sum | None:
        """Sum of two vectors, or of one and constants; None for single numbers next to vectors."""
        products: list[Product] = []
        bias: AnyArray | None = None
        for arg, negative in zip(args, (False, draft.operation == "sub"), strict=True):
            if isinstance(arg, np.ndarray):
                signed = -arg if negative else arg
                bias = signed if bias is None else bias + signed
                continue
            if arg.size != draft.size:
                return None
            if not isinstance(arg, Sum):
                products.append(Product(None, arg, negative))
                continue
            products += [Product(each.matrix, each.vector, each.negative != negative) for each in arg.products]
            if arg.bias is not None:
                signed = -arg.bias if negative else arg.bias
                bias = signed if bias is None else bias + signed
        return Sum(draft.size, tuple(products), bias)

    def _part(self, term: Term, start: int, size: int) -> Term:
        """Part of a term: of each product, and of each argument of a function of units."""
        if (start, size) == (0, term.size):
            return term
        key = (id(term), start, size)
        if key not in self._parts:
            self._parts[key] = self._part_of(term, start, size)
            self._known.setdefault(Draft("op", "", "", 0), term)  # keeps the term, and so its id
        return self._parts[key]

    def _part_of(self, term: Term, start: int, size: int) -> Term:
        end = start + size
        if isinstance(term, Sum):
            products = tuple(
                Product(None, self._part(each.vector, start, size), each.negative)
                if each.matrix is None
                else Product(each.matrix[start:end], each.vector, each.negative)
                for each in term.products
            )
            return Sum(size, products, None if term.bias is None else term.bias[start:end])
        if isinstance(term, Applied) and _is_of_units(term.operation):
            args = tuple(self._part_of_arg(arg, start, size) for arg in term.args)
            return Applied(size, term.operation, term.function, args)
        if isinstance(term, Applied) and term.operation == "concat":
            place = 0
            for arg in term.args:
                if place <= start and end <= place + arg.size and not isinstance(arg, np.ndarray):
                    return self._part(arg, start - place, size)
                place += arg.size
        return Applied(size, f"part:{start}:{size}", lambda x: x[start:end], (term,))

    def _part_of_arg(self, arg: Term | AnyArray, start: int, size: int) -> Term | AnyArray:
        if isinstance(arg, np.ndarray):
            return arg[start : start + size]
        return arg if arg.size == 1 else self._part(arg, start, size)


def _is_of_units(operation: str) -> bool:
    return operation.partition(":")[0] not in _OF_ALL_UNITS


def numbers_of(term: Term, values: Mapping[Draft, AnyArray]) -> AnyArray:
    """Compute a term in float64."""
    known: dict[int, AnyArray] = {}

    def compute(each: Any) -> AnyArray:
        if isinstance(each, np.ndarray):
            return each.astype(np.float64)
        if id(each) not in known:
            known[id(each)] = _computed(each, values, compute)
        return known[id(each)]

    return compute(term)


def _computed(term: Term, values: Mapping[Draft, AnyArray], compute: Callable[[Any], AnyArray]) -> AnyArray:
    if isinstance(term, Leaf):
        return values[term.draft]
    if isinstance(term, Applied):
        args = [compute(arg) for arg in term.args]
        return np.asarray(term.function(*args))
    total: Any = np.zeros(term.size) if term.bias is None else term.bias.astype(np.float64)
    for each in term.products:
        vector = compute(each.vector)
        value = vector if each.matrix is None else each.matrix.astype(np.float64) @ vector
        total = total - value if each.negative else total + value
    return np.asarray(total)
