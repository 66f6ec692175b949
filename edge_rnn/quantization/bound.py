"""Criteria for a choice of formats: the user's bound, and the error against the float32 model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.checks import real
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.quantization.calibration import Calibration, relative_rms, repeated
from edge_rnn.quantization.trials import Trial
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32, F64

__all__ = ["Bound", "Judge", "make_judge"]


@dataclass(frozen=True, slots=True)
class Bound:
    """Bound that a trial has to keep; None for a quantity without a bound.

    Parameters
    ----------
    max_error, min_accuracy, max_bytes
        See :class:`edge_rnn.quantization.trials.Trial`.
    """

    max_error: float | None
    min_accuracy: float | None
    max_bytes: int | None

    def check(self, has_accuracy: bool) -> None:
        """Raise InputError if there is no bound at all, or one on an accuracy that cannot be measured."""
        given = {"max_error": self.max_error, "min_accuracy": self.min_accuracy, "max_bytes": self.max_bytes}
        if all(value is None for value in given.values()):
            raise InputError("shrink got no bound, expected max_error, min_accuracy or max_bytes.")
        for name, value in given.items():
            if value is not None:
                real("shrink", name, value, 0, expected="a number, zero or more")
        if self.min_accuracy is not None and not has_accuracy:
            raise InputError("shrink got min_accuracy, but neither labels nor a metric to measure it by; give one.")

    def kept_by(self, trial: Trial) -> bool:
        """Return True if a trial is within all bounds."""
        return (
            (self.max_error is None or trial.error <= self.max_error)
            and (self.min_accuracy is None or (trial.accuracy is not None and trial.accuracy >= self.min_accuracy))
            and (self.max_bytes is None or trial.nbytes <= self.max_bytes)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Measure a model's error against the float32 model, and its accuracy.

    Parameters
    ----------
    xs
        ``(time, input_size)``: the recording.
    repeated
        The recording repeated to 10,000 steps or more.
    ys
        ``(steps, output_size)`` float64: outputs of the float32 model on ``repeated``.
    accuracy_of
        ``accuracy_of(ys) -> number`` of outputs on the recording; None without labels and metric.
    """

    xs: F32
    repeated: F32
    ys: F64
    accuracy_of: Callable[[F32], float] | None

    def error(self, model: Model) -> float:
        """Root mean square of the difference from the float32 model's outputs, relative to that of its outputs."""
        off = Stream(model).run(self.repeated).astype(np.float64) - self.ys
        return relative_rms(float(np.square(off).sum()), float(np.square(self.ys).sum()))

    def accuracy(self, model: Model) -> float | None:
        """Accuracy of a model by labels or metric; None without either."""
        return None if self.accuracy_of is None else float(self.accuracy_of(Stream(model).run(self.xs)))


def make_judge(
    model: Model, calibration: Calibration, labels: ArrayLike | None, metric: Callable[[F32], float] | None
) -> Judge:
    """Make the judge for a float32 model and a recording, with labels or a metric.

    Raises
    ------
    InputError
        Labels do not fit, or both labels and a metric are given.
    """
    xs = calibration.xs
    rows = repeated(xs)
    if labels is not None and metric is not None:
        raise InputError("shrink got labels and a metric, expected one of them.")
    accuracy_of = metric
    if labels is not None:
        truth = np.asarray(labels)
        if truth.shape != (len(xs),) or truth.dtype.kind not in "iu":
            raise InputError(
                f"shrink got labels {truth.dtype} {truth.shape}, expected ({len(xs)},) int, one per sample."
            )
        if len(truth) and not (truth.min() >= 0 and truth.max() < model.output_size):
            raise InputError(
                f"shrink got labels from {truth.min()} to {truth.max()}, expected 0 to {model.output_size - 1}, the "
                f"indices of the model's outputs."
            )

        def share(ys: F32) -> float:
            return float(np.mean(ys.argmax(axis=1) == truth))

        accuracy_of = share
    return Judge(xs, rows, Stream(model).run(rows).astype(np.float64), accuracy_of)
