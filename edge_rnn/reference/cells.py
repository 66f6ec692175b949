"""Every kind of layer as one function in float64: recurrent cells by their equations, the others as written here.

Clarity comes before speed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_rnn.equations.activations import activated
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
    holds the layer's own states by name, each ``(H,)``. A call may also compute ``n`` independent steps, one
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
def dense(layer: Any, x: F64, state: State) -> tuple[F64, State]:
    a = layer.weight @ x + layer.bias
    return _softmax(a) if layer.activation == "softmax" else activated(layer.activation, a), state


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


def _softmax(x: F64) -> F64:
    """``exp(x) / sum(exp(x))``; the largest exponent is 0, so nothing overflows and the sum is at least 1."""
    e = np.exp(x - x.max(axis=0))
    return np.asarray(e / e.sum(axis=0))
