"""Tasks that networks are compared on: what is right, and how far back one has to remember to know it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_rnn.analysis.grammar import Grammar
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.recordings.stretches import evenly
from edge_rnn.sampling.symbols import alphabet, encode, samples
from edge_rnn.spelling import counted
from edge_rnn.streams.stream import Stream

__all__ = ["Bin", "RecordingTask", "Score", "Task", "TextTask"]

Array = NDArray[Any]

_SPEED_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Bin:
    """How often answers were right where it takes ``low`` to ``high`` steps of memory."""

    low: int
    high: int
    right: int
    of: int

    @property
    def share(self) -> float:
        """Of right answers."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of more such answers lies, with 95 % confidence.

        E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22
        (1927).
        """
        z, n, p = 1.959964, self.of, self.share
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


@dataclass(frozen=True, slots=True)
class Score:
    """How often a network was right: in all, and by lag, each bin up to twice as far as the one before."""

    right: int
    of: int
    bins: tuple[Bin, ...]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.of

    def within(self, low: int, high: float = math.inf) -> tuple[int, int]:
        """Right ones and all of the bins that lie between two lags."""
        chosen = [each for each in self.bins if low <= each.low and each.high <= high]
        return sum(each.right for each in chosen), sum(each.of for each in chosen)


class Task(Protocol):
    """What networks are compared on."""

    def score(self, model: Model) -> Score:
        """How often a model is right; InputError or UnsupportedError if it is not for this task."""

    def samples(self, model: Model) -> NDArray[np.float32]:
        """``(time, input_size)``: some of what the model reads, to time it."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordingTask:
    """What is going on at each sample of a recording, state carried from the first to the last.

    The lag of an answer is how many samples have come since the label changed: at 0 there is one to tell it by.

    Parameters
    ----------
    xs
        ``(time, input_size)`` float32.
    labels
        ``(time,)`` int: the output that each sample belongs to.

    Raises
    ------
    InputError
        There are no samples, or not as many labels.
    """

    xs: NDArray[np.float32]
    labels: NDArray[np.intp]

    def __post_init__(self) -> None:
        if not len(self.xs) or self.labels.shape != (len(self.xs),):
            counts = f"{counted(len(self.xs), 'sample')} and {counted(self.labels.size, 'label')}"
            raise InputError(f"the task got {counts}, expected one sample or more, each with a label.")

    @property
    def commonest(self) -> float:
        """Share of the most frequent label: how often one is right who always says that."""
        return float(np.bincount(self.labels).max() / len(self.labels))

    def score(self, model: Model) -> Score:
        """See :class:`Task`."""
        if self.xs.shape[1] != model.input_size:
            raise InputError(f"the recording has {self.xs.shape[1]} channels, {model!r} reads {model.input_size}.")
        if not (self.labels.min() >= 0 and self.labels.max() < model.output_size):
            raise InputError(
                f"the recording has labels from {self.labels.min()} to {self.labels.max()}, expected places of the "
                f"{counted(model.output_size, 'output')} of {model!r}."
            )
        right = Stream(model).run(self.xs).argmax(axis=1) == self.labels
        changes = np.flatnonzero(np.diff(self.labels, prepend=self.labels[0] - 1))
        place = np.arange(len(self.labels))
        return _score(right, place - changes[np.searchsorted(changes, place, side="right") - 1])

    def samples(self, model: Model) -> NDArray[np.float32]:
        """See :class:`Task`."""
        return evenly(self.xs, _SPEED_SAMPLES)


@dataclass(frozen=True, slots=True, eq=False)
class TextTask:
    """Which symbols may follow, after each symbol of texts of a grammar, state reset before each text.

    An answer is right if the likeliest symbols, as many as may follow, are those that may follow. Its lag is how many
    of the last symbols it takes to tell: see :meth:`~edge_rnn.analysis.grammar.Grammar.reach`.

    Parameters
    ----------
    grammar
        Of the texts.
    texts
        Each a sequence of symbols, two or more.

    Raises
    ------
    InputError
        There are none, or one is not of the grammar.
    """

    grammar: Grammar
    texts: Sequence[Sequence[str]]
    _truths: list[tuple[list[tuple[str, ...]], list[int]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.texts or min(map(len, self.texts)) < 2:
            raise InputError("the task got no texts, or one of fewer than two symbols.")
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

    def samples(self, model: Model) -> NDArray[np.float32]:
        """See :class:`Task`."""
        texts = [self.texts[place] for place in evenly(np.arange(len(self.texts)), 100).tolist()]
        symbols = np.concatenate([encode(model, list(text), call="compare") for text in texts])
        return samples(alphabet(model, "compare"), evenly(symbols, _SPEED_SAMPLES))


def _score(right: Array, lags: Array) -> Score:
    """In bins 0, 1, 2 to 3, 4 to 7, …: as far as there are lags; bins that hold none are left out."""
    which = np.where(lags > 0, np.floor(np.log2(np.maximum(lags, 1)) + 1e-12) + 1, 0).astype(np.int64)
    bins = [
        Bin(int(2**place // 2), int(2**place - 1), int(right[which == place].sum()), int((which == place).sum()))
        for place in np.unique(which).tolist()
    ]
    return Score(int(right.sum()), len(right), tuple(bins))
