"""Symbols: between texts, numbers, and samples that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.checks import is_whole
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import Dense
from edge_rnn.model import Model
from edge_rnn.spelling import counted
from edge_rnn.typing import F32, I32

__all__ = ["Alphabet", "Prompt", "alphabet", "decode", "encode", "number", "samples", "writes"]

Prompt = str | Sequence[int] | Sequence[str] | NDArray[np.integer]
"""A text, or symbols by number, or by text."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """How a model reads and writes symbols.

    Parameters
    ----------
    size
        Number of symbols.
    one_hot
        Whether a sample has a number for each symbol; else it is the symbol's number.
    shares_given
        Whether the outputs are probabilities; else they are scores.
    """

    size: int
    one_hot: bool
    shares_given: bool


def alphabet(model: Model, call: str) -> Alphabet:
    """How a model reads and writes symbols; UnsupportedError if it does not do both."""
    symbols, last = model.vocabulary_size, model.layers[-1]
    if not isinstance(last, Dense) or last.activation not in ("none", "softmax"):
        raise UnsupportedError(
            f"{call} got a model that ends with {last.title}{_activation(last)}; expected a Dense layer with the "
            f"activation 'none' or 'softmax', whose outputs are scores or probabilities of symbols."
        )
    if model.output_size != symbols:
        raise UnsupportedError(
            f"{call} got a model that reads {counted(symbols, 'symbol')} and puts out "
            f"{counted(model.output_size, 'value')}; expected as "
            f"many: what it writes is what it reads next."
        )
    return Alphabet(symbols, model.input_size == symbols, last.activation == "softmax")


def writes(model: Model) -> bool:
    """Whether a model reads and writes symbols."""
    try:
        alphabet(model, "writes")
    except UnsupportedError:
        return False
    return True


def _activation(layer: object) -> str:
    return f" and {layer.activation!r}" if isinstance(layer, Dense) else ""


def encode(model: Model, text: Prompt, *, call: str = "encode") -> I32:
    """Numbers of the symbols of a text.

    Parameters
    ----------
    text
        A text, taken apart by the model's vocabulary, the longest symbol that fits first; or a sequence of symbols,
        by number or by text.
    call
        What to call this in messages.

    Returns
    -------
    ``(length,)`` int32.

    Raises
    ------
    InputError
        There is no vocabulary, or something is not in it.
    """
    if isinstance(text, str):
        return np.array(_taken_apart(model, text, call), np.int32)
    if not isinstance(text, (Sequence, np.ndarray)) or (isinstance(text, np.ndarray) and text.ndim != 1):
        raise InputError(f"{call} got {type(text).__name__}, expected a text or a sequence of symbols.")
    return np.array([number(model, symbol, call) for symbol in text], np.int32)


def number(model: Model, symbol: object, call: str) -> int:
    """Number of a symbol that is given by number or by text."""
    if isinstance(symbol, str):
        _check_vocabulary(model, call)
        if symbol not in model.vocabulary:
            raise InputError(f"{call} got the symbol {symbol!r}, expected one of {_spelled(model)}.")
        return model.vocabulary.index(symbol)
    if not is_whole(symbol) or not 0 <= symbol < model.vocabulary_size:
        raise InputError(f"{call} got the symbol {symbol!r}, expected a number from 0 to {model.vocabulary_size - 1}.")
    return int(symbol)


def decode(model: Model, symbols: ArrayLike) -> str:
    """The text that symbols make, by the model's vocabulary.

    Raises
    ------
    InputError
        There is no vocabulary, or there is no such symbol.
    """
    _check_vocabulary(model, "decode")
    return "".join(model.vocabulary[number(model, symbol, "decode")] for symbol in np.asarray(symbols).tolist())


def samples(found: Alphabet, symbols: I32) -> F32:
    """Samples that stand for symbols: ``(length, symbols)`` one-hot, or ``(length, 1)``."""
    if not found.one_hot:
        return symbols[:, None].astype(np.float32)
    return np.asarray(symbols[:, None] == np.arange(found.size), np.float32)


def _taken_apart(model: Model, text: str, call: str) -> list[int]:
    _check_vocabulary(model, call)
    numbers = {symbol: place for place, symbol in enumerate(model.vocabulary)}
    longest = max(map(len, numbers))
    found, place = [], 0
    while place < len(text):
        symbol = next((s for n in range(longest, 0, -1) if (s := text[place : place + n]) in numbers), None)
        if symbol is None:
            raise InputError(
                f"{call} got {text[place]!r} at place {place + 1} of the text, expected symbols out of "
                f"{_spelled(model)}."
            )
        found.append(numbers[symbol])
        place += len(symbol)
    return found


def _check_vocabulary(model: Model, call: str) -> None:
    if not model.vocabulary:
        raise InputError(
            f"{call} got a model without a vocabulary; give symbols by number, or give it one: "
            f"dataclasses.replace(model, vocabulary=...)."
        )


def _spelled(model: Model) -> str:
    shown = ", ".join(map(repr, model.vocabulary[:40]))
    return shown + (f" and {len(model.vocabulary) - 40} more" if len(model.vocabulary) > 40 else "")
