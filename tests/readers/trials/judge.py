"""Judge random trials: networks read right, refused, or read wrong, with the causes of refusals."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, ReadingWarning
from edge_rnn.model import Model

__all__ = ["Outcome", "Run", "Table", "Trial", "UntriedError", "judge", "nudged", "same"]

TOLERANCE = 1e-5
"""Largest error relative to the peak of an output: float32 weights that a reader folds, amplified over a network."""
CALM = TOLERANCE / 10
"""Largest movement, relative to the peak, of an output that says something: by samples nudged by one rounding."""
NUDGES = 4
"""Number of times that samples are nudged: one alone may leave a chaotic network in place for some steps more."""
LEAST = 3
"""Least number of steps to compare, where a run has more: the first does not depend on recurrent weights."""


class Run(NamedTuple):
    """Samples of a stream, and a network's own outputs."""

    xs: np.ndarray
    """``(time, I)`` float32."""
    rows: Sequence[int] | slice
    """Steps whose outputs are known."""
    heads: list[np.ndarray]
    """``(steps, O)`` float64 for each head."""
    again: Callable[[np.ndarray], list[np.ndarray]] | None = None
    """Returns the network's own heads on other samples; None for symbols, and for outputs that are only recorded."""


@dataclass(frozen=True)
class Trial:
    """Network, and its own outputs.

    Parameters
    ----------
    text
        Program that makes the network, for people.
    obstacle
        Operation over time that a stream cannot do; empty if a stream can do all of it.
    read
        Reads the network; takes ``upto``, the name of one of several outputs.
    runs
        Returns what the network itself computes.
    logs
        For each head, True if it ends in log_softmax: a reader may take it as softmax, with a warning.
    tolerance
        Largest error relative to the peak of an output.
    """

    text: str
    obstacle: str
    read: Callable[..., Model]
    runs: Callable[[], list[Run]]
    logs: Sequence[bool] = ()
    tolerance: float = TOLERANCE


class UntriedError(Exception):
    """A network says nothing: it was not written in the form that is tried, or it is chaotic from the beginning."""


class Outcome(NamedTuple):
    """Outcome of a trial."""

    what: str
    """``"read"``, ``"partial"`` (the first of several heads alone), ``"refused"``, ``"WRONG"`` or ``"crash"``."""
    detail: str
    trial: Trial


