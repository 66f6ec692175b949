"""Make the graph that readers trace of an ONNX file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.onnx.file import array_of, file_budget
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port

__all__ = ["graph_of"]


_MAX_OPERATORS = 2**13
_MAX_PLACES = 2**10  # inputs of an operator, outputs of an operator
_MAX_AXES = 8
_MAX_BODIES = 64
_OPSETS = range(7, 29)
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_INTEGERS = (TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL)


def graph_of(model: ModelProto, folder: Path | None) -> Graph:
    """Return the graph of a model after checking its structure.

    Raises
    ------
    FileError
        The graph is not well formed: a value is defined twice, or an input has no shape.
    UnsupportedError
        The graph is too large, uses an unknown operator set, or has an input of a type that samples cannot have.
    """
    graph = model.graph
    opset = _opset(model)
    if len(graph.node) > _MAX_OPERATORS:
        raise UnsupportedError(f"from_onnx got {len(graph.node)} nodes, expected {_MAX_OPERATORS} at most.")
    if graph.sparse_initializer:
        raise UnsupportedError("from_onnx got sparse initializers, expected dense ones.")
    budget = file_budget(model, folder)
    inputs = tuple(_port(value) for value in graph.input if value.name not in {each.name for each in graph.initializer})
    return _graph(graph, inputs, _Source(budget, folder, opset))


@dataclass(slots=True)
class _Source:
    """Properties that all graphs of a file share; ``left`` is the number of bodies that may still follow."""

    budget: Budget
    folder: Path | None
    opset: int
    left: int = _MAX_BODIES


def _graph(graph: GraphProto, inputs: tuple[Port, ...], source: _Source) -> Graph:
    constants = {tensor.name: _constant(tensor, source) for tensor in graph.initializer}
    operators = tuple(_operator(node, source) for node in graph.node)
    given = [*(port.name for port in inputs), *constants]
    given += [name for operator in operators for name in operator.outputs if name]
    if len(set(given)) < len(given) or len(constants) < len(graph.initializer):
        twice = next((name for name, count in Counter(given).items() if count > 1), "an initializer")
        raise FileError(f"from_onnx got a graph in which {twice[:80]!r} is defined twice.")
    return Graph(operators, inputs, tuple(value.name for value in graph.output), constants, source.budget, source.opset)


def _body(graph: GraphProto, source: _Source) -> Graph:
    """Graph of a Loop, Scan or If, whose inputs need no shapes."""
    source.left -= 1
    if source.left < 0 or len(graph.node) > _MAX_OPERATORS or graph.sparse_initializer:
        raise UnsupportedError(
            f"from_onnx got loops and branches of more than {_MAX_BODIES} bodies, or of more than {_MAX_OPERATORS} "
            f"nodes or sparse initializers in one; expected fewer."
        )
    names = {tensor.name for tensor in graph.initializer}
    return _graph(graph, tuple(Port(value.name, ()) for value in graph.input if value.name not in names), source)


def _constant(tensor: TensorProto, source: _Source) -> Constant:
    return Constant(tensor.data_type in _FLOATS, partial(array_of, tensor, source.folder, source.budget))


def _opset(model: ModelProto) -> int:
    versions = {each.domain: each.version for each in model.opset_import}
    version = int(versions.get("", versions.get("ai.onnx", 0)))
    if version not in _OPSETS:
        raise UnsupportedError(
            f"from_onnx got ONNX's operator set {version}, expected {_OPSETS[0]} to {_OPSETS[-1]}; "
            f"onnx.version_converter converts a model to another one."
        )
    return version


def _port(value: ValueInfoProto) -> Port:
    title = f"from_onnx: the graph's input {value.name[:80]!r}"
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise UnsupportedError(f"{title} has no shape; onnx.shape_inference or a new export adds one.")
    kind = value.type.tensor_type.elem_type
    if kind not in _FLOATS + _INTEGERS:
        raise UnsupportedError(f"{title} is of type {kind}, expected floating point or integers.")
    shape: list[int | str | None] = []
    for axis in value.type.tensor_type.shape.dim:
        if axis.HasField("dim_value"):
            if axis.dim_value < 1:
                raise UnsupportedError(f"{title} has an axis of length {axis.dim_value}, expected 1 or more, or open.")
            shape.append(int(axis.dim_value))
        else:
            shape.append(axis.dim_param or None)
    if len(shape) > _MAX_AXES:
        raise UnsupportedError(f"{title} has {len(shape)} axes, expected {_MAX_AXES} at most.")
    return Port(value.name, tuple(shape), kind in _INTEGERS)


def _operator(node: NodeProto, source: _Source) -> Operator:
    name = node.name or next(iter(filter(None, node.output)), "")
    if max(len(node.input), len(node.output)) > _MAX_PLACES:
        raise UnsupportedError(f"from_onnx: node {name[:80]!r} has more than {_MAX_PLACES} inputs or outputs.")
    attributes: dict[str, Any] = {}
    bodies: dict[str, Graph] = {}
    for attribute in node.attribute:
        if attribute.name in (*attributes, *bodies) or attribute.ref_attr_name:
            raise FileError(f"from_onnx: node {name[:80]!r} has the attribute {attribute.name[:80]!r} twice or unset.")
        if attribute.type == AttributeProto.GRAPH:
            bodies[attribute.name] = _body(attribute.g, source)
        else:
            attributes[attribute.name] = _attribute(attribute, source)
    refusal = ""
    if node.domain not in ("", "ai.onnx"):
        refusal = (
            f"it is of the domain {node.domain[:80]!r}, expected ONNX's own operators; "
            f"onnx.inliner.inline_local_functions(model) inlines a model's own functions."
        )
    return Operator(node.op_type, name, tuple(node.input), tuple(node.output), attributes, bodies, refusal)


def _attribute(attribute: AttributeProto, source: _Source) -> Any:
    if attribute.type == AttributeProto.TENSOR:
        return _constant(attribute.t, source)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int | float):
        return value
    return [each.decode() if isinstance(each, bytes) else each for each in value]
