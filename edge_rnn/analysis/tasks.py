"""Tasks for comparing networks: the expected answers, and the memory span that each of them takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_rnn.analysis.grammar import Grammar
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.recordings.stretches import evenly
from edge_rnn.sampling.symbols import alphabet, encode, samples
from edge_rnn.spelling import counted
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32, AnyArray

__all__ = ["Bin", "RecordingTask", "Score", "Task", "TextTask"]


_SPEED_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Bin:
    """Accuracy of the answers that depend on ``low`` to ``high`` steps of memory."""

    low: int
    high: int
    right: int
    of: int

    @property
    def share(self) -> float:
        """Accuracy."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the accuracy (Wilson score interval).

        E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22
        (1927).
        """
        z, n, p = 1.959964, self.of, self.share
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of a network, overall and by lag; each bin reaches to twice the lag of the one before."""

    right: int
    of: int
    bins: tuple[Bin, ...]

    @property
    def accuracy(self) -> float:
        """Share of correct answers."""
        return self.right / self.of

    def within(self, low: int, high: float = math.inf) -> tuple[int, int]:
        """Count correct answers, and all answers, of the bins within a range of lags."""
        chosen = [each for each in self.bins if low <= each.low and each.high <= high]
        return sum(each.right for each in chosen), sum(each.of for each in chosen)


class Task(Protocol):
    """Task that networks are compared on."""

    def score(self, model: Model) -> Score:
        """Score a model; raise InputError or UnsupportedError if it does not fit the task."""

    def samples(self, model: Model) -> F32:
        """Sample inputs ``(time, input_size)`` for timing the model."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordingTask:
    """Classification of each sample of a recording, with the state carried from the first sample to the last.

    The lag of an answer is the number of samples since the label changed: at 0, only one sample shows the new label.

    Parameters
    ----------
    xs
        ``(time, input_size)`` float32.
    labels
        ``(time,)`` int: index of the right output for each sample.

    Raises
    ------
    InputError
        There are no samples, or the number of labels differs from the number of samples.
    """

    xs: F32
    labels: NDArray[np.intp]

    def __post_init__(self) -> None:
        if not len(self.xs) or self.labels.shape != (len(self.xs),):
            counts = f"{counted(len(self.xs), 'sample')} and {counted(self.labels.size, 'label')}"
            raise InputError(f"the task got {counts}, expected at least one sample and one label for each.")

    @property
    def commonest(self) -> float:
        """Share of the most frequent label: the accuracy of always answering with it."""
        return float(np.bincount(self.labels).max() / len(self.labels))

    def score(self, model: Model) -> Score:
        """See :class:`Task`."""
        if self.xs.shape[1] != model.input_size:
            raise InputError(f"the recording has {self.xs.shape[1]} channels, but {model!r} reads {model.input_size}.")
        if not (self.labels.min() >= 0 and self.labels.max() < model.output_size):
            raise InputError(
                f"the recording has labels from {self.labels.min()} to {self.labels.max()}, expected indices of the "
                f"{counted(model.output_size, 'output')} of {model!r}."
            )
        right = Stream(model).run(self.xs).argmax(axis=1) == self.labels
        changes = np.flatnonzero(np.diff(self.labels, prepend=self.labels[0] - 1))
        place = np.arange(len(self.labels))
        return _score(right, place - changes[np.searchsorted(changes, place, side="right") - 1])

    def samples(self, model: Model) -> F32:
        """See :class:`Task`."""
        return evenly(self.xs, _SPEED_SAMPLES)


@dataclass(frozen=True, slots=True, eq=False)
class TextTask:
    """Prediction of the symbols that may follow each symbol of a text, with the state reset before each text.

    With n symbols that may follow, an answer is correct if the n most probable symbols are exactly those. Its lag is
    the number of last symbols that determine them: see :meth:`~edge_rnn.analysis.grammar.Grammar.reach`.

    Parameters
    ----------
    grammar
        Grammar of the texts.
    texts
        Texts, each a sequence of at least two symbols.

    Raises
    ------
    InputError
        There are no texts, or one does not follow the grammar.
    """

    grammar: Grammar
    texts: Sequence[Sequence[str]]
    _truths: list[tuple[list[tuple[str, ...]], list[int]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.texts or min(map(len, self.texts)) < 2:
            raise InputError("the task got no texts, or a text with fewer than two symbols.")
        truths = [(self.grammar.allowed(text), self.grammar.reach(text)) for text in self.texts]
        object.__setattr__(self, "_truths", truths)

    def score(self, model: Model) -> Score:
        """See :class:`Task`."""
        known = alphabet(model, "compare")
        stream, right, lags = Stream(model), [], []
        for text, (allowed, reach) in zip(self.texts, self._truths, strict=True):
            symbols = encode(model, list(text), call="compare")
            stream.reset()
            order = np.argsort(-stream.run(samples(known, symbols[:-1])), axis=1, kind="stable")
            for place, ranked in enumerate(order, start=1):
                wanted = allowed[place]
                right.append({model.vocabulary[symbol] for symbol in ranked[: len(wanted)].tolist()} == set(wanted))
            lags += reach[1 : len(text)]
        return _score(np.array(right), np.array(lags))

    def samples(self, model: Model) -> F32:
        """See :class:`Task`."""
        texts = [self.texts[place] for place in evenly(np.arange(len(self.texts)), 100).tolist()]
        symbols = np.concatenate([encode(model, list(text), call="compare") for text in texts])
        return samples(alphabet(model, "compare"), evenly(symbols, _SPEED_SAMPLES))


def _score(right: AnyArray, lags: AnyArray) -> Score:
    """Score in bins of lag 0, 1, 2 to 3, 4 to 7, and so on; empty bins are left out."""
    which = np.where(lags > 0, np.floor(np.log2(np.maximum(lags, 1)) + 1e-12) + 1, 0).astype(np.int64)
    bins = [
        Bin(int(2**place // 2), int(2**place - 1), int(right[which == place].sum()), int((which == place).sum()))
        for place in np.unique(which).tolist()
    ]
    return Score(int(right.sum()), len(right), tuple(bins))
