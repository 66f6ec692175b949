"""Draft layers: the steps of a computation on vectors, before they are grouped into a model's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_rnn.typing import AnyArray

__all__ = ["Draft", "Kind", "Vector", "reachable"]

Kind = Literal["input", "Elman", "GRU", "LSTM", "Dense", "Embedding", "op", "delay", "start"]


@dataclass(slots=True, eq=False)
class Draft:
    """Vector that is computed at each step, or at one of them.

    Parameters
    ----------
    kind
        ``"input"``, the samples; the class of a layer; ``"op"``, a function of units; ``"delay"``, the value of another
        vector at the step before; ``"start"``, constants in the place of a vector from before the first step.
    title, name
        Of the operator, for messages and for the layer.
    size
        Number of values.
    args
        Vectors that it is computed from; for ``"op"`` also constants. A Dense, an Embedding or a cell reads the
        concatenation of its arguments.
    fields
        Fields of the layer; for ``"delay"`` and ``"start"`` the ``value`` at the first step.
    operation, function
        For ``"op"``: a name that tells functions apart, with their numbers, and the function, which takes arrays and
        symbols of :mod:`edge_rnn.equations`.
    rows
        Rows of the samples at which an operator computed it, in the operator's order; -1 before the first step.
    source
        Its place among the sources of the trace; -1 if nothing can read it by codes.
    whole
        True if it stands for all steps although ``rows`` are those of a single one, the last.
    """

    kind: Kind
    title: str
    name: str
    size: int
    args: tuple[Draft | AnyArray, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    operation: str = ""
    function: Callable[..., Any] | None = None
    rows: NDArray[np.int64] | None = None
    source: int = -1
    whole: bool = False

    @property
    def reads(self) -> tuple[Draft, ...]:
        """Vectors among the arguments."""
        return tuple(each for each in self.args if isinstance(each, Draft))

    @property
    def first_row(self) -> int:
        """Row of its first sample, which orders the steps of a sequence."""
        return -1 if self.rows is None or not self.rows.size else int(self.rows.flat[0])

    @property
    def is_read_at(self) -> bool:
        """True if it is nothing but the value of another draft at one step."""
        return self.operation == "at"


Vector = Draft | AnyArray
"""Argument of a draft: another draft, or constants."""


def reachable(end: Draft, known: Iterable[Draft] = ()) -> list[Draft]:
    """Drafts that a draft depends on, itself included, each after its arguments unless a delay stands between.

    Drafts that are ``known``, and what only these depend on, are left out.
    """
    order: list[Draft] = []
    seen: set[Draft] = set(known)
    waiting: list[tuple[Draft, bool]] = [(end, False)]
    while waiting:
        draft, left = waiting.pop()
        if left:
            order.append(draft)
        elif draft not in seen:
            seen.add(draft)
            waiting.append((draft, True))
            waiting += [(each, False) for each in reversed(draft.reads) if each not in seen]
    return order
