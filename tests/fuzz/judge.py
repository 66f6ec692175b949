"""What a file that loads has to do: 50 steps as the float64 reference takes them, and messages fit to be read."""

from __future__ import annotations

import unicodedata

import numpy as np

from edge_rnn import Stream, reference
from edge_rnn.errors import EdgeRnnError
from edge_rnn.layers import Embedding
from edge_rnn.model import Model

__all__ = ["LONGEST_MESSAGE", "complaint", "run"]

STEPS = 50
LONGEST_MESSAGE = 2000
LARGEST = 1_000_000
"""Most numbers of a network that is run: larger ones take seconds."""

DRIFT_FACTOR = 64
"""As in verify: how much further than rounded states alone float32's steps may go."""

_ran: set[str] = set()


def complaint(error: EdgeRnnError) -> str:
    """What is wrong with a message; empty where nothing is."""
    text = str(error)
    if len(text) > LONGEST_MESSAGE:
        return f"message of {len(text)} characters"
    if any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in text):
        return "message with control characters"
    return "" if len(text) > 10 else "message that says nothing"


def run(model: Model, number: int) -> str:
    """Run a model that was read, once for each that is another; what came of it, in a word."""
    if model.fingerprint in _ran:
        return "read again"
    _ran.add(model.fingerprint)
    if model.parameters > LARGEST or model.multiply_adds > LARGEST or sum(model.output_sizes) > LARGEST:
        return "read, too large to run"
    rng = np.random.default_rng(number)
    xs = rng.standard_normal((STEPS, model.input_size)).astype(np.float32)
    for layer, reads in zip(model.layers, model.sources, strict=True):
        if isinstance(layer, Embedding) and -1 in reads:
            xs = rng.integers(0, len(layer.weight), xs.shape).astype(np.float32)
    with np.errstate(all="ignore"):
        exact = np.array([y for y, _ in reference.steps(model, xs, np.float64)])
        rounded = np.array([y for y, _ in reference.steps(model, xs, np.float32)])
    try:
        ys = Stream(model).run(xs)
    except EdgeRnnError:
        return "ran, not finite"
    if not np.isfinite(exact).all() or np.abs(exact).max() > 1e30:
        return "ran, not finite"
    scale = np.maximum(np.abs(exact).max(axis=0), 1.0)
    drift = np.maximum.accumulate(np.abs(exact - rounded).max(axis=1, keepdims=True) / scale.max(), axis=0)
    formats = {matrix.format for layer in model.layers for matrix in layer.formats.values()}
    # Vectors of 8 bits are off by 1/254 of their range in each of a few layers, which adds up in the state.
    own = 0.1 if formats & {"int8", "w8a8", "int4"} else 1e-4
    allowed = np.where(drift < 1e-3, own + DRIFT_FACTOR * drift, np.inf)
    with np.errstate(invalid="ignore"):
        return "ran" if (np.abs(ys - exact) <= allowed * scale).all() else "WRONG NUMBERS"
