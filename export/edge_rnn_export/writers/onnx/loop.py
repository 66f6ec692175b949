"""Graph of a cell made of operators: the nodes themselves for one step, the body of a Scan for a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from edge_rnn_export.writers.onnx.nodes import Nodes

__all__ = ["Cell", "looped"]

Cell = Callable[[Nodes, str, list[str], list[str]], None]
"""``cell(nodes, product, states, new)`` adds one step: from ``W_ih x`` and the states, with any leading axes, to the
new states, under the names ``new``."""


def looped(graph: Nodes, layer: Any, product: str, rows: int, cell: Cell, wanted: str) -> str:
    """Add a layer, given the product with its input, ``(time, batch, rows)``; return the name of its output.

    That product is not part of the loop: work that does not depend on the state is done for all steps at once.
    """
    states = {f"{layer.name}.{key}": len(value) for key, value in layer.initial_state.items()}
    last = [f"{state}_out" for state in states]
    if graph.form == "step":
        cell(graph, product, list(states), last)
        return last[0]
    name = f"{layer.name}.step"
    body = graph.body()
    inside = [f"{name}.{key}" for key in layer.initial_state]
    now = f"{name}.product"
    cell(body, now, inside, [f"{each}_out" for each in inside])
    body.apply("Identity", [f"{inside[0]}_out"], f"{name}.y")

    def value(key: str, size: int) -> Any:
        return helper.make_tensor_value_info(key, TensorProto.FLOAT, (None, size))

    sizes = list(states.values())
    inputs = [*map(value, inside, sizes), value(now, rows)]
    outputs = [*map(value, [f"{each}_out" for each in inside], sizes), value(f"{name}.y", sizes[0])]
    axis = graph.constant(f"{name}.axis", np.array([0], np.int64))  # direction axis, which the body does not have
    begin = [graph.apply("Squeeze", [state, axis], f"{name}.{state}.first") for state in states]
    end = [f"{name}.{state}.last" for state in states]
    graph.node(
        "Scan",
        [*begin, product],
        *end,
        wanted,
        name=layer.name,
        body=helper.make_graph(body.nodes, name, inputs, outputs),
        num_scan_inputs=1,
    )
    for found, out in zip(end, last, strict=True):
        graph.apply("Unsqueeze", [found, axis], out)
    return wanted
