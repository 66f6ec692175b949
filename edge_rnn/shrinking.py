"""Shrink: the cheapest format for each matrix that keeps what the user asks for, measured on this machine.

First every matrix is put into every format alone, which tells what that does to the output. Errors of different
matrices being nearly independent, their squares add up: so a price on error picks a format for each matrix, and a range
of prices gives a front of candidates. These are measured, and the best one is then made smaller matrix by matrix for as
long as the bound holds. Nothing is predicted in what is returned: each trial was run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.errors import InputError
from edge_rnn.layers import Weight
from edge_rnn.model import Model
from edge_rnn.plan import plan_of
from edge_rnn.quantization import JUDGED_STEPS, Calibration, calibrate, matrices, quantize
from edge_rnn.stream import Stream

__all__ = ["FORMATS", "Shrunk", "Trial", "shrink", "stored_bytes"]

Array = NDArray[np.float32]
Formats = dict[str, str]

FORMATS = ("float16", "int8", "w8a8", "int4", "sparse:0.5", "sparse:0.75", "rank:25%", "rank:50%")
"""Formats that are tried; a rank in per cent of the largest that saves anything."""

_PRICES = np.logspace(-8, 8, 33)
"""Bytes that a relative squared error of 1 is worth, over those of the float32 model: from error hardly matters on."""

_ALIKE = 1.03
"""Times that are no further apart than this are the same: they were measured."""

_REFINED = 24
"""Trials at most that make the best candidate smaller, matrix by matrix."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One choice of formats, measured.

    Parameters
    ----------
    formats
        By ``"layer.field"``.
    nbytes
        Of all arrays as a file stores them.
    memory_bytes
        Of the weights as a stream has them.
    error
        Root mean square of how far the output is from the float32 model's, over that of the model's own; over 10,000
        steps or more, state carried.
    accuracy
        Share of samples whose largest output is their label, or what ``metric`` says; None without either.
    step_ns
        Least time of a step in a compiled loop, and ``baseline_ns`` that of the float32 model in the same run; None
        where it was not timed.
    """

    formats: Mapping[str, str]
    nbytes: int
    memory_bytes: int
    error: float
    accuracy: float | None
    step_ns: float | None = None
    baseline_ns: float | None = None

    @property
    def speedup(self) -> float | None:
        """How many times as quick as the float32 model a step is."""
        return self.baseline_ns / self.step_ns if self.step_ns and self.baseline_ns else None


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """What :func:`shrink` found.

    Parameters
    ----------
    model
        The best model.
    best
        Its trial.
    trials
        All that was tried, the float32 model first.
    sensitivity
        ``{matrix: {format: trial}}``: each matrix in each format, all others float32.
    stopped
        Whether the search was stopped before its end.
    """

    model: Model
    best: Trial
    trials: tuple[Trial, ...]
    sensitivity: Mapping[str, Mapping[str, Trial]]
    stopped: bool = False

    @property
    def front(self) -> tuple[Trial, ...]:
        """Trials that no other one betters in size, error and time at once, the smallest first."""
        timed = [trial for trial in self.trials if trial.step_ns is not None]
        kept = [trial for trial in timed if not any(_betters(other, trial) for other in timed)]
        return tuple(sorted(kept, key=lambda trial: (trial.nbytes, trial.error)))


def shrink(
    model: Model,
    recording: ArrayLike,
    *,
    max_error: float | None = None,
    min_accuracy: float | None = None,
    max_bytes: int | None = None,
    labels: ArrayLike | None = None,
    metric: Callable[[Array], float] | None = None,
    formats: Sequence[str] = FORMATS,
    prefer: Literal["size", "speed"] = "size",
    progress: Callable[[str, int, int], None] | None = None,
) -> Shrunk:
    """Find the cheapest format for each matrix that keeps a bound.

    Parameters
    ----------
    recording
        ``(time, input_size)`` in the sensor's units, one sequence: what the model is for. It calibrates, and errors and
        accuracy are measured on it.
    max_error, min_accuracy, max_bytes
        The bound, one or more of them: see :class:`Trial`. With ``max_bytes`` alone the least error within it is
        found, otherwise the fewest bytes.
    labels
        ``(time,)`` int: which output each sample belongs to, for ``min_accuracy``.
    metric
        ``metric(ys) -> number``, larger being better, of the outputs ``(time, output_size)`` on the recording: another
        meaning for ``min_accuracy``.
    formats
        What may be used, beside float32; see :data:`FORMATS` and :func:`~edge_rnn.quantize`.
    prefer
        ``"speed"``: of what keeps the bound the quickest, by the time measured here, instead of the smallest.
    progress
        Called as ``progress(what, done, of)`` after each trial.

    Returns
    -------
    Shrunk
        An interrupt (Ctrl-C) ends the search early: the best so far is returned.

    Raises
    ------
    InputError
        No bound or a senseless one, a recording, labels or formats that do not fit, a model that is quantized already;
        or no choice of formats keeps the bound: the message tells the nearest.
    """
    if not isinstance(model, Model):
        raise InputError(f"shrink got {type(model).__name__}, expected a Model: edge_rnn.load(path) reads one.")
    if any(layer.formats for layer in model.layers):
        raise InputError("shrink got a model with quantized matrices, expected the float32 model it was made from.")
    calibration = calibrate(model, recording)
    bound = _Bound(max_error, min_accuracy, max_bytes)
    judge = _judge(model, calibration, labels, metric)
    bound.check(judge.accuracy_of is not None)
    search = _Search(model, calibration, judge, bound, _allowed(model, formats), prefer, progress or (lambda *_: None))
    return search.run()


@dataclass(frozen=True, slots=True)
class _Bound:
    """What a trial has to keep."""

    max_error: float | None
    min_accuracy: float | None
    max_bytes: int | None

    def check(self, has_accuracy: bool) -> None:
        given = {"max_error": self.max_error, "min_accuracy": self.min_accuracy, "max_bytes": self.max_bytes}
        if all(value is None for value in given.values()):
            raise InputError("shrink got no bound, expected max_error, min_accuracy or max_bytes.")
        for name, value in given.items():
            if value is not None and not (isinstance(value, (int, float, np.number)) and 0 <= value < float("inf")):
                raise InputError(f"shrink got {name} = {value!r}, expected a number, zero or more.")
        if self.min_accuracy is not None and not has_accuracy:
            raise InputError("shrink got min_accuracy without labels or a metric, which it is measured by.")

    def kept_by(self, trial: Trial) -> bool:
        return (
            (self.max_error is None or trial.error <= self.max_error)
            and (self.min_accuracy is None or (trial.accuracy is not None and trial.accuracy >= self.min_accuracy))
            and (self.max_bytes is None or trial.nbytes <= self.max_bytes)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """How far a model is from the float32 one, and how right it is."""

    xs: Array
    repeated: Array
    ys: NDArray[np.float64]
    accuracy_of: Callable[[Array], float] | None

    def error(self, model: Model) -> float:
        off = Stream(model).run(self.repeated).astype(np.float64) - self.ys
        own = float(np.square(self.ys).sum())
        return float(np.sqrt(np.square(off).sum() / own)) if own > 0 else float(np.sqrt(np.square(off).mean()))

    def accuracy(self, model: Model) -> float | None:
        return None if self.accuracy_of is None else float(self.accuracy_of(Stream(model).run(self.xs)))


def _judge(
    model: Model, calibration: Calibration, labels: ArrayLike | None, metric: Callable[[Array], float] | None
) -> _Judge:
    xs = calibration.xs
    repeated = np.ascontiguousarray(np.resize(xs, (max(JUDGED_STEPS, len(xs)), xs.shape[1])))
    if labels is not None and metric is not None:
        raise InputError("shrink got labels and a metric, expected one of them.")
    accuracy_of = metric
    if labels is not None:
        truth = np.asarray(labels)
        if truth.shape != (len(xs),) or truth.dtype.kind not in "iu":
            raise InputError(f"shrink got labels {truth.dtype} {truth.shape}, expected ({len(xs)},) int, one a sample.")
        if len(truth) and not (truth.min() >= 0 and truth.max() < model.output_size):
            raise InputError(
                f"shrink got labels from {truth.min()} to {truth.max()}, expected 0 to {model.output_size - 1}, the "
                f"places of the model's outputs."
            )

        def share(ys: Array) -> float:
            return float(np.mean(ys.argmax(axis=1) == truth))

        accuracy_of = share
    return _Judge(xs, repeated, Stream(model).run(repeated).astype(np.float64), accuracy_of)


def _allowed(model: Model, formats: Sequence[str]) -> dict[str, list[str]]:
    """Formats by matrix: those that it takes, ranks as numbers."""
    if isinstance(formats, str) or not isinstance(formats, Sequence) or not formats:
        raise InputError(f"shrink got formats {formats!r}, expected a sequence such as {FORMATS[:3]}.")
    allowed: dict[str, list[str]] = {}
    for name, matrix in matrices(model).items():
        own = [each for format_ in formats if (each := _with_rank(str(format_), matrix))]
        allowed[name] = [each for each in dict.fromkeys(own) if each != "float32" and _takes(model, name, each)]
    return allowed


def _with_rank(format_: str, matrix: Weight) -> str:
    """``"rank:25%"`` as a rank; empty where that is none."""
    if not (format_.startswith("rank:") and format_.endswith("%")):
        return format_
    rows, columns = matrix.shape
    try:
        share = float(format_[5:-1]) / 100
    except ValueError:
        return format_
    rank = int(share * (rows * columns - 1) / (rows + columns))
    return f"rank:{rank}" if rank > 0 else ""


def _takes(model: Model, name: str, format_: str) -> bool:
    """Whether a matrix can have a format; a spelling that is none at all is an InputError."""
    try:
        made = quantize(model, {name: format_})
    except InputError as error:
        if "got the format" in str(error):
            raise
        return False
    return stored_bytes(made) < stored_bytes(model)


def stored_bytes(model: Model) -> int:
    """Bytes of all of a model's arrays, as a file stores them."""
    arrays = sum(array.nbytes for layer in model.layers for array in layer.arrays.values())
    return arrays + sum(matrix.nbytes for layer in model.layers for matrix in layer.formats.values())


