"""Magnitudes of a network's values: the scale for differences caused by rounding.

A sum is rounded relative to its terms, however small the sum itself is, and its terms have errors of their own. The
magnitude of a channel (one output, one unit) is therefore the sum of the magnitudes that enter it, each at its largest
in the run; at most 1 after a function bounded by 1; and never less than the channel's own peak.

Source: N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed. (2002), section 3.1: the error of an
inner product is bounded by a multiple of the sum of the absolute values of its terms.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.layers import Add, Cell, Dense, Layer, Recurrent, Standardize
from edge_rnn.model import Model
from edge_rnn.typing import AnyArray

__all__ = ["magnitudes"]


_FLOOR = 1e-30
"""Lower bound: float32 loses digits below 1e-38, so a relative 1e-5 of less than this cannot be compared."""

_ACTIVATION_FLOOR = 0.1
"""Lower bound after tanh and sigmoid in a cell, and after a sigmoid.

Fast implementations are exact to about 1e-7 of 1 (onnxruntime's in its cells, and its Sigmoid: 7e-8; the kernels':
3e-7), however small the value is: 1e-6 at a tolerance of 1e-5.
"""


def magnitudes(model: Model, xs: AnyArray, peaks: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Compute the magnitude of each channel of the output and of each state.

    Parameters
    ----------
    xs
        ``(time, input_size)``, the samples of the run.
    peaks
        Largest absolute values in the run, float64 ``(size,)``, by name: ``"y"`` and the states (``"gru1.h"``).

    Returns
    -------
    dict
        Positive magnitudes by the same names, at least as large as the peaks.
    """
    # (low, high) of each layer by index; the samples are index -1 in sources.
    ranges: list[tuple[AnyArray, AnyArray]] = []
    samples = (xs.min(axis=0).astype(np.float64), xs.max(axis=0).astype(np.float64))
    found: dict[str, AnyArray] = {}
    for layer, sources in zip(model.layers, model.sources, strict=True):
        reads = [samples if place < 0 else ranges[place] for place in sources]
        own = {key: peaks[f"{layer.name}.{key}"] for key in layer.initial_state}
        last = layer is model.layers[-1]
        low, high = (np.concatenate(ends) for ends in zip(*reads, strict=True))
        size, states = _of_layer(layer, low, high, own, peaks["y"] if last else None)
        found |= {f"{layer.name}.{key}": value for key, value in states.items()}
        ranges.append((-size, size))
    found["y"] = np.maximum(ranges[-1][1], peaks["y"])
    return {name: np.maximum(found[name], _FLOOR) for name in peaks}


def _of_layer(
    layer: Layer, low: AnyArray, high: AnyArray, states: Mapping[str, AnyArray], peak: AnyArray | None
) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Magnitudes of a layer's output and states; ``peak`` is that of its output, if known."""
    largest = np.maximum(np.abs(low), np.abs(high))
    if isinstance(layer, Recurrent):
        started = np.maximum(states["h"], np.abs(layer.initial_state["h"]))
        terms = _matrix(layer.weight_ih, largest, layer.bias_ih) + _matrix(layer.weight_hh, started, layer.bias_hh)
        sums = terms.reshape(len(layer.gates), -1).max(axis=0)
        if layer.output_bound is not None:
            sums = np.clip(sums, _ACTIVATION_FLOOR, 1.0)
        projection = getattr(layer, "weight_hr", None)
        put_out = {} if projection is None else {"h": _matrix(projection, sums, None)}
        measures = {key: np.maximum(put_out.get(key, sums), value) for key, value in states.items()}
        return measures["h"], measures
    if isinstance(layer, Cell):
        return _of_equation(layer, largest, states)
    if isinstance(layer, Dense):
        return _activated(layer, _matrix(layer.weight, largest, layer.bias), peak), {}
    if isinstance(layer, Standardize):
        # A sample minus the mean is rounded relative to the difference, not to the two operands.
        return np.maximum(np.abs(low - layer.mean), np.abs(high - layer.mean)) / np.abs(layer.scale), {}
    if isinstance(layer, Add):
        return largest.reshape(len(layer.inputs), -1).sum(axis=0), {}
    measures = {key: np.maximum(value, 1.0) for key, value in states.items()}
    return np.ones(layer.output_size([len(low)])), measures


def _of_equation(
    layer: Cell, largest: AnyArray, states: Mapping[str, AnyArray]
) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Measures of what a cell computes, operation by operation."""
    found: list[AnyArray] = []
    for node in layer.graph.nodes:
        args = [found[place] for place in node.args]
        if node.op == "input":
            measure = largest
        elif node.op == "state":
            measure = np.maximum(states[node.name], np.abs(layer.initial_state[node.name]))
        elif node.op == "number":
            measure = np.array(abs(node.number))
        elif node.op == "parameter":
            measure = np.abs(np.asarray(getattr(layer, node.name), np.float64))
        elif node.op == "product":
            measure = _matrix(getattr(layer, node.name), args[0], None)
        elif node.op == "part":
            measure = args[0][node.start :][: node.shape[0]]
        elif node.op == "concat":
            measure = np.concatenate(args)
        elif node.op in ("add", "sub"):
            measure = args[0] + args[1]
        elif node.op == "mul":
            measure = args[0] * args[1]
        elif node.op == "total":
            measure = args[0].sum()
        elif node.op == "largest":
            measure = args[0].max()
        elif node.op in ("minimum", "maximum", "absolute", "above"):
            measure = np.maximum.reduce(np.broadcast_arrays(*args))
        elif node.op in ("tanh", "sigmoid"):
            measure = np.clip(args[0], _ACTIVATION_FLOOR, 1.0)
        else:  # what may magnify an error by any factor
            measure = np.maximum.reduce([np.ones(node.shape), *np.broadcast_arrays(*args)])
        found.append(np.broadcast_to(measure, node.shape))
    new = {name: np.maximum(found[place], states[name]) for name, place in layer.graph.new_states.items()}
    return found[layer.graph.output], new


def _matrix(weight: ArrayLike, values: AnyArray, bias: AnyArray | None) -> AnyArray:
    terms = np.abs(np.asarray(weight)).astype(np.float64) @ values
    return np.asarray(terms if bias is None else terms + np.abs(bias))


def _activated(layer: Dense, sums: AnyArray, peak: AnyArray | None) -> AnyArray:
    """Magnitudes after the activation: how far an error of a sum moves the output."""
    if layer.activation in ("none", "relu"):
        return sums
    if layer.activation in ("sigmoid", "softmax") and peak is not None:
        # Both move by at most their value times the errors of the sums.
        moved = 2.0 * sums.max() if layer.activation == "softmax" else sums
        sums = peak * (1.0 + moved)
    elif layer.activation != "tanh":
        sums = np.ones_like(sums)
    return np.clip(sums, _ACTIVATION_FLOOR if layer.activation == "sigmoid" else 0.0, 1.0)
