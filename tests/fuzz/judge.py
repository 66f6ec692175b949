"""Judge a file that loads: 50 steps compared with its formats in float64, and readable messages."""

from __future__ import annotations

import unicodedata

import numpy as np

from edge_rnn import Stream, reference
from edge_rnn.errors import EdgeRnnError
from edge_rnn.formats import SMALLEST_RANGE, format_of
from edge_rnn.layers import INPUT, Embedding
from edge_rnn.model import Model
from edge_rnn.typing import AnyArray

__all__ = ["LONGEST_MESSAGE", "complaint", "run"]

STEPS = 50
LONGEST_MESSAGE = 2000
LARGEST = 1_000_000
"""Most numbers of a network that is run: larger ones take seconds."""

STEPS_OF = {"int8": 32639, "int4": 32639, "w8a8": 127}
"""Steps to either side of zero that vectors are rounded to before a matrix of this format is multiplied with them."""

OWN = 1e-5
"""Of an output's largest value: what a stream may be off by in any case."""

NOISE = 3e-7
"""Five roundings in float32, of the largest value."""

RUNS = 8
"""How often the noise is drawn."""

APART_FACTOR = 16
"""How much further than they are from each other a stream may be from the exact one."""

LARGEST_APART = 1e-2
"""Of an output's largest value: runs that are as far from each other say nothing any more."""

STEEPEST = 1e18
"""Largest weight with which runs are compared: beyond it each unit is at one of its ends, by the sign of a rounding."""

_ran: set[str] = set()


def complaint(error: EdgeRnnError) -> str:
    """Complaint about a message; empty if there is none."""
    text = str(error)
    if len(text) > LONGEST_MESSAGE:
        return f"message of {len(text)} characters"
    if any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in text):
        return "message with control characters"
    return "" if len(text) > 10 else "message that says nothing"


def run(model: Model, number: int) -> str:
    """Run a model that was read, unless an equal one was run before; return the outcome in a word."""
    if model.fingerprint in _ran:
        return "read again"
    _ran.add(model.fingerprint)
    if model.num_parameters > LARGEST or model.multiply_adds > LARGEST or sum(model.output_sizes) > LARGEST:
        return "read, too large to run"
    rng = np.random.default_rng(number)
    xs = rng.standard_normal((STEPS, model.input_size)).astype(np.float32)
    for layer, reads in zip(model.layers, model.sources, strict=True):
        if isinstance(layer, Embedding) and -1 in reads:
            xs = rng.integers(0, len(layer.weight), xs.shape).astype(np.float32)
    try:
        ys = Stream(model).run(xs)
    except EdgeRnnError:
        return "ran, not finite"
    if _steepest(model) > STEEPEST:
        return "ran, too steep to compare"
    with np.errstate(all="ignore"):
        exact = _steps(model, xs)
        if not np.isfinite(exact).all() or np.abs(exact).max() > 1e30:
            return "ran, not finite"
        scale = np.maximum(np.abs(exact).max(axis=0), 1.0)
        off = (np.abs(ys - exact) / scale).max(axis=1)
        if (off <= OWN).all():
            return "ran"
        others = [_steps(model, xs, np.random.default_rng((number, each))) for each in range(RUNS)]
        apart = np.max([(np.abs(other - exact) / scale).max(axis=1) for other in others], axis=0)
    apart = np.maximum.accumulate(np.where(np.isfinite(apart), apart, np.inf))
    told = apart < LARGEST_APART  # from there on the model's own numbers depend on how sums are rounded
    return "WRONG NUMBERS" if (off[told] > OWN + APART_FACTOR * apart[told]).any() else "ran"


def _steepest(model: Model) -> float:
    """Largest absolute value of a weight, also in factors of a matrix."""
    found = 0.0
    for layer in model.layers:
        arrays = [
            each for each in vars(reference.wide(layer)).values() if isinstance(each, np.ndarray) and each.ndim == 2
        ]
        found = max([found, *(float(np.abs(array).max(initial=0)) for array in arrays)])
    return found


class _Product:
    """Matrix that rounds vectors by its format, and whose products have the error of float32.

    Parameters
    ----------
    matrix
        ``(R, K)`` float64.
    format_
        Its name.
    limit
        The largest that values of the vector can be; None: each vector's own.
    rng
        Where the noise comes from; None: there is none.
    """

    def __init__(self, matrix: AnyArray, format_: str, limit: float | None, rng: np.random.Generator | None) -> None:
        self.matrix, self.rng = matrix, rng
        self.limit = None if limit is None else max(limit, SMALLEST_RANGE)
        self.steps, self.exact = STEPS_OF.get(format_, 0), format_ in ("int8", "w8a8")

    def __matmul__(self, vector: AnyArray) -> AnyArray:
        vector = noisy(vector, self.rng)
        if self.steps:
            step = (self.limit or max(float(np.abs(vector).max()), SMALLEST_RANGE)) / self.steps
            vector = np.clip(np.rint(vector / step), -self.steps, self.steps) * step
        product: AnyArray = self.matrix @ vector
        if self.rng is None:
            return product
        # Float32 rounds every partial sum, however little is left of it in the end; whole numbers are summed exactly.
        size = np.abs(product) if self.exact else np.abs(self.matrix) @ np.abs(vector)
        return np.asarray(product + NOISE * self.rng.uniform(-1, 1, product.shape) * size)


def noisy(values: AnyArray, rng: np.random.Generator | None) -> AnyArray:
    """Add the error of some roundings of the largest value, or of 1, if there is noise.

    Of 1, since a small state may be what is left of two terms of that size, each of them rounded.
    """
    if rng is None:
        return values
    return np.asarray(values + NOISE * max(float(np.abs(values).max()), 1.0) * rng.uniform(-1, 1, values.shape))


def _steps(model: Model, xs: AnyArray, rng: np.random.Generator | None = None) -> AnyArray:
    """Outputs ``(time, output_size)`` float64, with products computed as the formats define."""
    layers = []
    for layer, places in zip(model.layers, model.sources, strict=True):
        wide = reference.wide(layer)
        bounds = [None if place < 0 else model.layers[place].rounding_bound for place in places]
        known = [bound for bound in bounds if bound is not None]
        reads = max(known) if len(known) == len(bounds) else None
        for name in layer.matrices:
            matrix = layer.formats.get(name)
            limits = [
                getattr(matrix, "input_range", None),
                reads if layer.matrices[name] == INPUT else layer.rounding_bound,
            ]
            limit = min((each for each in limits if each is not None), default=None)
            array = getattr(wide, name)
            if np.ndim(array) == 2 and layer.kind != "Embedding":
                setattr(wide, name, _Product(array, format_of(matrix), limit, rng))
        for name, array in layer.arrays.items():
            if np.ndim(array) == 1 and name not in layer.initial_state:
                setattr(wide, name, noisy(getattr(wide, name), rng))
        layers.append(wide)
    state, ys = reference.initial_state(model), []
    for x in xs.astype(np.float64):
        outputs: list[AnyArray] = []
        for layer, wide, places in zip(model.layers, layers, model.sources, strict=True):
            given = np.concatenate([x if place < 0 else outputs[place] for place in places])
            own = {key: state[f"{layer.name}.{key}"] for key in layer.initial_state}
            y, own = reference.layer_step(wide, given, own)
            outputs.append(y)
            state |= {f"{layer.name}.{key}": noisy(value, rng) for key, value in own.items()}
        ys.append(outputs[-1])
    return np.array(ys)
