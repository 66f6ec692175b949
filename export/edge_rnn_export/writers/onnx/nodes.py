"""Building blocks for the writers of layers: nodes in order, constants by name, activations as operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from edge_rnn.activation import Activation
from edge_rnn.typing import AnyArray
from edge_rnn_export.writers.onnx.precision import Form

__all__ = ["ACTIVATIONS", "GATES", "Nodes", "Stage", "activation_stages"]

ACTIVATIONS = {
    "none": "Affine",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "hard_sigmoid": "HardSigmoid",
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
    "scaled_tanh": "ScaledTanh",
    "affine": "Affine",
    "thresholded_relu": "ThresholdedRelu",
}
"""Names used by recurrent operators. ScaledTanh and Affine exist only there; the others are also operators."""

GATES = {"Elman": "h", "GRU": "zrn", "LSTM": "iofg"}
"""Gates in the order of ONNX's operators, by edge_rnn's letters; ONNX calls the LSTM's g c."""


Stage = tuple[str, list[str], dict[str, Any]]
"""Operator with one input value and one output, its constants and attributes."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Graph under construction: nodes in order, constants by name, inputs of the graph.

    Parameters
    ----------
    standard
        True to use only operators of ``ai.onnx``.
    weight_only
        True to multiply 8-bit matrices by exact vectors, not by vectors rounded to 8 bits.
    """

    form: Form
    standard: bool = False
    weight_only: bool = False
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, AnyArray | TensorProto] = field(default_factory=dict)
    inputs: list[ValueInfoProto] = field(default_factory=list)

    def body(self) -> Nodes:
        """Nodes of a loop's body, which shares the graph's constants."""
        return replace(self, nodes=[], inputs=[])

    def has_domain(self, domain: str) -> bool:
        """True if the graph, bodies included, has an operator of this domain."""
        graphs = [[*self.nodes]]
        for nodes in graphs:
            graphs += [list(each.g.node) for node in nodes for each in node.attribute if each.HasField("g")]
        return any(node.domain == domain for nodes in graphs for node in nodes)

    def tensors(self) -> list[TensorProto]:
        """Constants as tensors of a graph."""
        return [
            each if isinstance(each, TensorProto) else numpy_helper.from_array(each, name)
            for name, each in self.constants.items()
        ]

    def node(self, operator: str, inputs: Sequence[str], *outputs: str, name: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), name=name, **attributes))

    def constant(self, name: str, array: AnyArray) -> str:
        self.constants[name] = np.asarray(array, order="C")
        return name

    def apply(self, operator: str, inputs: Sequence[str], out: str, **attributes: Any) -> str:
        """Add a node with one output, which has the node's name."""
        self.node(operator, inputs, out, name=out, **attributes)
        return out

    def joined(self, layer: Any, reads: Sequence[str]) -> str:
        """Inputs of the layer as one value, concatenated if there are several."""
        if len(reads) == 1:
            return reads[0]
        return self.apply("Concat", reads, f"{layer.name}:x", axis=2)


def activation_stages(graph: Nodes, name: str, activation: Activation) -> list[Stage]:
    """Operators that make up an activation, with their constants and attributes."""

    def number(key: str, value: float) -> list[str]:
        return [graph.constant(f"{name}.{key}", np.array(value, np.float32))]

    if activation.name == "none":
        return []
    if activation.name == "scaled_tanh":
        alpha, beta = activation.parameters
        return [("Mul", number("beta", beta), {}), ("Tanh", [], {}), ("Mul", number("alpha", alpha), {})]
    if activation.name == "affine":
        alpha, beta = activation.parameters
        return [("Mul", number("alpha", alpha), {}), ("Add", number("beta", beta), {})]
    attributes = dict(zip(("alpha", "beta"), activation.parameters, strict=False))
    return [(ACTIVATIONS[activation.name], [], attributes)]
