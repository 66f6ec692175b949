"""Contents of an ONNX file as plain data: operators in order, inputs, outputs and constants by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.onnx.file import array_of, file_budget

__all__ = ["Graph", "Operator", "Port", "graph_of"]


_MAX_OPERATORS = 2**13
_MAX_PLACES = 2**10  # inputs of an operator, outputs of an operator
_MAX_AXES = 8
_MAX_BODIES = 64
_OPSETS = range(7, 29)
_RECURRENT = ("RNN", "GRU", "LSTM")
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_INTEGERS = (TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL)


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """Node of the graph.

    Parameters
    ----------
    inputs, outputs
        Names of values; empty if omitted.
    attributes
        Numbers, strings, lists of them, or a tensor as a proto.
    refusal
        Reason why the node cannot be read regardless of its inputs, or empty.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    refusal: str = ""

    @property
    def title(self) -> str:
        """For messages: ``GRU node '/rnn/GRU'``."""
        return f"{self.kind[:40]} node {self.name[:80]!r}"

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error that says why the node is not supported."""
        return UnsupportedError(f"from_onnx cannot read the {self.title}: {reason}")


@dataclass(frozen=True, slots=True, eq=False)
class Port:
    """Input of the graph: lengths of its axes, a name or None for an open one; True for integers."""

    name: str
    shape: tuple[int | str | None, ...]
    integers: bool


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Graph of a model.

    Parameters
    ----------
    inputs
        Inputs without initializers.
    tensors
        Initializers by name, not yet decoded.
    budget
        Memory budget for everything derived from the file.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, TensorProto]
    opset: int
    folder: Path | None
    budget: Budget
    _arrays: dict[str, AnyArray] = field(default_factory=dict)

    def constant(self, name: str) -> AnyArray:
        """Values of an initializer."""
        if name not in self._arrays:
            self._arrays[name] = array_of(self.tensors[name], self.folder, self.budget)
        return self._arrays[name]

    def holds_weights(self, name: str) -> bool:
        """True if an initializer holds floating-point numbers."""
        return self.tensors[name].data_type in _FLOATS


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
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    inputs = tuple(_port(value) for value in graph.input if value.name not in tensors)
    operators = tuple(_operator(node) for node in graph.node)
    given = [*(port.name for port in inputs), *tensors]
    given += [name for operator in operators for name in operator.outputs if name]
    if len(set(given)) < len(given) or len(tensors) < len(graph.initializer):
        twice = next((name for name, count in Counter(given).items() if count > 1), "an initializer")
        raise FileError(f"from_onnx got a graph in which {twice[:80]!r} is defined twice.")
    outputs = tuple(value.name for value in graph.output)
    return Graph(operators, inputs, outputs, tensors, opset, folder, file_budget(model, folder))


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


def _operator(node: NodeProto) -> Operator:
    name = node.name or next(iter(filter(None, node.output)), "")
    if max(len(node.input), len(node.output)) > _MAX_PLACES:
        raise UnsupportedError(f"from_onnx: node {name[:80]!r} has more than {_MAX_PLACES} inputs or outputs.")
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.name in attributes or attribute.ref_attr_name:
            raise FileError(f"from_onnx: node {name[:80]!r} has the attribute {attribute.name[:80]!r} twice or unset.")
        attributes[attribute.name] = _attribute(attribute)
    bodies = [value for value in attributes.values() if isinstance(value, GraphProto)]
    refusal = ""
    if node.domain not in ("", "ai.onnx"):
        refusal = (
            f"it is of the domain {node.domain[:80]!r}, expected ONNX's own operators; "
            f"onnx.inliner.inline_local_functions(model) inlines a model's own functions."
        )
    elif bodies:
        refusal = _told(bodies)
    return Operator(node.op_type, name, tuple(node.input), tuple(node.output), attributes, refusal)


def _attribute(attribute: AttributeProto) -> Any:
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        return attribute.g if attribute.type == AttributeProto.GRAPH else attribute.graphs[0]
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int | float | TensorProto):
        return value
    return [each.decode() if isinstance(each, bytes) else each for each in value]


def _told(bodies: list[GraphProto]) -> str:
    """Describe control flow for a message: the recurrent operators inside it."""
    inside = [f"the {node.op_type} node {node.name[:80]!r}" for node in _inside(bodies) if node.op_type in _RECURRENT]
    if inside:
        found = f"{', '.join(inside[:8])} {'is' if len(inside) == 1 else 'are'} in its body"
        return f"{found}, and control flow is not supported; export the network without it."
    return "control flow is not supported; a loop over steps has to be one RNN, GRU or LSTM operator."


def _inside(bodies: list[GraphProto]) -> Iterator[NodeProto]:
    """Yield the nodes in bodies and nested bodies, up to a maximum number of bodies."""
    seen = 0
    while bodies and seen < _MAX_BODIES:
        body = bodies.pop(0)
        seen += 1
        for node in body.node:
            yield node
            bodies += [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]
