"""Ends of a graph that reads and chooses symbols by id: how ``x`` is computed, and the best symbol of ``y``."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from edge_rnn.model import Model
from edge_rnn_export.writers.onnx.head import NEXT, SYMBOL
from edge_rnn_export.writers.onnx.nodes import Nodes

__all__ = ["best_symbol", "read_symbols"]


def read_symbols(graph: Nodes, model: Model, time: int | str) -> None:
    """Add the input ``symbol`` int64 ``(time, batch)``, and compute ``x`` from it."""
    graph.inputs.append(_value(SYMBOL, time))
    if model.input_size == model.vocabulary_size:
        depth = graph.constant(f"{SYMBOL}.count", np.array(model.vocabulary_size, np.int64))
        values = graph.constant(f"{SYMBOL}.values", np.array([0, 1], np.float32))
        graph.node("OneHot", [SYMBOL, depth, values], "x", name=f"{SYMBOL}.one_hot")
    else:
        axis = graph.constant(f"{SYMBOL}.axis", np.array([2], np.int64))
        graph.node("Cast", [SYMBOL], f"{SYMBOL}.cast", name=f"{SYMBOL}.cast", to=TensorProto.FLOAT)
        graph.node("Unsqueeze", [f"{SYMBOL}.cast", axis], "x", name=f"{SYMBOL}.unsqueeze")


def best_symbol(graph: Nodes, time: int | str) -> ValueInfoProto:
    """Add the output ``next_symbol`` int64 ``(time, batch)``: index of the maximum of ``y``, the first of equals."""
    graph.node("ArgMax", ["y"], NEXT, name=NEXT, axis=2, keepdims=0)
    return _value(NEXT, time)


def _value(name: str, time: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, (time, "batch"))
