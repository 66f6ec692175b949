"""Helpers of writers tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from edge_rnn.layers import LSTM

PRECISIONS = ["float32", "float16", "int8", "int8-weights", "int4"]
OPERATORS = ["onnxruntime", "standard"]
FORMS = ["step", "sequence"]
OWN = "com.microsoft"


def stored(proto: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in proto.graph.initializer}


def operators_of(proto: onnx.ModelProto) -> set[str]:
    graphs = [proto.graph]
    for graph in graphs:
        graphs += [each.g for node in graph.node for each in node.attribute if each.HasField("g")]
    return {node.op_type for graph in graphs for node in graph.node}


WIDE = {"weight_ih": 0.6, "weight_hh": 0.4, "bias_ih": 0.3, "bias_hh": 0.3}


def lstm(reads: int, hidden: int, seed: int, **options: Any) -> LSTM:
    rng = np.random.default_rng(seed)
    projected = 5 if "weight_hr" in options else hidden
    shapes = {"weight_ih": (4 * hidden, reads), "weight_hh": (4 * hidden, projected)}
    shapes |= {"bias_ih": (4 * hidden,), "bias_hh": (4 * hidden,)}
    return LSTM(**{name: rng.uniform(-WIDE[name], WIDE[name], shape) for name, shape in shapes.items()}, **options)  # type: ignore[arg-type]
