"""What a search for formats is made of: trials, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_rnn.model import Model

__all__ = ["Shrunk", "Trial", "stored_bytes"]

_ALIKE = 1.03
"""Times that are no further apart than this are the same: they were measured."""


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
    step_ns, baseline_ns
        Time of a step in a compiled loop, and that of the float32 model, which is the same for all trials: its least.
        Each trial was timed in turn with the float32 model; what ``step_ns`` tells is how many times as quick it was
        then, by that least time. None where it was not timed.
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
