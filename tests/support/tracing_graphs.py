"""Graphs for the tracing engine, written by hand, and as ONNX models for onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port

__all__ = ["as_onnx", "op", "small_graph"]


def op(kind: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> Operator:
    """Operator with names of values separated by spaces, ``-`` for an omitted one."""
    read, written = (tuple("" if each == "-" else each for each in text.split()) for text in (inputs, outputs))
    return Operator(kind, name or written[0], read, written, attributes)


def small_graph(
    operators: Sequence[Operator], constants: Mapping[str, Any], outputs: str = "y", **inputs: tuple[Any, ...]
) -> Graph:
    """Graph with inputs by shape and constants by value; integers are int64, other numbers float32."""
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    arrays = {name: each.astype(np.float32) if each.dtype.kind == "f" else each for name, each in arrays.items()}
    return Graph(
        tuple(operators),
        tuple(Port(name, shape) for name, shape in inputs.items()),
        tuple(outputs.split()),
        {name: Constant.of(array) for name, array in arrays.items()},
        Budget(2**26),
    )


def as_onnx(graph: Graph) -> ModelProto:
    """Write a graph as an ONNX model, which onnxruntime and ``onnx.reference`` execute.

    Options that ONNX lacks are not written: such a graph is refused by an assertion.
    """
    proto = _proto(graph, "network", [_port(port) for port in graph.inputs])
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", graph.opset)], ir_version=10)


def _proto(graph: Graph, name: str, inputs: list[ValueInfoProto]) -> GraphProto:
    tensors = [numpy_helper.from_array(np.array(graph.constant(each)), each) for each in graph.constants]
    outputs = [helper.make_empty_tensor_value_info(each) for each in graph.outputs]
    return helper.make_graph([_node(each) for each in graph.operators], name, inputs, outputs, tensors)


def _node(operator: Operator) -> Any:
    assert not operator.beyond, f"{operator.title} has {dict(operator.beyond)}, which ONNX lacks"
    attributes = {
        name: numpy_helper.from_array(value.load()) if isinstance(value, Constant) else value
        for name, value in operator.attributes.items()
    }
    for name, body in operator.bodies.items():
        inputs = [helper.make_empty_tensor_value_info(port.name) for port in body.inputs]
        for place, kind in enumerate((TensorProto.INT64, TensorProto.BOOL) if operator.kind == "Loop" else ()):
            inputs[place] = helper.make_tensor_value_info(body.inputs[place].name, kind, ())
        attributes[name] = _proto(body, name, inputs)
    return helper.make_node(operator.kind, operator.inputs, operator.outputs, **attributes)


def _port(port: Port) -> ValueInfoProto:
    kind = TensorProto.INT64 if port.integers else TensorProto.FLOAT
    return helper.make_tensor_value_info(port.name, kind, port.shape)
