"""Sampler: a stream that writes, in a compiled loop and in memory that is fixed when it is made."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.checks import real, whole
from edge_rnn.errors import InputError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.driver import not_done
from edge_rnn.kernels.writing.choose import ONE, Choice
from edge_rnn.kernels.writing.generate import Outcome
from edge_rnn.sampling.generated import Generated
from edge_rnn.sampling.symbols import Prompt, alphabet, encode, number
from edge_rnn.spelling import counted
from edge_rnn.streams.claim import check_alone
from edge_rnn.streams.one_thread import OneThread
from edge_rnn.streams.plan import aligned
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32, I32, AnyArray

__all__ = ["Sampler", "Stop", "generate", "generate_iter", "starting_prompt", "stop_rows"]


Stop = int | str | Sequence[int | str]
"""What ends a text: a symbol, a text, or several of them."""


class Sampler:
    """A stream that writes: reads a prompt, chooses a symbol, reads that, and so on.

    Of the scores, in this order: those of symbols that were there are divided by ``repetition_penalty`` if they are
    above 0 and else multiplied [1]_; all are divided by ``temperature``; the ``top_k`` best stay; of these the fewest
    best stay that make up the share ``top_p`` of their probability (nucleus sampling [2]_); of these stay those that
    are at least ``min_p`` times as probable as the best [3]_. One of them is drawn by what is left of the probability.
    Of equal scores the symbol of the lower number is the better one. Chances are right to 2^-30 of the best symbol's:
    one that is less probable than that is never drawn.

    Parameters
    ----------
    stream
        Goes on from where it is, and is left where it has read all but the last symbol. To go on from there with
        something else, give that symbol as the prompt.
    temperature
        0: always the best symbol. 1: as the network says. Above: more evenly; 1e-4 to 1e4.
    top_k
        How many symbols may be drawn; 0 for all.
    top_p
        Above 0, up to 1.
    min_p
        From 0 to 1.
    repetition_penalty
        0.01 to 100; 1 for none. Counts are symbols of the prompt and those written since.
    stop
        What ends the text and belongs to it: a symbol by number, or a text, of one symbol or of several in a row; or a
        sequence of these. The prompt does not count.
    seed
        0 to 2^64 - 1. Each symbol that is drawn takes one random number, from one call to the next.

    Raises
    ------
    UnsupportedError
        The model does not write what it reads, see :mod:`edge_rnn.sampling`.
    InputError
        An argument is not what it should be.
    CompileError
        The loop cannot be compiled on this machine.

    References
    ----------
    .. [1] N. S. Keskar et al., "CTRL: a conditional transformer language model for controllable generation" (2019),
       arXiv:1909.05858, section 4.1.
    .. [2] A. Holtzman et al., "The curious case of neural text degeneration", ICLR (2020), arXiv:1904.09751.
    .. [3] N. N. Minh et al., "Turning up the heat: min-p sampling for creative and coherent LLM outputs", ICLR (2025),
       arXiv:2407.01082.
    """

    __slots__ = ("_alone", "_arrays", "_recent", "_table", "stream")

    stream: Stream

    def __init__(
        self,
        stream: Stream,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        stop: Stop = (),
        seed: int = 0,
    ) -> None:
        if not isinstance(stream, Stream):
            raise InputError(f"generate got {type(stream).__name__} as stream, expected a Stream of a model.")
        found = alphabet(stream.model, "generate")
        count = found.size
        is_greedy = np.ndim(temperature) == 0 and temperature == 0
        if not is_greedy:
            temperature = real("generate", "temperature", temperature, 1e-4, 1e4, expected="0, or 0.0001 to 10000")
        penalty = real("generate", "repetition_penalty", repetition_penalty, 0.01, 100)
        top_k = whole("generate", "top_k", top_k, 0, expected="how many symbols may be drawn, or 0 for all")
        seed = whole("generate", "seed", seed, 0, 2**64 - 1, expected="a whole number from 0 to 2**64 - 1")
        self.stream = stream
        self._alone = OneThread("Sampler.generate")
        rows = stop_rows(stream, stop)
        self._recent = 2 * max(64, *map(len, rows), 0)
        y, wanted = aligned(count + -count % 8), aligned(count + -count % 8)
        y[:] = wanted[:] = -np.inf
        self._arrays: dict[Choice, AnyArray] = {
            Choice.X: np.zeros(stream.input_size, np.float32),
            Choice.Y: y,
            Choice.WANTED: wanted,
            Choice.SCORES: aligned(y.size),
            Choice.SHARES: aligned(y.size),
            Choice.SEEN: np.zeros(count, np.int32),
            Choice.PARAMETERS: np.array([1 / temperature if temperature else 1, penalty], np.float32),
            Choice.WEIGHTS: np.zeros(count, np.int32),
            Choice.STOPS: np.array([n for row in rows for n in (len(row), *row)] + [0], np.int32),
        }
        self._table = np.zeros(len(Choice), np.intp)
        for word, array in self._arrays.items():
            self._table[word] = array.ctypes.data
        words = {
            Choice.HANDLE: stream.handle,
            Choice.ADVANCE: object_cache.load("advance").address,
            Choice.SYMBOLS: count,
            Choice.ONE_HOT: found.one_hot,
            Choice.SHARES_GIVEN: found.shares_given,
            Choice.GREEDY: temperature == 0,
            Choice.PENALIZED: penalty != 1,
            Choice.TOP_K: min(top_k or count, count),
            Choice.TOP_P: round(real("generate", "top_p", top_p, 2**-32, 1, expected="more than 0, 1 at most") * 2**32),
            Choice.MIN_WEIGHT: max(1, round(real("generate", "min_p", min_p, 0, 1) * ONE)),
            Choice.SEED: int(seed) - (2**64 if seed >= 2**63 else 0),  # the same 64 bits
        }
        for word, value in words.items():
            self._table[word] = value

    def __repr__(self) -> str:
        return f"<Sampler of {self.stream!r}>"

    @property
    def nbytes(self) -> int:
        """Bytes that belong to the sampler, beside those of its stream; they do not grow."""
        return self._table.nbytes + sum(array.nbytes for array in self._arrays.values())

    def generate(self, prompt: Prompt = (), *, max_length: int, first: ArrayLike | None = None) -> Generated:
        """Read the prompt, then write; see :func:`generate`."""
        with self._alone:
            read = self._start(prompt, first)
            length = whole("generate", "max_length", max_length, 1, 2**31 - 1)
            symbols, logarithms = np.empty(length, np.int32), np.empty(length, np.float32)
            written = self._write(read, symbols, logarithms, 0, length)
            stopped = bool(self._table[Choice.OUTCOME] == Outcome.STOPPED)
        return Generated(symbols[:written].copy(), logarithms[:written].copy(), stopped)

    def iterate(
        self, prompt: Prompt = (), *, max_length: int, first: ArrayLike | None = None
    ) -> Iterator[tuple[int, float]]:
        """Read the prompt, then write, each symbol handed over at once; see :func:`generate_iter`."""
        with self._alone:
            read = self._start(prompt, first)
        return self._each(read, whole("generate", "max_length", max_length, 1, 2**31 - 1))

    def _each(self, read: I32, length: int) -> Iterator[tuple[int, float]]:
        symbols, logarithms, done = np.empty(self._recent, np.int32), np.empty(self._recent, np.float32), 0
        for _ in range(length):
            with self._alone:
                self._write(read, symbols, logarithms, done, done + 1)
                stopped = self._table[Choice.OUTCOME] == Outcome.STOPPED
            yield int(symbols[done]), float(logarithms[done])
            if stopped:
                return
            read = symbols[done : done + 1].copy()
            done += 1
            if done == symbols.size:  # of what was written only as much is kept as a row that ends the text is long
                done //= 2
                symbols[:done] = symbols[-done:]

    def _start(self, prompt: Prompt, first: ArrayLike | None) -> I32:
        """Nothing was there; ``first`` is read; the symbols of the prompt."""
        symbols = starting_prompt(self.stream, prompt, first)
        self._arrays[Choice.SEEN][:] = 0
        if first is not None:
            self._arrays[Choice.Y][: self.stream.output_size] = self.stream.step(first)
        return symbols

    def _write(self, read: I32, symbols: I32, logarithms: F32, done: int, count: int) -> int:
        """Read some symbols, then write on from ``done`` to ``count`` or until the text ends; how many there are."""
        addresses = read.ctypes.data, read.size, symbols.ctypes.data, logarithms.ctypes.data
        written = _loop()(self._table.ctypes.data, *addresses, done, count)
        check_alone(not_done(written), "generate")
        if self._table[Choice.OUTCOME] == Outcome.REFUSED:
            raise InputError(
                f"generate came to an output that is not finite after {counted(written, 'symbol')}; the state is as "
                f"before it. "
                f"The model is damaged or its weights are too large."
            )
        return written


def generate(
    stream: Stream, prompt: Prompt = (), *, max_length: int, first: ArrayLike | None = None, **options: Any
) -> Generated:
    """Let a network read a prompt and write on.

    Parameters
    ----------
    stream
        At the start of a text (``stream.reset()``), or anywhere else.
    prompt
        Symbols to read first, by number, or a text that the model's vocabulary takes apart.
    max_length
        How many symbols to write at most.
    first
        ``(input_size,)`` float32: a sample to read once, before the prompt, which may then be empty.
    options
        ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repetition_penalty``, ``stop``, ``seed``: see
        :class:`Sampler`, which is worth making once where texts are written again and again.

    Returns
    -------
    Generated
        Symbols, their log-probabilities, and whether a stop symbol ended them.

    Raises
    ------
    InputError, UnsupportedError, CompileError
        See :class:`Sampler`; or a step makes something that is not finite.
    """
    return Sampler(stream, **options).generate(prompt, max_length=max_length, first=first)


def generate_iter(
    stream: Stream, prompt: Prompt = (), *, max_length: int, first: ArrayLike | None = None, **options: Any
) -> Iterator[tuple[int, float]]:
    """As :func:`generate`, but each symbol and its log-probability are handed over as soon as it is chosen.

    The prompt is read when the first one is asked for; symbols are those that :func:`generate` would give.
    """
    return Sampler(stream, **options).iterate(prompt, max_length=max_length, first=first)


def starting_prompt(stream: Stream, prompt: Prompt, first: ArrayLike | None) -> I32:
    """The symbols of a prompt, of which there are some, or a first sample."""
    sized = isinstance(prompt, (str, Sequence)) or (isinstance(prompt, np.ndarray) and prompt.ndim == 1)
    empty = sized and not len(prompt)  # which takes no vocabulary
    symbols = np.empty(0, np.int32) if empty else encode(stream.model, prompt, call="generate")
    if not symbols.size and first is None:
        raise InputError("generate got an empty prompt, expected a symbol or more to read first, or first=.")
    return symbols


def stop_rows(stream: Stream, stop: Stop) -> list[list[int]]:
    """The rows of symbols that end a text."""
    given = [stop] if isinstance(stop, (int, str, np.integer)) else stop
    listed = isinstance(given, Sequence) or (isinstance(given, np.ndarray) and given.ndim == 1)
    if not listed or "" in given:
        raise InputError(f"generate got stop = {stop!r}, expected symbols or texts that are not empty.")
    whole = "generate stop"
    return [
        encode(stream.model, each, call=whole).tolist()
        if isinstance(each, str)
        else [number(stream.model, each, whole)]
        for each in given
    ]


@cache
def _loop() -> Callable[..., int]:
    """Through CFUNCTYPE, which releases the GIL."""
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    address = object_cache.load("generate").address
    return ctypes.CFUNCTYPE(size, pointer, pointer, size, pointer, pointer, size, size)(address)
