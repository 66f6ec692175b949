"""Sampler: generation in a compiled loop, in memory that is allocated at construction."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.checks import real, whole
from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.driver import not_done
from edge_rnn.kernels.program.record import Handle
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
"""Stop condition: a symbol, a text, or several of them."""


class Sampler:
    """Generator of symbols: read a prompt, choose a symbol, feed it back, and so on.

    The scores are processed in this order: scores of symbols that already occurred are divided by
    ``repetition_penalty`` if they are positive, and multiplied by it otherwise [1]_; all scores are divided by
    ``temperature``; the ``top_k`` best symbols are kept; of these, the smallest set of the best whose probability
    reaches ``top_p`` (nucleus sampling [2]_); of these, the symbols with at least ``min_p`` times the probability of
    the best one [3]_. One of them is drawn with the remaining probability. Between equal scores, the lower symbol id is
    preferred. Probabilities are exact to 2^-30 of the best symbol's: less probable symbols are never drawn.

    Parameters
    ----------
    stream
        Stream that generates. It continues from its current state, and is left in the state before reading the last
        symbol. To continue from there, give that symbol as the prompt.
    temperature
        0 always takes the best symbol; 1 samples from the network's distribution; larger values flatten it; 1e-4 to
        1e4.
    top_k
        Number of symbols that may be drawn; 0 for all.
    top_p
        Greater than 0, at most 1.
    min_p
        From 0 to 1.
    repetition_penalty
        0.01 to 100; 1 for none. Applies to symbols of the prompt and of the text so far.
    stop
        Stop sequences, which end the text and are part of it: a symbol id, or a text of one or more symbols; or a
        sequence of these. The prompt does not count.
    seed
        0 to 2^64 - 1. Each drawn symbol takes one random number, also across calls.

    Raises
    ------
    UnsupportedError
        The model does not generate what it reads, see :mod:`edge_rnn.sampling`.
    InputError
        An argument is invalid.
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
            raise InputTypeError(f"generate got {type(stream).__name__} as stream, expected a Stream of a model.")
        found = alphabet(stream.model, "generate")
        count = found.size
        is_greedy = np.ndim(temperature) == 0 and temperature == 0
        if not is_greedy:
            temperature = real("generate", "temperature", temperature, 1e-4, 1e4, expected="0, or 0.0001 to 10000")
        penalty = real("generate", "repetition_penalty", repetition_penalty, 0.01, 100)
        top_k = whole("generate", "top_k", top_k, 0, expected="a number of symbols, or 0 for all")
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
        self._table = np.zeros(len(Choice), np.int64)
        for word, array in self._arrays.items():
            self._table[word] = array.ctypes.data
        words = {
            Choice.HANDLE: stream.handle,
            Choice.ADVANCE: int(stream._memory.handle[Handle.ADVANCE]),
            Choice.SYMBOLS: count,
            Choice.ONE_HOT: found.one_hot,
            Choice.SHARES_GIVEN: found.shares_given,
            Choice.GREEDY: temperature == 0,
            Choice.PENALIZED: penalty != 1,
            Choice.TOP_K: min(top_k or count, count),
            Choice.TOP_P: round(
                real("generate", "top_p", top_p, 2**-32, 1, expected="more than 0 and at most 1") * 2**32
            ),
            Choice.MIN_WEIGHT: max(1, round(real("generate", "min_p", min_p, 0, 1) * ONE)),
            Choice.SEED: int(seed) - (2**64 if seed >= 2**63 else 0),  # the same 64 bits
        }
        for word, value in words.items():
            self._table[word] = value

    def __repr__(self) -> str:
        return f"<Sampler of {self.stream!r}>"

    @property
    def nbytes(self) -> int:
        """Bytes of the sampler itself, without its stream; constant."""
        return self._table.nbytes + sum(array.nbytes for array in self._arrays.values())

    def generate(self, prompt: Prompt = (), *, max_length: int, first: ArrayLike | None = None) -> Generated:
        """Read the prompt, then generate; see :func:`generate`."""
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
        """Read the prompt, then yield symbols one by one; see :func:`generate_iter`."""
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
            if done == symbols.size:  # keep only as much of the text as the longest stop sequence needs
                done //= 2
                symbols[:done] = symbols[-done:]

    def _start(self, prompt: Prompt, first: ArrayLike | None) -> I32:
        """Forget earlier symbols, read ``first``, and return the symbols of the prompt."""
        symbols = starting_prompt(self.stream, prompt, first)
        self._arrays[Choice.SEEN][:] = 0
        if first is not None:
            self._arrays[Choice.Y][: self.stream.output_size] = self.stream.step(first)
        return symbols

    def _write(self, read: I32, symbols: I32, logarithms: F32, done: int, count: int) -> int:
        """Read symbols, then generate from ``done`` to ``count`` or to the end of the text; return the new length."""
        addresses = read.ctypes.data, read.size, symbols.ctypes.data, logarithms.ctypes.data
        written = _loop()(self._table.ctypes.data, *addresses, done, count)
        check_alone(not_done(written), "generate")
        if self._table[Choice.OUTCOME] == Outcome.REFUSED:
            raise InputError(
                f"generate produced a non-finite output after {counted(written, 'symbol')}; the state is as before "
                "it. The model is damaged or its weights are too large."
            )
        return written


