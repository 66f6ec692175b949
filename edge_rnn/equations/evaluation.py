"""Evaluate a graph with NumPy, as the reference does: in float64, or in the dtype of the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.equations.graph import Graph
from edge_rnn.equations.operations import OPERATIONS

__all__ = ["evaluate"]


def evaluate(
    graph: Graph, parameters: Mapping[str, Any], x: Any, states: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Compute one step, or several independent steps at once.

    Parameters
    ----------
    graph
        The graph to compute.
    parameters
        Arrays and numbers by name; a matrix may be any object whose ``@`` takes a vector.
    x
        ``(input_size,)``, or ``(input_size, n)`` for n independent steps.
    states
        Old states by name, with as many columns as ``x``.

    Returns
    -------
    y, states
        The output, and the new states by name.
    """
    columns = np.ndim(x) > 1
    values: list[Any] = []
    for node in graph.nodes:
        args = [values[place] for place in node.args]
        if node.op == "input":
            value = x
        elif node.op == "state":
            value = states[node.name]
        elif node.op == "number":
            value = node.number
        elif node.op == "parameter":
            value = parameters[node.name]
            value = value[:, None] if columns and np.ndim(value) == 1 else value
        elif node.op == "product":
            value = parameters[node.name] @ (_whole(args[0], x) if columns else args[0])
        elif node.op == "part":
            value = args[0][node.start : node.start + node.shape[0]]
        else:
            numpy = OPERATIONS[node.op].numpy
            assert numpy is not None, node.op
            value = numpy(*args)
        values.append(value)
    return _whole(values[graph.output], x), {name: _whole(values[place], x) for name, place in graph.new_states.items()}


def _whole(value: Any, x: Any) -> Any:
    """Broadcast a value to one column per step, also if it is the same in all steps."""
    steps = np.shape(x)[1:]
    return np.array(value if np.shape(value)[1:] == steps else np.broadcast_to(value, (len(value), *steps)))
