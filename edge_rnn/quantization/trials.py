"""Trials and result of a search for formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_rnn.model import Model

__all__ = ["Shrunk", "Trial", "stored_bytes"]

_ALIKE = 1.03
"""Ratio of two step times up to which they count as equal, within measurement noise."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One choice of formats, measured.

    Parameters
    ----------
    formats
        Formats by ``"layer.field"``.
    nbytes
        Bytes of all arrays as stored in a file.
    memory_bytes
        Bytes of the packed weights of a stream.
    error
        Root mean square of the difference from the float32 model's outputs, relative to that of its outputs; over
        10,000 steps or more, with the state carried along.
    accuracy
        Share of samples whose largest output is their label, or the value of ``metric``; None without either.
    step_ns, baseline_ns
        Step time in a compiled loop, and the least one of the float32 model, which is the same for all trials. Each
        trial was timed in turn with the float32 model: ``step_ns`` is ``baseline_ns`` divided by the speed-up in that
        turn. None if it was not timed.
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
        """Speed-up of a step over the float32 model; None if it was not timed."""
        return self.baseline_ns / self.step_ns if self.step_ns and self.baseline_ns else None


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """Result of :func:`shrink`.

    Parameters
    ----------
    model
        The best model.
    best
        Its trial.
    trials
        All trials, the float32 model's first.
    sensitivity
        ``{matrix: {format: trial}}``: each matrix in each format, all others float32.
    stopped
        True if the search was interrupted.
    """

    model: Model
    best: Trial
    trials: tuple[Trial, ...]
    sensitivity: Mapping[str, Mapping[str, Trial]]
    stopped: bool = False

    @property
    def front(self) -> tuple[Trial, ...]:
        """Pareto front of size, error and step time, the smallest first."""
        timed = [trial for trial in self.trials if trial.step_ns is not None]
        kept = [trial for trial in timed if not any(_betters(other, trial) for other in timed)]
        return tuple(sorted(kept, key=lambda trial: (trial.nbytes, trial.error)))


def stored_bytes(model: Model) -> int:
    """Bytes of all of a model's arrays, as a file stores them."""
    arrays = sum(array.nbytes for layer in model.layers for array in layer.arrays.values())
    return arrays + sum(matrix.nbytes for layer in model.layers for matrix in layer.formats.values())


def _betters(one: Trial, other: Trial) -> bool:
    """Return True if a timed trial dominates another: as good in every respect, and better in one."""
    quicker = (one.speedup or 1.0) / (other.speedup or 1.0)
    if one.nbytes > other.nbytes or one.error > other.error or quicker < 1 / _ALIKE:
        return False
    return one.nbytes < other.nbytes or one.error < other.error or quicker > _ALIKE
