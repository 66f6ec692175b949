"""Spell one step of a recurrent operator as functions of vectors, for operators that a graph calls step by step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from edge_rnn.equations.symbols import apply
from edge_rnn.layers import Recurrent
from edge_rnn_export.readers.tracing.codes import Signal, Value
from edge_rnn_export.readers.tracing.functions import BINARY, Function, activation
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.operators import dense
from edge_rnn_export.readers.tracing.units import applied

__all__ = ["spelled"]

_NAMES = {function.name for function in BINARY.values()}


def spelled(node: Node, layer: Recurrent, x: Signal, states: Mapping[str, Signal]) -> tuple[Signal, dict[str, Signal]]:
    """Compute a step of a layer.

    Parameters
    ----------
    x, states
        Input and old states, ``(batch, size)`` each.

    Returns
    -------
    y, states
        Output and new states, ``(batch, size)``.
    """
    values: list[Any] = []
    for each in layer.graph.nodes:
        args = [values[place] for place in each.args]
        value: Any
        if each.op == "input":
            value = x
        elif each.op == "state":
            value = states[each.name]
        elif each.op == "number":
            value = np.float32(each.number)
        elif each.op == "parameter":
            value = np.asarray(layer.fields[each.name])
        elif each.op == "product":
            value = dense(node, args[0], np.asarray(layer.fields[each.name]))
        elif each.op == "part":
            value = _part(args[0], each.start, each.start + each.shape[0])
        elif each.op == "concat":
            value = Signal(np.concatenate([arg.codes for arg in args], axis=-1))
        else:
            value = _computed(node, each.op, args)
        values.append(value)
    new = {name: values[place] for name, place in layer.graph.new_states.items()}
    return values[layer.graph.output], new


def _part(value: Any, start: int, end: int) -> Any:
    return Signal(value.codes[..., start:end]) if isinstance(value, Signal) else value[start:end]


def _computed(node: Node, op: str, args: list[Value]) -> Any:
    function = activation(op) if op in ("sigmoid", "tanh") else Function(op, partial(apply, op))
    if not any(isinstance(arg, Signal) for arg in args):
        return np.asarray(function.call(*args))
    return applied(node, function, args)
