"""Roll steps that a graph spells one after the other back into one step with states.

A recurrence in a loop, or unrolled by an exporter, is a draft for each vector at each step. The last step is compared
with the one before: where an operator of the last step reads what its counterpart computed in the step before, there is
a state. Then all earlier steps must compute the same, from the vectors of the step before them, down to the values
before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import numpy as np

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft, Vector, reachable
from edge_rnn_export.readers.tracing.first_steps import Steps, simplified
from edge_rnn_export.readers.tracing.graph import Operator
from edge_rnn_export.readers.tracing.values import computed, value_of

__all__ = ["Rolls", "is_alike"]

_MOST_STEPS = 2**12
_MOST_TRIES = 32
_ROUNDED = 1e-5
"""Largest difference of values before the first step that an exporter has computed in float32."""


class _DifferentError(Exception):
    """Two steps do not compute the same."""


class _LaterError(_DifferentError):
    """All steps compute the same, but they are not all samples."""


@dataclass(slots=True)
class Rolls:
    """Recurrences that have been rolled.

    Attributes
    ----------
    same
        For each draft of a step the draft of all steps that it is an instance of.
    begun
        For each part of an input of the graph that a recurrence begins with, the draft of the old value.
    delays
        For each draft that is read at the next step, the draft of its old value.
    simplified
        Drafts of first steps that an exporter has simplified, since states are zero there.
    """

    same: dict[Draft, Draft] = field(default_factory=dict)
    begun: dict[Draft, Draft] = field(default_factory=dict)
    delays: dict[Draft, Draft] = field(default_factory=dict)
    simplified: set[Draft] = field(default_factory=set)

    def roll(self, operator: Operator, steps: Sequence[Draft], count: int) -> None:
        """Roll a sequence of drafts, one a step in order of time; that of the last step becomes that of all steps.

        ``count`` is the number of samples.

        Raises
        ------
        UnsupportedError
            The steps do not compute the same.
        """
        if len(steps) < 2:
            raise operator.refuse("it reads a single step of a recurrence; export it with a longer sequence.")
        try:
            _Roll(self, steps[-1], steps[-2]).finish(steps, count)
        except _LaterError as error:
            raise operator.refuse(f"{error}; in a stream it has seen all samples.") from None
        except _DifferentError as error:
            raise operator.refuse(
                f"it reads steps that do not all compute the same: {error}. A stream computes each step alike."
            ) from None

    def roll_back(self, operator: Operator, end: Draft, count: int) -> None:
        """Roll recurrences whose last step alone, of ``count`` samples, is read.

        The step before is found among what the last step depends on.

        Raises
        ------
        UnsupportedError
            No draft that it depends on computes the same one step earlier.
        """
        while _has_steps(end, count):
            order = [draft for draft in reachable(end) if draft.rows is not None and not draft.whole]
            latest = max(draft.first_row for draft in order)
            reasons = ["nothing that it depends on computes the same at the step before"]
            try:
                lasts = [draft for draft in order if draft.first_row == latest and not draft.is_read_at]
                is_rolled = any(self._is_rolled_back(last, order, reasons, count) for last in reversed(lasts))
            except _LaterError as error:
                raise operator.refuse(f"{error}; in a stream it has seen all samples.") from None
            if not is_rolled:
                raise operator.refuse(
                    f"it reads the last step of a computation over steps that is no recurrence: {reasons[-1]}."
                )

    def _is_rolled_back(self, last: Draft, order: Sequence[Draft], reasons: list[str], count: int) -> bool:
        earlier = [draft for draft in order if 0 <= draft.first_row < last.first_row and is_alike(last, draft)]
        for before in sorted(earlier, key=lambda draft: -draft.first_row)[:_MOST_TRIES]:
            try:
                _Roll(self, last, before).finish([before, last], count)
            except _LaterError:
                raise
            except _DifferentError as error:
                reasons.append(str(error))
            else:
                return True
        return False

    def of_all(self, draft: Draft) -> Draft | None:
        """Draft of all steps that a draft is an instance of, or reads at one step; None if there is none."""
        if draft.is_read_at:
            (arg,) = draft.reads
            return self.same.get(arg, arg)
        return self.same.get(draft)


def _has_steps(end: Draft, count: int) -> bool:
    """True if a draft depends on operators that computed single ones of ``count`` samples, and not all the same."""
    found = (draft.rows for draft in reachable(end) if draft.rows is not None and not draft.whole)
    return len({int(rows[0]) for rows in found if rows.size < count and rows[0] >= 0}) > 1


def is_alike(a: Draft, b: Draft) -> bool:
    """True if two drafts apply the same function with the same constants, to any vectors."""
    if a.kind != b.kind or a.operation != b.operation or a.size != b.size or len(a.args) != len(b.args):
        return False
    if a.fields.keys() != b.fields.keys() or not all(_is_equal(a.fields[key], b.fields[key]) for key in a.fields):
        return False
    constants = (pair for pair in zip(a.args, b.args, strict=True) if not any(isinstance(x, Draft) for x in pair))
    return all(_is_equal(x, y) for x, y in constants)


def _is_equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


class _Roll:
    """Comparison of the last step with the step before.

    Attributes
    ----------
    before
        For each draft of the last step its counterpart in the step before.
    first
        Values before the first step, of drafts of the last step and of drafts of all steps.
    """

    def __init__(self, rolls: Rolls, last: Draft, before: Draft) -> None:
        self.rolls, self.root = rolls, last
        self.stride = last.first_row - before.first_row
        if self.stride <= 0:
            raise _DifferentError(f"the {last.title} and the {before.title} are of one step")
        self.before: dict[Draft, Draft] = {}
        self.after: dict[Draft, Draft] = {}
        self.first: dict[Draft, AnyArray] = {}
        self.leaves: dict[Draft, Draft] = {}
        self.simplified: set[Draft] = set()
        self._compare(last, before)

    def _compare(self, last: Draft, before: Draft) -> None:
        # The latest first: a vector of the step before is met after the one of the last step that it is the state of.
        waiting: list[tuple[int, int, Draft, Draft]] = [(-last.first_row, 0, last, before)]
        count = 0
        while waiting:
            *_, a, b = heappop(waiting)
            if a in self.before:
                if self.before[a] is not b:
                    raise _DifferentError(f"the {a.title} reads different vectors")
                continue
            if a in self.after or self._is_read(a, b, 1):
                continue
            if a is b or a.rows is None or not is_alike(a, b):
                raise _DifferentError(f"the {a.title} follows the {b.title}")
            self.before[a], self.after[b] = b, a
            for x, y in zip(a.args, b.args, strict=True):
                if isinstance(x, Draft) and isinstance(y, Draft):
                    count += 1
                    heappush(waiting, (-x.first_row, count, x, y))
                elif isinstance(x, Draft) or isinstance(y, Draft):
                    raise _DifferentError(f"the {a.title} reads constants at one of them")

    def _is_read(self, a: Draft, b: Draft, steps: int) -> bool:
        """True if two drafts read one draft of all steps this many steps apart, or are the same constants."""
        if a.kind == b.kind == "start":
            return _is_equal(a.fields["value"], b.fields["value"])
        one = self.rolls.of_all(a)
        return one is not None and self.rolls.of_all(b) is one and a.first_row - b.first_row == steps * self.stride

    def finish(self, steps: Sequence[Draft], samples: int) -> None:
        """Check all earlier steps, and make the last one read states."""
        same = {draft: draft for draft in self.before}
        current, count = dict(self.before), 1
        while any(draft.first_row >= 0 for draft in current.values()):
            same.update({draft: of_all for of_all, draft in current.items()})
            count += 1
            if count > _MOST_STEPS:
                raise _DifferentError(f"there are more than {_MOST_STEPS} of them")
            earlier, first = steps[-1 - count] if count < len(steps) else None, dict(self.first)
            later = current
            try:
                current = self._earlier(current, earlier, count)
            except _DifferentError:
                self.first = first
                found = simplified(Steps(self.root, self.before, self.after, self.rolls.of_all), current, earlier)
                if found is None:
                    raise
                same.update({draft: of_all for of_all, draft in found.drafts.items()})
                self.first.update({of_all: np.zeros(of_all.size) for of_all in found.states})
                self.simplified = found.read
                self._check_strides(later, found.drafts)
                break
            self._check_strides(later, current)
        batch = 0 if self.root.rows is None else self.root.rows.size
        if (self.root.first_row // self.stride + 1) * batch != samples:
            raise _LaterError("the recurrence leaves out samples")
        firsts: dict[Draft, int] = {}
        for draft, of_all in same.items():
            firsts[of_all] = min(firsts.get(of_all, draft.first_row), draft.first_row)
        # A first step that was simplified lacks the vectors that are computed from states alone.
        if (min if self.simplified else max)(firsts.values()) >= self.stride:
            raise _LaterError("the recurrence begins at a later sample than the first")
        if any(step not in same for step in steps):
            raise _DifferentError("some of them are not the step before the next one")
        delayed = self._read_states()
        self._check_first(delayed)
        for draft in self.before:
            draft.whole = True
        self.rolls.same.update(same)
        self.rolls.simplified.update(self.simplified)
        self.rolls.begun.update({leaf: delayed[draft] for leaf, draft in self.leaves.items() if draft in delayed})

    def _check_strides(self, later: Mapping[Draft, Draft], earlier: Mapping[Draft, Draft]) -> None:
        """Check that two steps are as far apart as the last two."""
        for of_all, draft in earlier.items():
            if of_all in later and draft.first_row >= 0 and later[of_all].first_row - draft.first_row != self.stride:
                raise _LaterError("the recurrence leaves out samples")

    def _earlier(self, current: Mapping[Draft, Draft], root: Draft | None, count: int) -> dict[Draft, Draft]:
        """Counterparts one step earlier than the ``current`` ones, which are ``count - 1`` steps before the last."""
        earlier = {} if root is None else {self.root: root}
        for of_all, draft in current.items():
            self._follow(current, earlier, of_all, draft, count)
        waiting = list(earlier)
        while waiting:
            of_all = waiting.pop()
            draft = earlier[of_all]
            if not is_alike(of_all, draft):
                raise _DifferentError(f"the {draft.title} comes before the {of_all.title}")
            if draft.first_row < 0:
                self._begin(of_all, draft, draft)
            for x, y in zip(of_all.args, draft.args, strict=True):
                if isinstance(x, Draft) and x in self.before and x not in self.after:
                    if x not in earlier and isinstance(y, Draft) and y.kind not in ("start", "delay"):
                        waiting.append(x)
                    self._bind(earlier, x, y, draft)
        return earlier

    def _follow(
        self, current: Mapping[Draft, Draft], earlier: dict[Draft, Draft], of_all: Draft, draft: Draft, count: int
    ) -> None:
        """Find what a draft reads of the step before."""
        if not is_alike(of_all, draft):
            raise _DifferentError(f"the {draft.title} follows the {of_all.title}")
        for x, y in zip(of_all.args, draft.args, strict=True):
            if not isinstance(x, Draft):
                continue
            if x in self.after:
                self._bind(earlier, self.after[x], y, draft)
            elif x in self.before:
                if current.get(x) is not y:
                    self._begin(x, y, draft)
            elif not (isinstance(y, Draft) and self._is_read(x, y, count - 1)):
                self._begin(self.rolls.of_all(x) or x, y, draft)

    def _bind(self, earlier: dict[Draft, Draft], of_all: Draft, read: Vector, reader: Draft) -> None:
        if not isinstance(read, Draft) or read.kind in ("start", "delay"):
            self._begin(of_all, read, reader)
        elif earlier.setdefault(of_all, read) is not read:
            raise _DifferentError(f"the {of_all.title} and the {read.title} are read as one")

    def _begin(self, of_all: Draft, read: Vector, reader: Draft) -> None:
        """Record values from before the first step, which only the first step may read."""
        if reader.first_row >= self.stride:
            raise _LaterError(f"the {of_all.title} begins at a later sample than the first")
        try:
            value = np.broadcast_to(value_of(read), (of_all.size,))
        except (KeyError, ValueError):
            raise _DifferentError(f"the {of_all.title} is read at another step") from None
        if not np.array_equal(self.first.setdefault(of_all, value), value):
            raise _DifferentError(f"the {of_all.title} begins with different values")
        if isinstance(read, Draft) and read.kind == "delay":
            self.leaves[read] = of_all

    def _read_states(self) -> dict[Draft, Draft]:
        """Replace what the last step reads of earlier steps by delays; return these."""
        delayed: dict[Draft, Draft] = {}
        for draft in self.before:
            draft.args = tuple(self._arg(delayed, arg) if isinstance(arg, Draft) else arg for arg in draft.args)
        return delayed

    def _arg(self, delayed: dict[Draft, Draft], arg: Draft) -> Draft:
        if arg in self.after:
            return self._delay(delayed, self.after[arg])
        one = self.rolls.of_all(arg)
        if arg in self.before or one is None:
            return arg
        steps, rest = divmod(self.root.first_row - arg.first_row, self.stride)
        if rest or steps not in (0, 1):
            raise _DifferentError(f"the {arg.title} is read {steps} steps later")
        return self._delay(delayed, one) if steps else one

    def _delay(self, delayed: dict[Draft, Draft], of_all: Draft) -> Draft:
        value = np.asarray(self.first.get(of_all, np.zeros(of_all.size)), np.float32)
        known = self.rolls.delays.get(of_all)
        if known is None:
            fields = {"value": value}
            known = Draft("delay", of_all.title, of_all.name, of_all.size, (of_all,), fields)
            self.rolls.delays[of_all] = known
        elif not np.array_equal(known.fields["value"], value):
            raise _DifferentError(f"the {of_all.title} begins with different values")
        delayed[of_all] = known
        return known

    def _check_first(self, delayed: Mapping[Draft, Draft]) -> None:
        """Check values from before the first step that an exporter computed from the states."""
        given = {delay: delay.fields["value"] for delay in self.rolls.delays.values()}
        for of_all, value in self.first.items():
            if of_all in delayed:
                continue
            try:
                (found,) = computed([of_all], given)
            except KeyError:
                raise _DifferentError(f"the {of_all.title} is constant at the first one") from None
            if not np.allclose(found, value, rtol=_ROUNDED, atol=_ROUNDED):
                raise _DifferentError(f"the {of_all.title} begins with values that no state has")
