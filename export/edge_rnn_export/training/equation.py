"""Equations computed on tensors; the units are the last axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from edge_rnn.equations.graph import Graph, Node

__all__ = ["FUNCTIONS", "run_equation"]

FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": torch.add,
        "sub": torch.sub,
        "mul": torch.mul,
        "div": torch.div,
        "minimum": torch.minimum,
        "maximum": torch.maximum,
        "above": lambda x, limit: torch.where(x > limit, x, torch.zeros_like(x)),
        "absolute": torch.abs,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "exp": torch.exp,
        "expm1": torch.expm1,
        "log": torch.log,
        "erf": torch.erf,
        "softplus": torch.nn.functional.softplus,
        "sqrt": torch.sqrt,
        "total": lambda x: x.sum(dim=-1, keepdim=True),
        "largest": lambda x: x.amax(dim=-1, keepdim=True),
    }
)
"""Operations that have numbers alone as arguments: unit by unit, and reductions."""


def run_equation(
    graph: Graph, parameters: Mapping[str, Any], xs: Any, states: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Compute a sequence of steps.

    Parameters
    ----------
    graph
        The equation.
    parameters
        Tensors by name; of a number one without axes.
    xs
        ``(time, batch, input_size)``, time at least 1.
    states
        ``(batch, H)`` by name.

    Returns
    -------
    ys, states
        ``(time, batch, output_size)``, and the states after the last step.
    """
    varies, waits = graph.depends_on("input", "state"), graph.depends_on("state")
    values: dict[int, Any] = {}
    for place, node in enumerate(graph.nodes):
        if not waits[place]:
            values[place] = xs if node.op == "input" else _value(graph, node, place, values, parameters, xs)
    if not graph.sizes:
        return _rows(values[graph.output], xs).clone(), {}  # no view of a parameter or of the input
    now, ys = dict(states), []
    outside = [place for place in values if varies[place]]
    for t, x in enumerate(xs):
        step = values | {place: values[place][t] for place in outside}
        for place, node in enumerate(graph.nodes):
            if waits[place]:
                is_state = node.op == "state"
                step[place] = now[node.name] if is_state else _value(graph, node, place, step, parameters, x)
        now = {name: _rows(step[place], x) for name, place in graph.new_states.items()}
        ys.append(_rows(step[graph.output], x))
    return torch.stack(ys), now


def _value(
    graph: Graph, node: Node, place: int, values: Mapping[int, Any], parameters: Mapping[str, Any], x: Any
) -> Any:
    args = [values[arg] for arg in node.args]
    if node.op == "number":
        return x.new_tensor(node.number)
    if node.op == "parameter":
        return parameters[node.name]
    if node.op == "product":
        return torch.nn.functional.linear(args[0], parameters[node.name])
    if node.op == "part":
        return args[0][..., node.start : node.start + node.shape[0]]
    if node.op == "concat":
        return torch.cat([_rows(arg, x) for arg in args], dim=-1)
    return FUNCTIONS[node.op](*args)


def _rows(value: Any, x: Any) -> Any:
    """One row for each of a batch, and each step of several, also of what is the same in all."""
    return value.expand(*x.shape[:-1], value.shape[-1])
