"""Padding of a kernel: the values that an equation computes in lanes without a unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite, nan
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn.equations.graph import Graph
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.kernels.lower.parts import FUSED, HALF_SIGMOID, SAME, SUM

__all__ = ["needs_mask"]

_UNSAFE = ("div", "sqrt", "exp", "expm1", "log")
"""Operations whose result may be infinite or NaN."""
_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {FUSED: lambda a, b, c: a * b + c, HALF_SIGMOID: lambda a: 0.5 + 0.5 * np.tanh(a), SAME: lambda a: a}
)
_ZERO = ("parameter", "state", SUM)


def needs_mask(graph: Graph) -> bool:
    """Return True if new states and the output have to be set to zero in the padding.

    Parameters and sums are zero there. So no mask is needed if states that are zero there stay zero, and no value
    becomes infinite or NaN. The values of other layers' outputs and of moves are unknown there.
    """
    if not any(node.op in _UNSAFE for node in graph.nodes):
        return False
    values: list[float] = []
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            operation = OPERATIONS.get(node.op)
            function = _FUNCTIONS.get(node.op) if operation is None else operation.numpy
            if node.op == "number":
                values.append(node.number)
            elif node.op in _ZERO:
                values.append(0.0)
            elif function is None or (operation is not None and operation.rule != "units"):
                values.append(nan)
            else:
                values.append(float(function(*(values[arg] for arg in node.args))))
    made = (value for value, node in zip(values, graph.nodes, strict=True) if node.op != "input")
    return not all(map(isfinite, made)) or any(values[place] != 0 for place in graph.states)
