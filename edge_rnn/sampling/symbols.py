"""Conversion between texts, symbol ids, and the samples that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.checks import is_whole
from edge_rnn.errors import InputError, InputTypeError, UnsupportedError
from edge_rnn.layers import Dense
from edge_rnn.model import Model
from edge_rnn.spelling import counted
from edge_rnn.typing import F32, I32

__all__ = ["Alphabet", "Prompt", "alphabet", "decode", "encode", "number", "samples", "writes"]

Prompt = str | Sequence[int] | Sequence[str] | NDArray[np.integer]
"""A text, symbol ids, or symbols as texts."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Representation of symbols at a model's input and output.

    Parameters
    ----------
    size
        Number of symbols.
    one_hot
        True if samples are one-hot; otherwise a sample is the symbol id.
    shares_given
        True if the outputs are probabilities; otherwise they are scores.
    """

    size: int
    one_hot: bool
    shares_given: bool


def alphabet(model: Model, call: str) -> Alphabet:
    """Return how a model reads and writes symbols; raise UnsupportedError if it does not do both."""
    symbols, last = model.vocabulary_size, model.layers[-1]
    if not isinstance(last, Dense) or last.activation not in ("none", "softmax"):
        raise UnsupportedError(
            f"{call} got a model that ends with {last.title}{_activation(last)}; expected a Dense layer with the "
            "activation 'none' or 'softmax', whose outputs are scores or probabilities of symbols."
        )
    if model.output_size != symbols:
        raise UnsupportedError(
            f"{call} got a model that reads {counted(symbols, 'symbol')} and outputs "
            f"{counted(model.output_size, 'value')}; expected one output per symbol, since each written symbol is "
            "the next one it reads."
        )
    return Alphabet(symbols, model.input_size == symbols, last.activation == "softmax")


def writes(model: Model) -> bool:
    """True if a model reads and writes symbols."""
    try:
        alphabet(model, "writes")
    except UnsupportedError:
        return False
    return True


def _activation(layer: object) -> str:
    return f" and {layer.activation!r}" if isinstance(layer, Dense) else ""


def encode(model: Model, text: Prompt, *, call: str = "encode") -> I32:
    """Encode a text as symbol ids.

    Parameters
    ----------
    text
        A text, split by the model's vocabulary with the longest match first; or a sequence of symbols, as ids or texts.
    call
        Name of the caller in error messages.

    Returns
    -------
    ``(length,)`` int32.

    Raises
    ------
    InputError
        The model has no vocabulary, or a symbol is not in it.
    """
    if isinstance(text, str):
        return np.array(_taken_apart(model, text, call), np.int32)
    if not isinstance(text, (Sequence, np.ndarray)) or (isinstance(text, np.ndarray) and text.ndim != 1):
        raise InputTypeError(f"{call} got {type(text).__name__}, expected a text or a sequence of symbols.")
    return np.array([number(model, symbol, call) for symbol in text], np.int32)


def number(model: Model, symbol: object, call: str) -> int:
    """Id of a symbol that is given as an id or as text."""
    if isinstance(symbol, str):
        _check_vocabulary(model, call)
        if symbol not in model.vocabulary:
            raise InputError(f"{call} got the symbol {symbol!r}, expected one of {_spelled(model)}.")
        return model.vocabulary.index(symbol)
    if not is_whole(symbol) or not 0 <= symbol < model.vocabulary_size:
        raise InputError(f"{call} got the symbol {symbol!r}, expected a number from 0 to {model.vocabulary_size - 1}.")
    return int(symbol)


def decode(model: Model, symbols: ArrayLike) -> str:
    """Decode symbol ids to a text with the model's vocabulary.

    Raises
    ------
    InputError
        The model has no vocabulary, or an id is out of range.
    """
    _check_vocabulary(model, "decode")
    return "".join(model.vocabulary[number(model, symbol, "decode")] for symbol in np.asarray(symbols).tolist())


def samples(found: Alphabet, symbols: I32) -> F32:
    """Samples for symbols: ``(length, symbols)`` one-hot, or ``(length, 1)`` ids."""
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
                f"{call} got {text[place]!r} at position {place + 1} of the text, expected symbols from "
                f"{_spelled(model)}."
            )
        found.append(numbers[symbol])
        place += len(symbol)
    return found


def _check_vocabulary(model: Model, call: str) -> None:
    if not model.vocabulary:
        raise InputError(
            f"{call} got a model without a vocabulary; pass symbol ids, or add one: dataclasses.replace(model, "
            "vocabulary=...)."
        )


def _spelled(model: Model) -> str:
    shown = ", ".join(map(repr, model.vocabulary[:40]))
    return shown + (f" and {len(model.vocabulary) - 40} more" if len(model.vocabulary) > 40 else "")
