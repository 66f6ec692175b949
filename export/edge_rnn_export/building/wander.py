"""How far apart two right libraries of one network may come: the reference, with values that stand at a toss-up.

Machines add in other orders and approximate tanh each in their own way, so a value that is about to be rounded to a
step may fall to either side on another machine. Here that is brought about: of each vector that is multiplied with a
matrix some values, at random, are moved by one step of what the matrix's format rounds vectors to. What comes of it,
network, state and all, is what a self-test has to allow.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from edge_rnn import reference
from edge_rnn.formats import STEPS
from edge_rnn.layers import INPUT, Layer
from edge_rnn.model import Model
from edge_rnn.typing import F32, F64, AnyArray

__all__ = ["wander"]


_NOISE = 3e-7
"""By how much values in float32 differ: of the largest, and of 1 behind tanh and sigmoid."""

_RUNS = 12
_LEAST_MOVED = 1
"""Values of a vector that are moved in each step, on average at least; at 16 bits one in fifty is at a toss-up."""


class _Moved:
    """A matrix ``(R, K)`` whose vectors are moved on their way to it."""

    def __init__(self, matrix: AnyArray, format_: str, limit: float | None, generator: np.random.Generator) -> None:
        self._matrix, self._limit, self._generator = matrix, limit, generator
        self._steps = STEPS.get(format_)

    def __matmul__(self, vector: AnyArray) -> AnyArray:
        random = self._generator.random(vector.shape)
        sign = np.sign(random - 0.5)
        largest = float(np.abs(vector).max(initial=0.0))
        moved = vector + _NOISE * max(largest, 1.0) * sign
        if self._steps is not None:
            step = max(largest, self._limit or 0.0) / self._steps
            share = max(2 * _NOISE * self._steps, _LEAST_MOVED / vector.size)
            moved = np.where(np.abs(2 * random - 1) < share, vector + step * sign, moved)
        product: AnyArray = self._matrix @ moved
        return product


def wander(model: Model, samples: F32, seed: int = 0) -> F64:
    """Largest difference of an output from the reference, step by step.

    Returns
    -------
    ``(time,)`` float64: over some runs, state carried.
    """
    ys, _ = reference.run(model, samples)
    most = np.zeros(len(samples))
    for run in range(_RUNS):
        generator = np.random.default_rng((seed, run))
        layers = [_layer(model, place, generator) for place in range(len(model.layers))]
        state = reference.initial_state(model)
        for t, x in enumerate(samples.astype(np.float64)):
            outputs: list[AnyArray] = []
            for (layer, wide), sources in zip(layers, model.sources, strict=True):
                reads = np.concatenate([x if i < 0 else outputs[i] for i in sources])
                own = {key: state[f"{layer.name}.{key}"] for key in layer.initial_state}
                y, own = reference.layer_step(wide, reads, own)
                outputs.append(y)
                state |= {f"{layer.name}.{key}": value for key, value in own.items()}
            most[t] = max(most[t], float(np.abs(outputs[-1] - ys[t]).max()))
    return most


def _layer(model: Model, place: int, generator: np.random.Generator) -> tuple[Layer, SimpleNamespace]:
    layer = model.layers[place]
    wide = reference.wide(layer)
    bounds = [None if i < 0 else model.layers[i].rounding_bound for i in model.sources[place]]
    reads = None if None in bounds else max(bound for bound in bounds if bound is not None)
    for name in layer.matrices:
        matrix = layer.formats.get(name)
        limits = [
            getattr(matrix, "input_range", None),
            reads if layer.matrices[name] == INPUT else layer.rounding_bound,
        ]
        known = [limit for limit in limits if limit is not None]
        limit = min(known) if known else None
        format_ = matrix.format if matrix is not None else "float32"
        setattr(wide, name, _Moved(getattr(wide, name), format_, limit, generator))
    return layer, wide
