"""Beam search: follow several of the most probable texts at a time, each with its own state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.checks import real, whole
from edge_rnn.errors import InputTypeError
from edge_rnn.sampling.generated import Generated
from edge_rnn.sampling.sampler import Stop, starting_prompt, stop_rows
from edge_rnn.sampling.symbols import Prompt, alphabet, samples
from edge_rnn.streams.stream import Stream
from edge_rnn.streams.stream_bank import MAX_STREAMS, StreamBank
from edge_rnn.typing import F32, F64, I32, AnyArray

__all__ = ["beam_search"]

Doubles = F64

_TINY = float(np.finfo(np.float32).tiny)


def beam_search(
    stream: Stream,
    prompt: Prompt = (),
    *,
    width: int,
    max_length: int,
    length_penalty: float = 0.0,
    stop: Stop = (),
    first: ArrayLike | None = None,
) -> tuple[Generated, ...]:
    """Find probable continuations of a prompt.

    Each step extends all followed texts by all symbols. Extensions that end a text and are among the ``width`` most
    probable are finished; of the others, the ``width`` most probable are followed. The search ends at ``max_length``,
    or when ``width`` texts are finished and none of the followed ones can become better. With a width as large as the
    number of possible texts, the result is exact; with 1 it is the greedy choice.

    Parameters
    ----------
    stream
        Stream that reads the prompt, and is left in the state after it. The texts have streams of their own, ``2 *
        width`` in total.
    prompt, max_length, first
        See :func:`~edge_rnn.sampling.generate`.
    width
        Number of texts to follow, 1 or more.
    length_penalty
        Texts are ranked by log-probability over ``length ** length_penalty``: 0 ranks by probability, which favors
        short texts; 1 by the mean log-probability per symbol; at most 30.
    stop
        Stop sequences, see :class:`~edge_rnn.sampling.Sampler`.

    Returns
    -------
    tuple of Generated
        Up to ``width`` texts, the best first; ties go to the one that was finished first.

    Raises
    ------
    InputError, UnsupportedError, CompileError
        As for :func:`~edge_rnn.sampling.generate`.
    """
    if not isinstance(stream, Stream):
        raise InputTypeError(f"beam_search got {type(stream).__name__} as stream, expected a Stream of a model.")
    found = alphabet(stream.model, "beam_search")
    width = whole("beam_search", "width", width, 1, MAX_STREAMS)
    max_length = whole("beam_search", "max_length", max_length, 1, 2**31 - 1)
    length_penalty = real("beam_search", "length_penalty", length_penalty, 0, 30)
    stops = [np.array(row, np.int32) for row in stop_rows(stream, stop)]
    symbols = starting_prompt(stream, prompt, first)
    y = np.zeros(0, np.float32) if first is None else stream.step(first)
    y = stream.run(samples(found, symbols))[-1] if symbols.size else y

    now, then = (StreamBank(stream.model, width) for _ in range(2))
    sources: Any = [stream]
    texts, finished = _Texts.none(), _Finished(width, length_penalty, max_length)
    for length in range(1, max_length + 1):
        texts = texts.extended(_log_probabilities(np.atleast_2d(y), shares_given=found.shares_given), stops, width)
        running = ~texts.stopped
        for place in np.flatnonzero(~running | (length == max_length)):
            finished.add(texts, int(place), stopped=not running[place])
        if length == max_length or not running.any() or finished.good_enough(texts.totals[running].max()):
            break
        texts = texts.chosen(running)
        _move(then, [sources[parent] for parent in texts.parents])
        count = len(texts.totals)
        xs = np.zeros((width, stream.input_size), np.float32)
        xs[:count] = samples(found, texts.symbols[:, -1])
        y = then.step(xs)[:count]
        now, then, sources = then, now, then
    return finished.best()


def _move(bank: StreamBank, sources: Sequence[Stream]) -> None:
    """Copy the sources to the first streams of a bank, and release the rest."""
    for place in range(len(bank)):
        if place < len(sources):
            bank.join(place)
            bank[place].copy_from(sources[place])
        else:
            bank.leave(place)


def _log_probabilities(ys: F32, *, shares_given: bool) -> Doubles:
    """Log-probabilities of outputs, ``(texts, symbols)`` float64."""
    scores = ys.astype(np.float64)
    if shares_given:
        scores = np.log(np.maximum(scores, _TINY))
    scores -= scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


@dataclass(frozen=True, slots=True)
class _Texts:
    """Texts of the same length.

    Parameters
    ----------
    symbols, logarithms
        ``(texts, length)`` int32 and float64.
    totals
        ``(texts,)`` float64: sums of the logarithms, in descending order.
    stopped
        ``(texts,)`` bool: True for texts that end with a stop sequence.
    parents
        ``(texts,)``: index of the text that each extends.
    """

    symbols: I32
    logarithms: Doubles
    totals: Doubles
    stopped: NDArray[np.bool_]
    parents: NDArray[np.intp]

    @staticmethod
    def none() -> _Texts:
        return _Texts(
            np.empty((1, 0), np.int32), np.empty((1, 0)), np.zeros(1), np.zeros(1, np.bool_), np.zeros(1, np.intp)
        )

    def chosen(self, which: AnyArray) -> _Texts:
        return _Texts(*(getattr(self, each.name)[which] for each in fields(self)))

    def extended(self, logarithms: Doubles, stops: Sequence[I32], width: int) -> _Texts:
        """Most probable extensions: ``width`` that continue, and any that stop and rank within ``width`` overall."""
        totals = (self.totals[:, None] + logarithms).ravel()
        stops_with = np.zeros(logarithms.shape, np.bool_)
        for row in stops:
            if row.size <= self.symbols.shape[1] + 1:
                before = self.symbols[:, self.symbols.shape[1] + 1 - row.size :]
                stops_with[(before == row[:-1]).all(axis=1), row[-1]] = True
        enough = min(totals.size, width + int(stops_with.sum()))
        least = np.partition(totals, totals.size - enough)[totals.size - enough]
        places = np.flatnonzero(totals >= least)
        places = places[np.argsort(-totals[places], kind="stable")]  # ties: earlier text, then lower symbol, first
        parents, symbols = np.divmod(places, logarithms.shape[1])
        stopping = stops_with[parents, symbols]
        kept = np.where(stopping, np.arange(places.size) < width, np.cumsum(~stopping) <= width)
        parents, symbols, places = parents[kept], symbols[kept].astype(np.int32), places[kept]
        return _Texts(
            np.hstack([self.symbols[parents], symbols[:, None]]),
            np.hstack([self.logarithms[parents], logarithms[parents, symbols][:, None]]),
            totals[places],
            stopping[kept],
            parents,
        )


class _Finished:
    """The best ``width`` finished texts."""

    def __init__(self, width: int, length_penalty: float, max_length: int) -> None:
        self._width, self._penalty, self._longest = width, length_penalty, max_length
        self._kept: list[tuple[float, Generated]] = []

    def add(self, texts: _Texts, place: int, *, stopped: bool) -> None:
        symbols, logarithms = texts.symbols[place], texts.logarithms[place].astype(np.float32)
        score = float(texts.totals[place]) / symbols.size**self._penalty
        self._kept.append((score, Generated(symbols.copy(), logarithms, stopped)))
        self._kept.sort(key=lambda each: -each[0])  # stable: ties stay in order
        del self._kept[self._width :]

    def good_enough(self, total: float) -> bool:
        """True if no text with a log-probability of at most ``total`` so far can still rank among the best."""
        best_to_come = total / self._longest**self._penalty
        return len(self._kept) == self._width and self._kept[-1][0] >= best_to_come

    def best(self) -> tuple[Generated, ...]:
        return tuple(text for _, text in self._kept)
