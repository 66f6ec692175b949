"""Reference for operators that round vectors to 8 bits dynamically: the reference with only that rounding added.

``DynamicQuantizeLinear``, and onnxruntime's ``DynamicQuantizeMatMul`` and ``DynamicQuantizeLSTM``, round the values of
a tensor to 255 steps of its own range, extended to include zero; the sums are exact integers. A rounded vector is known
here to the last bit if it is a sample, a state, or computed from these by layers without matrices: a graph given the
same states then computes the same within float32. Other vectors, such as the output of one Dense layer that another one
reads, are known up to float32 rounding. If one of their values is at a tie between two steps, a graph may correctly
round either way, and what follows cannot be compared.

Source: ONNX operator DynamicQuantizeLinear-11, https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn import reference
from edge_rnn.layers import INPUT, Layer
from edge_rnn.model import Model
from edge_rnn.typing import F32, AnyArray

__all__ = ["TOSS_UP", "RoundedReference"]

States = dict[str, AnyArray]

TOSS_UP = 2e-6
"""Distance from a rounding tie, relative to a vector's largest value, within which a value may be rounded either way.

One step in float32 is within this of the reference: sums of a few hundred terms have smaller rounding errors, and so do
tanh and sigmoid (3e-7).
"""


def _is_exact(layer: Layer) -> bool:
    """True if a layer consists of single float32 operations, which are the same everywhere."""
    return not layer.matrices and layer.graph is None


class _Rounding:
    """Matrix ``(R, K)`` that rounds vectors to 8 bits before the product."""

    def __init__(self, matrix: AnyArray) -> None:
        self._matrix = matrix
        self.begin(None, [])

    def begin(self, span: AnyArray | None, known: list[AnyArray]) -> None:
        """Prepare for products.

        Parameters
        ----------
        span
            Vectors that share a range, ``(n, K)``; None: each vector has its own range.
        known
            Vectors that are known to the last bit.
        """
        self._span = None if span is None else span.astype(np.float32)
        self._known = [each.astype(np.float32) for each in known]
        self.toss_up = False  # True once a value at a rounding tie has been seen

    def __matmul__(self, vector: AnyArray) -> AnyArray:
        x = vector.astype(np.float32)
        step, zero, beyond = _range(x if self._span is None else self._span)
        if not any(np.array_equal(x, known) for known in self._known):
            largest = float(np.abs(x).max())
            middle = np.abs(np.abs(vector / step) % 1 - 0.5) * step <= TOSS_UP * largest if step > 0 else np.False_
            self.toss_up |= bool(middle.any()) or beyond
        whole = np.clip(np.rint(x / step), -zero, 255 - zero) if step > 0 else np.zeros_like(x)
        product: AnyArray = self._matrix @ (whole * np.float64(step))
        return product


def _range(values: AnyArray) -> tuple[Any, Any, bool]:
    """Step and zero point of float32 values, in float32 arithmetic; and whether the zero point is at a tie.

    If the values are so small that the step underflows to 0, they count as zeros.
    """
    low, high = np.minimum(values.min(), 0), np.maximum(values.max(), 0)
    step = (high - low) / np.float32(255) if high > low else np.float32(1)
    place = np.clip(-low / step, 0, 255) if step > 0 else np.float32(0)
    return step, np.rint(place), bool(abs(place % 1 - 0.5) <= 255 * TOSS_UP)


class RoundedReference:
    """Reference of a model in which some matrices are applied to rounded vectors.

    Parameters
    ----------
    model
        The model with the weights that a graph stores.
    matrices
        Matrices applied to rounded vectors, by layer and field.
    """

    def __init__(self, model: Model, matrices: Mapping[str, Mapping[str, ArrayLike]]) -> None:
        self._model = model
        self._layers: list[tuple[Layer, SimpleNamespace, dict[str, _Rounding]]] = []
        for layer in model.layers:
            wide = reference.wide(layer, np.float32 if _is_exact(layer) else np.float64)
            found = matrices.get(layer.name, {})
            made = {name: _Rounding(np.asarray(matrix, np.float64)) for name, matrix in found.items()}
            vars(wide).update(made)
            self._layers.append((layer, wide, made))

    def steps(
        self, xs: F32, state: Mapping[str, AnyArray], seen: Mapping[str, AnyArray] | None = None
    ) -> tuple[AnyArray, States, bool]:
        """Take steps in which the input vectors of each layer share one range, as in one call of a graph.

        Parameters
        ----------
        xs
            ``(time, input_size)``.
        state
            Float32 states before the first step.
        seen
            For a single step: float32 states of the graph after it. Later layers read these, so a difference in one
            layer's rounding is not attributed to the next.

        Returns
        -------
        ys, state, toss_up
            ``(time, output_size)`` float64; the states after the last step; True if a value was at a rounding tie on
            the way.
        """
        outputs: list[AnyArray] = []
        exact: list[bool] = []
        new: States = {}
        toss_up = False
        for (layer, wide, made), sources in zip(self._layers, self._model.sources, strict=True):
            reads = np.concatenate([xs if i < 0 else outputs[i] for i in sources], axis=1)
            known = all(i < 0 or exact[i] for i in sources)
            own = {key: state[f"{layer.name}.{key}"] for key in layer.initial_state}
            for name, each in made.items():
                if (vector := layer.matrices[name]) != INPUT:
                    each.begin(None, [own[vector]] if vector else [])
                else:
                    each.begin(reads, list(reads) if known else [])
            ys = []
            for x in reads.astype(np.float32) if _is_exact(layer) else reads:
                y, own = reference.layer_step(wide, x, own)
                ys.append(np.asarray(y, np.float64))
            toss_up |= any(each.toss_up for each in made.values())
            new |= {f"{layer.name}.{key}": value for key, value in own.items()}
            observed = seen is not None and bool(layer.emits)
            outputs.append(seen[f"{layer.name}.{layer.emits}"][None] if seen is not None and observed else np.array(ys))
            exact.append(observed or (known and _is_exact(layer)))
        return np.array(ys), new, toss_up
