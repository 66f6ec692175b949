"""Bounds of the rounding error of an equation, derived operation by operation, none of them tuned.

Each float64 value has a bound of its distance from the value of a float32 program, for any order of additions and any
fused multiply-adds: an operation propagates the bounds of its arguments by its largest slope between them, and adds its
own rounding. A matrix in a format that rounds vectors adds half a step of its range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from edge_rnn.equations.bounds import Rule, intervals, kept_intervals, parameter_intervals
from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import EVERYTHING, OPERATIONS
from edge_rnn.formats import Matrix
from edge_rnn.layers import Cell

UNIT = 2.0**-24
"""Half a unit in the last place of float32, of 1."""
TINY = 1e-37
"""Numbers that are flushed to zero are smaller."""

Bounded = tuple[Any, Any, Any]
"""A value, the bound of its error, and the sum of the sizes of the terms that it is the sum of."""


def _sum(a: Bounded, b: Bounded, v: Any) -> Any:
    return a[1] + b[1] + UNIT * (a[2] + b[2])


def _product(a: Bounded, b: Bounded, v: Any) -> Any:
    return abs(a[0]) * b[1] + abs(b[0]) * a[1] + a[1] * b[1] + UNIT * abs(v)


def _quotient(a: Bounded, b: Bounded, v: Any) -> Any:
    least = abs(b[0]) - b[1]
    return np.where(least > 0, (a[1] + abs(v) * b[1]) / np.where(least > 0, least, 1) + 2 * UNIT * abs(v), np.inf)


def _larger(a: Bounded, b: Bounded, v: Any) -> Any:
    return np.maximum(a[1], b[1])


def _above(a: Bounded, b: Bounded, v: Any) -> Any:
    is_clear = abs(a[0] - b[0]) > a[1] + b[1]
    return np.where(is_clear, np.where(v == 0, 0, a[1]), abs(a[0]) + a[1])


def _root(a: Bounded, v: Any) -> Any:
    return np.sqrt(np.maximum(a[0], 0) + a[1]) - np.sqrt(np.maximum(a[0] - a[1], 0)) + UNIT * v


def _power(a: Bounded, v: Any) -> Any:
    return np.exp(a[0]) * (np.expm1(a[1]) + 6 * UNIT * np.exp(a[1]))  # 2.5 units in the last place


def _logarithm(a: Bounded, v: Any) -> Any:
    least = a[0] - a[1]
    return np.where(least > 0, np.log1p(a[1] / np.where(least > 0, least, 1)) + 2 * UNIT * abs(v), np.inf)


# Kernels round by wider ranges than follow from the equation itself: sums of products are looked at as without bounds.
_WIDER: Mapping[str, Rule] = {
    "product": lambda graph, node, found: EVERYTHING,
    "sigmoid": lambda graph, node, found: (0.0, 1.0),
}

OWN: Mapping[str, Callable[..., Any]] = {
    "add": _sum,
    "sub": _sum,
    "mul": _product,
    "div": _quotient,
    "minimum": _larger,
    "maximum": _larger,
    "above": _above,
    "absolute": lambda a, v: a[1],
    "tanh": lambda a, v: a[1] + 5 * UNIT,  # see kernels/vectors/activations.py: 2.9e-7
    "sigmoid": lambda a, v: a[1] / 4 + 4 * UNIT,
    "exp": _power,
    "expm1": lambda a, v: _power(a, v) + UNIT * abs(v),
    "log": _logarithm,
    "erf": lambda a, v: 1.1284 * a[1] + 3 * UNIT * abs(v),  # 2 / sqrt(pi), and 1.5 units in the last place
    "softplus": lambda a, v: a[1] + 6 * UNIT * (1 + v),
    "sqrt": _root,
    "total": lambda a, v: a[1].sum() + len(a[0]) * UNIT * a[2].sum(),
    "largest": lambda a, v: a[1].max(),
}
"""Bounds of the error of each operation, given those of its arguments and its value."""


def bounded_steps(
    layer: Cell, xs: Any, *, own: float = 1.0
) -> Iterator[tuple[Any, Any, dict[str, Any], dict[str, Any]]]:
    """Yield output, its bound, the states and their bounds after each step.

    Parameters
    ----------
    own
        How much larger an operation's own rounding is than that of the kernels.
    """
    graph = layer.graph
    values = {name: np.asarray(value, np.float64) for name, value in layer.parameters.items()}
    kept = kept_intervals(graph, EVERYTHING, layer.starts, layer.parameters)
    ranges = intervals(graph, EVERYTHING, kept, parameter_intervals(layer.parameters), _WIDER)
    states = {name: (start.astype(np.float64), np.zeros(start.shape)) for name, start in layer.starts.items()}
    for x in xs.astype(np.float64):
        found: list[Bounded] = []
        for node in graph.nodes:
            value, error, size = _followed(graph, layer, node, found, x, states, values, ranges)
            if node.op in OWN or node.op == "product":
                error = own * error + TINY
            found.append((value, error, size))
        states = {name: found[place][:2] for name, place in graph.new_states.items()}
        y, error, _ = found[graph.output]
        yield y, error, {name: v for name, (v, _) in states.items()}, {name: e for name, (_, e) in states.items()}


def _followed(
    graph: Graph,
    layer: Cell,
    node: Node,
    found: list[Bounded],
    x: Any,
    states: Mapping[str, Any],
    values: Mapping[str, Any],
    ranges: list[tuple[float, float]],
) -> Bounded:
    args = [found[place] for place in node.args]
    if node.op in ("input", "state", "number", "parameter"):
        given = {"input": x, "number": np.float64(node.number), "parameter": values.get(node.name)}.get(node.op)
        value, error = states[node.name] if node.op == "state" else (given, UNIT * abs(given) * (node.op == "number"))
        return value, error, abs(value)
    if node.op == "part":
        cut = slice(node.start, node.start + node.shape[0])
        return tuple(each[cut] for each in args[0])  # type: ignore[return-value]
    if node.op == "concat":
        return tuple(np.concatenate([arg[k] for arg in args]) for k in range(3))  # type: ignore[return-value]
    if node.op == "product":
        matrix, (vector, error, _) = values[node.name], args[0]
        stored = layer.parameters[node.name]
        steps = stored.vector_steps if isinstance(stored, Matrix) else None
        if steps:
            most = max(map(abs, ranges[node.args[0]]))
            most = most if np.isfinite(most) else np.abs(vector).max() + error.max()
            error = error + (0.5 + 4 * UNIT * steps) * most / steps
        size = abs(matrix) @ abs(vector)
        return matrix @ vector, abs(matrix) @ error + (len(vector) + 8) * UNIT * size, size
    numpy = OPERATIONS[node.op].numpy
    assert numpy is not None
    value = numpy(*(arg[0] for arg in args))
    return value, OWN[node.op](*args, value), args[0][2] + args[1][2] if node.op in ("add", "sub") else abs(value)
