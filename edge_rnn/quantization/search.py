"""Shrink: search for the cheapest format of each matrix that keeps the user's bound, measured on this machine.

First, each matrix is converted to each format alone, which gives its effect on the output. Errors of different matrices
are nearly independent, so their squares add up: a price on error then picks a format for each matrix, and a range of
prices gives a front of candidates. The candidates are measured, and the best one is refined matrix by matrix for as
long as the bound holds. The result holds no predictions: each trial was run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.formats import FORMATS as KNOWN
from edge_rnn.layers import Weight
from edge_rnn.model import Model
from edge_rnn.quantization.apply import Calibration, calibrate, matrices, quantize
from edge_rnn.quantization.bound import Bound, Judge, make_judge
from edge_rnn.quantization.trials import Shrunk, Trial, stored_bytes
from edge_rnn.streams.planner import plan_of
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32

__all__ = ["FORMATS", "shrink"]

Formats = dict[str, str]

FORMATS = tuple(spelling for each in KNOWN.values() for spelling in each.tried)
"""Formats that are tried; a rank is given in percent of the largest rank that saves memory."""

_PRICES = np.logspace(-8, 8, 33)
"""Prices of a relative squared error of 1, in sizes of the float32 model; at the lowest price error hardly matters."""

_REFINED = 24
"""Most trials that refine the best candidate, matrix by matrix."""


def shrink(
    model: Model,
    recording: ArrayLike,
    *,
    max_error: float | None = None,
    min_accuracy: float | None = None,
    max_bytes: int | None = None,
    labels: ArrayLike | None = None,
    metric: Callable[[F32], float] | None = None,
    formats: Sequence[str] = FORMATS,
    prefer: Literal["size", "speed"] = "size",
    progress: Callable[[str, int, int], None] | None = None,
) -> Shrunk:
    """Find the cheapest format for each matrix that keeps a bound.

    Parameters
    ----------
    recording
        ``(time, input_size)`` in the sensor's units, one sequence of typical input. It serves for calibration and for
        measuring error and accuracy.
    max_error, min_accuracy, max_bytes
        The bound, one or more of these; see :class:`Trial`. With ``max_bytes`` alone the result has the least error
        within it, otherwise the fewest bytes.
    labels
        ``(time,)`` int: index of the right output for each sample, for ``min_accuracy``.
    metric
        ``metric(ys) -> number``, larger is better, for the outputs ``(time, output_size)`` on the recording;
        ``min_accuracy`` then bounds this number.
    formats
        Formats to try in addition to float32; see :data:`FORMATS` and :func:`~edge_rnn.quantize`.
    prefer
        ``"speed"``: take the fastest trial within the bound, by step time measured here, instead of the smallest.
    progress
        Called as ``progress(what, done, of)`` after each trial.

    Returns
    -------
    Shrunk
        Result of the search. An interrupt (Ctrl-C) ends it early, with the best result so far.

    Raises
    ------
    InputError
        The bound is missing or invalid; recording, labels or formats do not fit; the model is already quantized; or no
        choice of formats keeps the bound: the message states the closest results.
    """
    if not isinstance(model, Model):
        raise InputTypeError(f"shrink got {type(model).__name__}, expected a Model: edge_rnn.load(path) reads one.")
    if any(layer.formats for layer in model.layers):
        raise InputError("shrink got a model with quantized matrices, expected the float32 model it was made from.")
    calibration = calibrate(model, recording)
    bound = Bound(max_error, min_accuracy, max_bytes)
    judge = make_judge(model, calibration, labels, metric)
    bound.check(judge.accuracy_of is not None)
    search = _Search(model, calibration, judge, bound, _allowed(model, formats), prefer, progress or (lambda *_: None))
    return search.run()


def _allowed(model: Model, formats: Sequence[str]) -> dict[str, list[str]]:
    """Formats that each matrix can have, by matrix; ranks in percent are resolved."""
    if isinstance(formats, str) or not isinstance(formats, Sequence) or not formats:
        raise (InputTypeError if formats else InputError)(
            f"shrink got formats {formats!r}, expected a sequence such as {FORMATS[:3]}."
        )
    allowed: dict[str, list[str]] = {}
    for name, matrix in matrices(model).items():
        own = [each for format_ in formats if (each := _for_shape(str(format_), matrix))]
        allowed[name] = [each for each in dict.fromkeys(own) if each != "float32" and _takes(model, name, each)]
    return allowed


def _for_shape(format_: str, matrix: Weight) -> str:
    """Resolve a spelling for a matrix, ``"rank:25%"`` to a rank; empty if the matrix has no such format."""
    kind = KNOWN.get(format_.partition(":")[0])
    return kind.for_shape(format_, matrix.shape) if kind else format_


def _takes(model: Model, name: str, format_: str) -> bool:
    """Return True if a matrix can have a format and is smaller in it; raise InputError for an invalid spelling."""
    try:
        made = quantize(model, {name: format_})
    except InputError as error:
        if "got the format" in str(error):
            raise
        return False
    return stored_bytes(made) < stored_bytes(model)


@dataclass(slots=True, eq=False)
class _Search:
    """State of a search: the trials so far."""

    model: Model
    calibration: Calibration
    judge: Judge
    bound: Bound
    allowed: dict[str, list[str]]
    prefer: Literal["size", "speed"]
    progress: Callable[[str, int, int], None]
    made: dict[tuple[str, ...], tuple[Model, Trial]] = field(default_factory=dict)
    times: dict[tuple[str, ...], tuple[float, float]] = field(default_factory=dict)
    sensitivity: dict[str, dict[str, Trial]] = field(default_factory=dict)

    def run(self) -> Shrunk:
        plain = dict.fromkeys(self.allowed, "float32")
        self.try_(plain)
        stopped = False
        try:
            self.alone(plain)
            self.together()
            self.smaller()
            self.timed()
        except KeyboardInterrupt:
            stopped = True
        self.tell_times()
        model, best = self.best(stopped)
        trials = tuple(trial for _, trial in self.made.values())
        return Shrunk(model, best, trials, self.sensitivity, stopped)

    def try_(self, formats: Formats) -> Trial:
        """Measure a choice of formats; a repeated call returns the first result."""
        key = tuple(formats.values())
        if key not in self.made:
            wanted = {name: format_ for name, format_ in formats.items() if format_ != "float32"}
            model = quantize(self.model, wanted, calibration=self.calibration) if wanted else self.model
            trial = Trial(
                dict(formats),
                stored_bytes(model),
                plan_of(model).weight_bytes,
                self.judge.error(model),
                self.judge.accuracy(model),
            )
            self.made[key] = (model, trial)
        return self.made[key][1]

    def alone(self, plain: Formats) -> None:
        """Try each matrix in each format, with all others float32."""
        pairs = [(name, format_) for name, own in self.allowed.items() for format_ in own]
        for done, (name, format_) in enumerate(pairs, start=1):
            trial = self.try_({**plain, name: format_})
            self.sensitivity.setdefault(name, {})[format_] = trial
            self.progress(f"{name} as {format_}", done, len(pairs))

    def together(self) -> None:
        """Try the front predicted from the errors of single matrices, and each format for all matrices that take it."""
        choices = list(self.candidates())
        for done, choice in enumerate(choices, start=1):
            self.try_(choice)
            self.progress("formats together", done, len(choices))

    def candidates(self) -> Iterator[Formats]:
        whole = stored_bytes(self.model)
        seen = set()
        uniform = dict.fromkeys(format_ for own in self.allowed.values() for format_ in own)
        choices = [
            {name: format_ if format_ in own else "float32" for name, own in self.allowed.items()}
            for format_ in uniform
        ]
        for price in _PRICES * whole:

            def cost(name: str, format_: str, price: float = price) -> float:
                if format_ == "float32":
                    return float(whole)
                trial = self.sensitivity[name][format_]
                return trial.nbytes + price * trial.error**2

            choices.append(
                {name: min(["float32", *own], key=lambda each: cost(name, each)) for name, own in self.allowed.items()}
            )
        for choice in choices:
            key = tuple(choice.values())
            if key not in seen:
                seen.add(key)
                yield choice

    def smaller(self) -> None:
        """Refine the best trial so far: matrix by matrix to a smaller format, for as long as the bound holds."""
        if self.bound.max_error is None and self.bound.min_accuracy is None:
            return
        tried = 0
        while tried < _REFINED:
            _, best = self.best(stopped=True)
            moves = [
                {**best.formats, name: format_}
                for name, own in self.allowed.items()
                for format_ in own
                if self.nbytes_alone(name, format_) < self.nbytes_alone(name, best.formats[name])
            ]
            fresh = [move for move in moves if tuple(move.values()) not in self.made]
            fresh.sort(key=self.foretold)
            if not fresh:
                return
            improved = False
            for move in fresh[: _REFINED - tried]:
                tried += 1
                trial = self.try_(move)
                self.progress("smaller", min(tried, _REFINED), _REFINED)
                if self.bound.kept_by(trial) and trial.nbytes < best.nbytes:
                    improved = True
                    break
            if not improved:
                return

    def nbytes_alone(self, name: str, format_: str) -> int:
        whole = stored_bytes(self.model)
        return whole if format_ == "float32" else self.sensitivity[name][format_].nbytes

    def foretold(self, formats: Formats) -> float:
        """Squared error of a choice, predicted from the errors of its matrices alone."""
        return sum(self.sensitivity[name][each].error ** 2 for name, each in formats.items() if each != "float32")

    def timed(self) -> None:
        """Time a step of each trial on the front of size and error, in turn with the float32 model."""
        from edge_rnn.recordings.stretches import evenly
        from edge_rnn.timing import runs, time_chunks

        trials = [trial for _, trial in self.made.values()]
        flat = [t for t in trials if not any(o.nbytes <= t.nbytes and o.error < t.error for o in trials) or _uniform(t)]
        baseline = Stream(self.model)
        xs = evenly(self.judge.repeated, 1000)
        for done, trial in enumerate(flat, start=1):
            key = tuple(trial.formats.values())
            model, _ = self.made[key]
            makes = {"float32": runs(baseline, xs)}
            makes |= {} if model is self.model else {"this": runs(Stream(model), xs)}
            found = time_chunks(makes, seconds=0.1, enough=9)
            self.times[key] = (found.get("this", found["float32"]).ns, found["float32"].ns)
            self.progress("timing", done, len(flat))

    def tell_times(self) -> None:
        """Store step times in the trials: float32's least time, divided by the speed-up that the trial's turn showed.

        The machine's speed varies, so times measured one after the other cannot be compared. The speed-up over float32
        within one turn can.
        """
        least = round(min((float32 for _, float32 in self.times.values()), default=0.0), 2)
        for key, (ns, float32) in self.times.items():
            model, trial = self.made[key]
            step_ns = round(ns / float32 * least, 2) if float32 > 0 else least
            self.made[key] = (model, replace(trial, step_ns=step_ns, baseline_ns=least))

    def best(self, stopped: bool) -> tuple[Model, Trial]:
        """Cheapest trial that keeps the bound."""
        kept = [pair for pair in self.made.values() if self.bound.kept_by(pair[1])]
        if not kept:
            if stopped:
                return next(iter(self.made.values()))
            raise InputError(self.nearest())
        if self.bound.max_error is None and self.bound.min_accuracy is None:
            return min(kept, key=lambda pair: (pair[1].error, pair[1].nbytes))
        if self.prefer == "speed" and not stopped:
            quick = [pair for pair in kept if pair[1].speedup]
            return max(quick, key=lambda pair: pair[1].speedup or 0.0)
        return min(kept, key=lambda pair: (pair[1].nbytes, pair[1].error))

    def nearest(self) -> str:
        """Message for a search in which no trial keeps the bound."""
        trials = [trial for _, trial in self.made.values()]
        plain, least = trials[0], min(trials, key=lambda trial: trial.nbytes)
        said = [
            f"float32 takes {plain.nbytes} bytes",
            f"the smallest found {least.nbytes} at an error of {least.error:.2g}",
        ]
        if plain.accuracy is not None:
            best = max(trial.accuracy for trial in trials if trial.accuracy is not None)
            said.append(f"float32 reaches an accuracy of {plain.accuracy:.4g}, the best found {best:.4g}")
        return f"shrink found no formats that keep the bound: {'; '.join(said)}. Loosen it."


def _uniform(trial: Trial) -> bool:
    return len({*trial.formats.values()} - {"float32"}) <= 1
