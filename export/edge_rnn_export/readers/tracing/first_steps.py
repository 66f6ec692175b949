"""First steps of recurrences that an exporter has simplified, as it knows that the states are zero there.

TensorFlow's converter leaves out products with a state of zeros, and sums with such products. Such a step has other
operators than the steps that follow; both are computed from the same random vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft, reachable
from edge_rnn_export.readers.tracing.values import computed

__all__ = ["Simplified", "Steps", "simplified"]

_DRAWS = 3
_ROUNDED = 1e-5
"""Largest difference of results, which an exporter may have computed in part, in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Last step of a recurrence, and how it depends on the step before.

    Parameters
    ----------
    root
        Draft of the last step that is read.
    before, after
        For each draft of the last step its counterpart in the step before, and the reverse.
    of_all
        Function that returns the draft of all steps that a draft reads at one step, or None.
    """

    root: Draft
    before: Mapping[Draft, Draft]
    after: Mapping[Draft, Draft]
    of_all: Callable[[Draft], Draft | None]


@dataclass(frozen=True, slots=True, eq=False)
class Simplified:
    """First step.

    Parameters
    ----------
    drafts
        For drafts of the last step those of the first step that are read by others.
    states
        Drafts of the last step whose values at the step before are read.
    read
        All drafts of the first step.
    """

    drafts: Mapping[Draft, Draft]
    states: frozenset[Draft]
    read: set[Draft]


def simplified(steps: Steps, second: Mapping[Draft, Draft], root: Draft | None) -> Simplified | None:
    """Return the first step if it computes what the last one does from states of zeros; None if not.

    Parameters
    ----------
    second
        Counterparts of the last step's drafts in the step after the first.
    root
        Counterpart of the root in the first step; None if nothing reads it but the step after.
    """
    reads = [pair for of_all, draft in second.items() for pair in zip(of_all.args, draft.args, strict=True)]
    states = [(steps.after[x], y) for x, y in reads if isinstance(x, Draft) and x in steps.after]
    drafts: dict[Draft, Draft] = {} if root is None else {steps.root: root}
    for of_all, read in states:
        if not isinstance(read, Draft) or drafts.setdefault(of_all, read) is not read:
            return None
    if not drafts:
        return None
    zeros = {draft: np.zeros(draft.size) for draft in steps.after}
    row = min((draft.first_row for draft in drafts.values()), default=-1)
    rng = np.random.default_rng(len(drafts))
    for _ in range(_DRAWS):
        given: dict[Draft, Any] = dict(zeros)
        values: dict[Draft, AnyArray] = {}
        for end, at in [*((each, steps.root.first_row) for each in drafts), *((each, row) for each in drafts.values())]:
            for leaf in _read_by(steps, end, given):
                one = steps.of_all(leaf)
                if one is None or leaf.first_row != at:
                    return None
                given[leaf] = values.setdefault(one, rng.standard_normal(leaf.size))
        try:
            pairs = zip(computed(list(drafts), given), computed(list(drafts.values()), given), strict=True)
        except KeyError:  # layers inside of the steps
            return None
        if not all(np.allclose(a, b, rtol=_ROUNDED, atol=_ROUNDED) for a, b in pairs):
            return None
    read_by = {each for draft in drafts.values() for each in reachable(draft)}
    return Simplified(drafts, frozenset(of_all for of_all, _ in states), read_by)


def _read_by(steps: Steps, end: Draft, known: Iterable[Draft]) -> list[Draft]:
    """Vectors from outside of a step that a draft of it depends on, except for those that are known."""
    found: list[Draft] = []
    seen, waiting = set(known), [end]
    while waiting:
        draft = waiting.pop()
        if draft in seen or draft.kind == "start":
            continue
        seen.add(draft)
        if draft not in steps.before and (steps.of_all(draft) is not None or not draft.reads):
            found.append(draft)
        else:
            waiting += draft.reads
    return found