def generate(
    stream: Stream, prompt: Prompt = (), *, max_length: int, first: ArrayLike | None = None, **options: Any
) -> Generated:
    """Read a prompt, then generate a continuation.

    Parameters
    ----------
    stream
        Stream at the start of a text (``stream.reset()``), or in any other state.
    prompt
        Symbols to read first: ids, or a text, which the model's vocabulary splits into symbols.
    max_length
        Maximum number of symbols to generate.
    first
        ``(input_size,)`` float32: a sample to read once before the prompt, which may then be empty.
    options
        ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repetition_penalty``, ``stop``, ``seed``: see
        :class:`Sampler`; to generate repeatedly, create one and reuse it.

    Returns
    -------
    Generated
        Symbols, their log-probabilities, and whether a stop sequence ended the text.

    Raises
    ------
    InputError, UnsupportedError, CompileError
        See :class:`Sampler`; or a step produces a non-finite value.
    """
    return Sampler(stream, **options).generate(prompt, max_length=max_length, first=first)


def generate_iter(
    stream: Stream, prompt: Prompt = (), *, max_length: int, first: ArrayLike | None = None, **options: Any
) -> Iterator[tuple[int, float]]:
    """Generate like :func:`generate`, but yield each symbol with its log-probability as soon as it is chosen.

    The prompt is read when the first symbol is requested; the symbols are those that :func:`generate` returns.
    """
    return Sampler(stream, **options).iterate(prompt, max_length=max_length, first=first)


def starting_prompt(stream: Stream, prompt: Prompt, first: ArrayLike | None) -> I32:
    """Encode a prompt; raise InputError if it is empty and there is no first sample."""
    sized = isinstance(prompt, (str, Sequence)) or (isinstance(prompt, np.ndarray) and prompt.ndim == 1)
    empty = sized and not len(prompt)  # an empty prompt needs no vocabulary
    symbols = np.empty(0, np.int32) if empty else encode(stream.model, prompt, call="generate")
    if not symbols.size and first is None:
        raise InputError("generate got an empty prompt, expected at least one symbol to read first, or first=.")
    return symbols


def stop_rows(stream: Stream, stop: Stop) -> list[list[int]]:
    """Encode stop sequences."""
    given = [stop] if isinstance(stop, (int, str, np.integer)) else stop
    listed = isinstance(given, Sequence) or (isinstance(given, np.ndarray) and given.ndim == 1)
    if not listed or "" in given:
        raise InputError(f"generate got stop = {stop!r}, expected symbols or non-empty texts.")
    whole = "generate stop"
    return [
        encode(stream.model, each, call=whole).tolist()
        if isinstance(each, str)
        else [number(stream.model, each, whole)]
        for each in given
    ]


@cache
def _loop() -> Callable[..., int]:
    """Load through CFUNCTYPE, which releases the GIL."""
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    address = object_cache.load("generate").address
    return ctypes.CFUNCTYPE(size, pointer, pointer, size, pointer, pointer, size, size)(address)