def _betters(one: Trial, other: Trial) -> bool:
    """Whether a timed trial is as good as another one in everything, and better in something."""
    quicker = (one.speedup or 1.0) / (other.speedup or 1.0)
    if one.nbytes > other.nbytes or one.error > other.error or quicker < 1 / _ALIKE:
        return False
    return one.nbytes < other.nbytes or one.error < other.error or quicker > _ALIKE


@dataclass(slots=True, eq=False)
class _Search:
    """The state of a search: what has been tried."""

    model: Model
    calibration: Calibration
    judge: _Judge
    bound: _Bound
    allowed: dict[str, list[str]]
    prefer: Literal["size", "speed"]
    progress: Callable[[str, int, int], None]
    made: dict[tuple[str, ...], tuple[Model, Trial]] = field(default_factory=dict)
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
        model, best = self.best(stopped)
        trials = tuple(trial for _, trial in self.made.values())
        return Shrunk(model, best, trials, self.sensitivity, stopped)

    def try_(self, formats: Formats) -> Trial:
        """Measure a choice of formats, once."""
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
        """Each matrix in each format, all others float32."""
        pairs = [(name, format_) for name, own in self.allowed.items() for format_ in own]
        for done, (name, format_) in enumerate(pairs, start=1):
            trial = self.try_({**plain, name: format_})
            self.sensitivity.setdefault(name, {})[format_] = trial
            self.progress(f"{name} as {format_}", done, len(pairs))

    def together(self) -> None:
        """The front that the errors of single matrices foretell, and each format for all that take it."""
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
        """The best so far, matrix by matrix in a smaller format for as long as the bound holds."""
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
        """Squared error of a choice, as the errors of its matrices alone foretell it."""
        return sum(self.sensitivity[name][each].error ** 2 for name, each in formats.items() if each != "float32")

    def timed(self) -> None:
        """The time of a step, of all whose bytes or errors are among the best, in one run with the float32 model."""
        from edge_rnn.timing import runs, time_chunks

        trials = [trial for _, trial in self.made.values()]
        flat = [t for t in trials if not any(o.nbytes <= t.nbytes and o.error < t.error for o in trials) or _uniform(t)]
        baseline = Stream(self.model)
        xs = self.judge.repeated[:1000]
        for done, trial in enumerate(flat, start=1):
            key = tuple(trial.formats.values())
            model, _ = self.made[key]
            makes = {"float32": runs(baseline, xs)}
            makes |= {} if model is self.model else {"this": runs(Stream(model), xs)}
            found = time_chunks(makes, seconds=0.1, enough=9)
            mine = Trial(
                trial.formats,
                trial.nbytes,
                trial.memory_bytes,
                trial.error,
                trial.accuracy,
                round(found.get("this", found["float32"]).ns, 2),
                round(found["float32"].ns, 2),
            )
            self.made[key] = (model, mine)
            self.progress("timing", done, len(flat))

    def best(self, stopped: bool) -> tuple[Model, Trial]:
        """What keeps the bound and is the cheapest."""
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
        """What to say where nothing keeps the bound."""
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
