"""Difference between correct libraries of the same network: the reference with values perturbed at rounding ties.

Machines differ in summation order and in their approximation of tanh, so a value close to the middle between two
quantization steps may be rounded either way. This is simulated here: in each vector that is multiplied by a matrix,
some random values are moved by one quantization step of the matrix's format. The effect on the outputs, with network
and state included, is what a self-test has to allow.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from edge_rnn import reference
from edge_rnn.layers import INPUT, Layer
from edge_rnn.model import Model
from edge_rnn.typing import F32, F64, AnyArray

__all__ = ["wander"]


_NOISE = 3e-7
"""Difference between float32 implementations: relative to the largest value, and to 1 after tanh and sigmoid."""

_RUNS = 12
_LEAST_MOVED = 1
"""Minimum average number of moved values per vector and step; at 16 bits one value in fifty is near a tie."""


class _Moved:
    """Matrix ``(R, K)`` that perturbs each vector before the product."""

    def __init__(
        self, matrix: AnyArray, steps: int | None, limit: float | None, generator: np.random.Generator
    ) -> None:
        self._matrix, self._limit, self._generator = matrix, limit, generator
        self._steps = steps

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
    """Largest difference of any output from the reference, step by step.

    Returns
    -------
    ``(time,)`` float64: maximum over several runs with carried state.
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
        steps = matrix.vector_steps if matrix is not None else None
        setattr(wide, name, _Moved(getattr(wide, name), steps, limit, generator))
    return layer, wide
