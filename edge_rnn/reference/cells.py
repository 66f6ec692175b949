"""Every kind of layer as one function in float64, easy to check against the paper that the layer's class cites.

Clarity comes before speed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_rnn.activation import parse
from edge_rnn.equations.evaluation import evaluate
from edge_rnn.equations.graph import Graph
from edge_rnn.typing import F64

__all__ = ["CELLS", "Cell", "State", "of_equation"]

State = dict[str, F64]
Cell = Callable[[Any, F64, State], tuple[F64, State]]

CELLS: dict[str, Cell] = {}
"""Functions by kind of layer, in lower case."""


def _cell(function: Cell) -> Cell:
    """Register ``function(layer, x, state) -> (y, state)`` for the kind of layer that the function is named after.

    ``layer`` has the fields of the layer's class, arrays as float64 and absent ones as 0; ``x`` is ``(I,)``; ``state``
    holds the layer's own arrays, ``h`` and ``c``, each ``(H,)``. A call may also compute ``n`` independent steps, one
    per column: ``x`` is ``(I, n)``, vectors of the layer are ``(H, 1)``, states ``(H, n)``.
    """
    CELLS[function.__name__] = function
    return function


def of_equation(graph: Graph) -> Cell:
    """Make the function of a layer that is defined by an equation."""

    def cell(layer: Any, x: F64, state: State) -> tuple[F64, State]:
        return evaluate(graph, vars(layer), x, state)

    return cell


@_cell
def elman(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    a = layer.weight_ih @ x + layer.bias_ih + layer.weight_hh @ state["h"] + layer.bias_hh
    h = _activated(layer.activation, _clipped(a, layer.gate_clip))
    return h, {"h": h}


@_cell
def lstm(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    i, f, g, o = np.split(layer.weight_ih @ x + layer.bias_ih + layer.weight_hh @ state["h"] + layer.bias_hh, 4)
    p_i, p_f, p_o = np.split(layer.peephole, 3) if np.ndim(layer.peephole) else (0.0, 0.0, 0.0)
    i = _activated(layer.gate_activation, _clipped(i + p_i * state["c"], layer.gate_clip))
    f = _activated(layer.gate_activation, _clipped(f + p_f * state["c"], layer.gate_clip))
    if layer.coupled == "input":
        i = 1 - f
    elif layer.coupled == "forget":
        f = 1 - i
    c = f * state["c"] + i * _activated(layer.cell_activation, _clipped(g, layer.gate_clip))
    c = _clipped(c, layer.cell_clip)
    o = _activated(layer.gate_activation, _clipped(o + p_o * c, layer.gate_clip))
    h = o * _activated(layer.output_activation, c)
    if np.ndim(layer.weight_hr):
        h = _clipped(layer.weight_hr @ h, layer.projection_clip)
    return h, {"h": h, "c": c}


@_cell
def gru(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    h = state["h"]
    x_r, x_z, x_n = np.split(layer.weight_ih @ x + layer.bias_ih, 3)
    h_r, h_z, h_n = np.split(layer.weight_hh @ h + layer.bias_hh, 3)
    r = _activated(layer.gate_activation, _clipped(x_r + h_r, layer.gate_clip))
    z = _activated(layer.gate_activation, _clipped(x_z + h_z, layer.gate_clip))
    candidate = r * h_n if layer.reset_after else np.split(layer.weight_hh @ (r * h) + layer.bias_hh, 3)[2]
    n = x_n + candidate
    n = _activated(layer.candidate_activation, _clipped(n, layer.gate_clip))
    h = (1 - z) * n + z * h
    return h, {"h": h}


@_cell
def dense(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    a = layer.weight @ x + layer.bias
    return _softmax(a) if layer.activation == "softmax" else _activated(layer.activation, a), state


@_cell
def embedding(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    place = np.clip(np.rint(np.nan_to_num(x[0])), 0, len(layer.weight) - 1).astype(int)
    return np.where(np.isnan(x[0]), np.nan, layer.weight[place].T), state


@_cell
def standardize(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    return (x - layer.mean) / layer.scale, state


@_cell
def add(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    return x.reshape(len(layer.inputs), -1, *x.shape[1:]).sum(axis=0), state


def _sigmoid(x: F64) -> F64:
    """``1 / (1 + exp(-x))``; exp gets no positive argument, so nothing overflows and small results stay exact."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def _softmax(x: F64) -> F64:
    """``exp(x) / sum(exp(x))``; the largest exponent is 0, so nothing overflows and the sum is at least 1."""
    e = np.exp(x - x.max(axis=0))
    return np.asarray(e / e.sum(axis=0))


_ACTIVATIONS: dict[str, Callable[..., F64]] = {
    "none": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": lambda x: np.maximum(x, 0.0),
    "hard_sigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0.0, 1.0),
    "leaky_relu": lambda x, alpha: np.where(x >= 0, x, alpha * x),
    "elu": lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0))),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
    "scaled_tanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "thresholded_relu": lambda x, alpha: np.where(x > alpha, x, 0.0),
}


def _activated(text: str, x: F64) -> F64:
    """Apply an activation, spelled as in :mod:`edge_rnn.activation`."""
    activation = parse(text)
    return _ACTIVATIONS[activation.name](x, *activation.parameters)


def _clipped(x: F64, limit: float) -> F64:
    """Clip ``x`` to ``-limit .. limit``; 0 stands for no limit."""
    return np.clip(x, -limit, limit) if limit else x