def judge(trial: Trial) -> Outcome:
    """Read a network, and compare the model with the network."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            models = _read(trial)
        except EdgeRnnError as error:
            return Outcome("refused", str(error), trial)
        except Exception as error:
            own = [each for each in traceback.extract_tb(error.__traceback__) if "edge_rnn" in each.filename]
            place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
            return Outcome("crash", f"{type(error).__name__}{place}: {error}", trial)
    said = any(issubclass(each.category, ReadingWarning) and "log_softmax" in str(each.message) for each in caught)
    if len(models) > 1:
        return _judged_by_head(trial, models)
    (model,) = models
    logs = trial.logs if said and any(trial.logs) else ()
    whole, first = _Comparison(trial), _Comparison(trial)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in trial.runs():
            ys = reference.run(model, run.xs)[0][run.rows]
            whole.add(run, ys, model, lambda heads: np.concatenate(_exponentials(heads, logs), -1))
            first.add(run, ys, model, lambda heads: _exponentials(heads, logs)[0])
    if not whole.detail:
        return whole.outcome(repr(model))
    return Outcome("partial" if not first.detail and len(run.heads) > 1 else "WRONG", whole.detail, trial)


def _exponentials(heads: list[np.ndarray], logs: Sequence[bool]) -> list[np.ndarray]:
    """Heads with the exponentials of those that are logarithms."""
    return [np.exp(head) if log else head for head, log in zip(heads, logs, strict=True)] if logs else heads


def _read(trial: Trial) -> list[Model]:
    """Read a network; where it has several outputs, follow the remedies that the refusal names: joined, or each."""
    try:
        return [trial.read()]
    except EdgeRnnError as refusal:
        told = re.search(r"found the outputs (('[^']*'(, )?)+), expected one", str(refusal))
        if told is None or len(trial.logs) < 2:
            raise
        names = re.findall("'([^']*)'", told[1])
    try:
        return [trial.read(upto=names)]
    except EdgeRnnError:
        return [trial.read(upto=name) for name in names]


def _judged_by_head(trial: Trial, models: Sequence[Model]) -> Outcome:
    """Compare models, one for each output, with the heads in their order."""
    compared = _Comparison(trial)
    for run in trial.runs():
        if len(models) != len(run.heads):
            return Outcome("refused", f"{len(models)} outputs are named, and the network has {len(run.heads)}", trial)
        for place, model in enumerate(models):
            compared.add(run, reference.run(model, run.xs)[0][run.rows], model, itemgetter(place))
    return compared.outcome(repr(models))


@dataclass
class _Comparison:
    """Comparison of models with a network over several runs."""

    trial: Trial
    detail: str = ""
    """First error above the tolerance; empty if there is none."""
    chaotic: bool = False
    """True if a run has too few steps to compare."""

    def add(self, run: Run, ys: np.ndarray, model: Model, chosen: Callable[[list[np.ndarray]], np.ndarray]) -> None:
        """Compare the outputs of a model with those that ``chosen`` takes from the heads of a network."""
        wanted = chosen(run.heads)
        steps = _within_float32(wanted)
        error = _error(ys, wanted, steps)
        if not error <= self.trial.tolerance and ys.shape == wanted.shape and run.again is not None:
            moved = np.stack([chosen(run.again(nudged(run.xs, seed))) for seed in range(NUDGES)])
            calm = _calm(wanted, moved, steps)
            self.chaotic |= calm < min(LEAST, steps)
            error = _error(ys, wanted, calm)
        if not error <= self.trial.tolerance:
            scale = np.abs(run.xs).max()
            self.detail = self.detail or f"error {error:.1e} of the peak at samples of up to {scale:.1e}: {model!r}"

    def outcome(self, read: str) -> Outcome:
        """Return the outcome; what was read is the detail of a network that was read right."""
        if self.detail:
            return Outcome("WRONG", self.detail, self.trial)
        if self.chaotic:
            raise UntriedError("chaotic: a rounding of its samples moves the outputs of the network from the beginning")
        return Outcome("read", read, self.trial)


def _within_float32(wanted: np.ndarray) -> int:
    """Number of steps until the outputs are beyond float32."""
    inside = np.abs(wanted).max(-1) < np.finfo(np.float32).max  # False for NaN, too
    return len(inside) if inside.all() else int(inside.argmin())


def _error(ys: np.ndarray, wanted: np.ndarray, steps: int) -> float:
    """Largest error of the first steps relative to the peak; infinite if the shapes differ."""
    if ys.shape != wanted.shape:
        return np.inf
    return float(np.abs(ys[:steps] - wanted[:steps]).max(initial=0) / _peak(wanted[:steps]))


def _peak(outputs: np.ndarray) -> float:
    return float(max(np.abs(outputs).max(initial=0), 1e-2))


def _calm(wanted: np.ndarray, moved: np.ndarray, steps: int) -> int:
    """Number of the first steps whose outputs hardly move with the samples, relative to the peak of these steps."""
    movement = np.abs(moved - wanted).max((0, -1))
    while not (calm := movement[:steps] <= CALM * _peak(wanted[:steps])).all():  # False for NaN, too
        steps = int(calm.argmin())
    return steps


def nudged(xs: np.ndarray, seed: int) -> np.ndarray:
    """Return samples moved by one rounding of float32, up or down at random."""
    towards = np.random.default_rng(seed).choice([-np.inf, np.inf], xs.shape)
    return np.nextafter(xs, towards.astype(np.float32))


def same(message: str) -> str:
    """Text that refusals of the same cause share: without names, numbers and what follows the first sentence."""
    message = re.sub(r"^(from_\w+|\S*/\S*): ", "", message)
    message = re.sub(r"'[^']*'", "'…'", message)
    message = re.sub(r"<Model .*?\)>", "<Model>", message)
    message = re.sub(r"\d+(\.\d+)?(e[-+]?\d+)?", "N", message)
    message = re.sub(r"\([N, ]*\)", "(N)", message)
    return re.split(r"(?<=[a-z)'…])[.;:] ", message)[0][:160]


@dataclass
class Table:
    """Counts of outcomes, and one trial of each cause.

    Attributes
    ----------
    possible
        Outcomes of networks that a stream can compute; ``others``: of those that it cannot.
    """

    possible: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    causes: dict[str, list[int]] = field(default_factory=dict)
    """Numbers of the trials of each cause of a refusal, of networks that a stream can compute."""
    faults: dict[int, str] = field(default_factory=dict)
    """Networks read wrong, and crashes, by number."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    untried: dict[str, int] = field(default_factory=dict)
    """Counts of networks that say nothing, by cause."""

    def add(self, number: int, outcome: Outcome) -> None:
        """Count a trial."""
        counts = self.others if outcome.trial.obstacle else self.possible
        counts[outcome.what] = counts.get(outcome.what, 0) + 1
        self.outcomes[number] = outcome
        if outcome.what == "refused" and not outcome.trial.obstacle:
            self.causes.setdefault(same(outcome.detail), []).append(number)
        elif outcome.what == "partial" and not outcome.trial.obstacle:
            self.causes.setdefault("read, but only the first of several heads", []).append(number)
        elif outcome.what in ("WRONG", "crash"):
            self.faults[number] = f"{outcome.what} {outcome.detail}"

    @property
    def share(self) -> float:
        """Share read, of those that a stream can compute."""
        return self.possible.get("read", 0) / max(sum(self.possible.values()), 1)

    def lines(self, most: int) -> list[str]:
        """Lines of a report, with programs of this many causes at most."""
        ranked = sorted(self.causes.items(), key=lambda item: -len(item[1]))
        found = [
            f"of {sum(self.possible.values())} that a stream can compute: {_spelled(self.possible)} ({self.share:.1%})",
            f"of {sum(self.others.values())} that it cannot: {_spelled(self.others)}",
            *([f"not tried: {_spelled(self.untried)}"] if self.untried else []),
            "",
            *(f"{len(numbers):5d}  {cause}" for cause, numbers in ranked),
        ]
        for cause, numbers in ranked[:most]:
            outcome = self.outcomes[numbers[0]]
            found += [
                "",
                f"--- {cause}: {len(numbers)}, of these {numbers[:8]}",
                outcome.detail,
                "",
                outcome.trial.text,
            ]
        for number, fault in self.faults.items():
            found += ["", f"--- {fault}: {number}", "", self.outcomes[number].trial.text]
        return found


def _spelled(counts: dict[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(counts.items(), key=lambda item: -item[1])) or "none"
