"""Output of an exported graph: the model's own, scores, probabilities, or additionally the best symbol.

A program that generates text often samples from scores itself, or always takes the best symbol, which the graph can
choose: :data:`GREEDY_CODE` is such a program.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from edge_rnn.checks import choice
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import Dense
from edge_rnn.model import Model
from edge_rnn.sampling.symbols import alphabet, samples
from edge_rnn.typing import F32

__all__ = ["GREEDY_CODE", "HEADS", "NEXT", "SESSION_CODE", "SYMBOL", "Head", "head_of", "symbols_of", "with_head"]

Head = Literal["model", "logits", "probabilities", "greedy"]
HEADS: tuple[str, ...] = get_args(Head)

SYMBOL, NEXT = "symbol", "next_symbol"
"""Input and output of a greedy graph, besides its states and ``y``."""

SESSION_CODE = """\
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # a small step is over before a second thread wakes up
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])

"""
"""Beginning of a program that runs a graph."""

GREEDY_CODE = (
    "import json\n\n"
    + SESSION_CODE
    + """\
description = json.loads(session.get_modelmeta().custom_metadata_map["edge_rnn"])
vocabulary = description["vocabulary"]
states = {node.name: np.zeros((1, 1, node.shape[2]), np.float32) for node in session.get_inputs()[1:]}
outputs = ["next_symbol", *(f"{name}_out" for name in states)]
for name, value in description["initial_state"].items():  # trained ones, if any
    states[name][0, 0] = value


def read(symbol):
    best, *new = session.run(outputs, {"symbol": np.array([[symbol]]), **states})
    states.update(zip(states, new))
    return int(best[0, 0])


def write(prompt, length, stop=()):
    for letter in prompt:
        symbol = read(vocabulary.index(letter))
    text = ""
    while True:
        text += vocabulary[symbol]
        if len(text) == length or text.endswith(tuple(stop)):
            return text
        symbol = read(symbol)
"""
)
"""Example program that generates text with a greedy step graph, onnxruntime and NumPy; one letter per symbol."""


def with_head(model: Model, head: str, call: str = "to_onnx") -> Model:
    """Return the model that a graph with this output computes in ``y``.

    Parameters
    ----------
    head
        ``"model"`` or ``"greedy"``: unchanged. ``"logits"``: without the softmax of the last layer,
        ``"probabilities"``: with one; unchanged if that is so already.

    Raises
    ------
    InputError
        ``head`` is none of these.
    UnsupportedError
        The last layer has another activation, or is not a Dense layer; for ``"greedy"``, the model's outputs are not
        the symbols that it reads.
    """
    choice(call, "head", head, HEADS)
    if head == "model":
        return model
    if head == "greedy":
        alphabet(model, call)
        return model
    last = model.layers[-1]
    if not isinstance(last, Dense) or last.activation not in ("none", "softmax"):
        raise UnsupportedError(
            f"{call} got the head {head!r} for a model that ends with {last.title}; expected a Dense layer with the "
            f"activation 'none' or 'softmax'."
        )
    wanted = "none" if head == "logits" else "softmax"
    if last.activation == wanted:
        return model
    return replace(model, layers=(*model.layers[:-1], replace(last, activation=wanted)))


def head_of(found: Mapping[str, str], key: str) -> Head:
    """The head in a graph's metadata under ``key``; ``"model"`` if missing."""
    try:
        told = json.loads(found.get(key, "{}"))
    except (ValueError, RecursionError):
        return "model"
    head = told.get("head") if isinstance(told, dict) else None
    return cast("Head", head) if head in HEADS else "model"


def symbols_of(model: Model, xs: F32) -> NDArray[np.int64]:
    """Return the symbol ids ``(time,)`` of samples.

    Raises
    ------
    InputError
        A sample does not stand for a symbol.
    """
    known = alphabet(model, "verify")
    symbols = xs.argmax(axis=1) if known.one_hot else np.clip(np.rint(xs[:, 0]), 0, known.size - 1)
    wrong = (samples(known, symbols.astype(np.int32)) != xs).any(axis=1)
    if wrong.any():
        raise InputError(
            f"verify xs holds {xs[int(wrong.argmax())]} at row {int(wrong.argmax())}, expected samples that stand for "
            f"symbols: the graph reads symbols by id."
        )
    return symbols.astype(np.int64)
