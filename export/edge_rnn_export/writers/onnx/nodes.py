"""What the writers of layers put a graph together from: nodes in order, constants by name, activations as operators."""

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
"""As recurrent operators call them. ScaledTanh and Affine are nothing else; the others are operators too."""

GATES = {"Elman": "h", "GRU": "zrn", "LSTM": "iofg"}
"""Gates in the order that ONNX's operators have them in, by our layers' letters; the LSTM's g is c in its words."""


Stage = tuple[str, list[str], dict[str, Any]]
"""An operator with one value in and out, its constants and attributes."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """What the writers of layers add to: nodes in order, constants by name, inputs of the graph.

    Parameters
    ----------
    standard
        Whether operators of ``ai.onnx`` alone may be used.
    weight_only
        Whether matrices of 8 bits are multiplied with vectors as they are, not with rounded ones.
    """

    form: Form
    standard: bool = False
    weight_only: bool = False
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, AnyArray | TensorProto] = field(default_factory=dict)
    inputs: list[ValueInfoProto] = field(default_factory=list)

    def body(self) -> Nodes:
        """Nodes of a loop's body: constants are the graph's."""
        return replace(self, nodes=[], inputs=[])

    def has_domain(self, domain: str) -> bool:
        """Whether there is an operator of this domain, in a body too."""
        graphs = [[*self.nodes]]
        for nodes in graphs:
            graphs += [list(each.g.node) for node in nodes for each in node.attribute if each.HasField("g")]
        return any(node.domain == domain for nodes in graphs for node in nodes)

    def tensors(self) -> list[TensorProto]:
        """The constants as a graph holds them."""
        return [
            each if isinstance(each, TensorProto) else numpy_helper.from_array(each, name)
            for name, each in self.constants.items()
        ]

    def node(self, operator: str, inputs: Sequence[str], *outputs: str, name: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), name=name, **attributes))

    def constant(self, name: str, array: AnyArray) -> str:
        self.constants[name] = np.asarray(array, order="C")
        return name

    def chain(self, value: str, stages: Sequence[Stage], label: str) -> str:
        """The value after some operators, one after the other; the nodes are called after ``label`` and their place."""
        for place, (operator, constants, attributes) in enumerate(stages, start=1):
            out = f"{label}.{operator.lower()}{place}"
            self.node(operator, [value, *constants], out, name=out, **attributes)
            value = out
        return value

    def apply(self, operator: str, inputs: Sequence[str], out: str, **attributes: Any) -> str:
        """A node with one output, called like it."""
        self.node(operator, inputs, out, name=out, **attributes)
        return out

    def joined(self, layer: Any, reads: Sequence[str]) -> str:
        """What the layer reads as one value, concatenated where there are several."""
        if len(reads) == 1:
            return reads[0]
        self.node("Concat", reads, f"{layer.name}.x", name=f"{layer.name}.x", axis=2)
        return f"{layer.name}.x"


def activation_stages(graph: Nodes, name: str, activation: Activation) -> list[Stage]:
    """Operators that an activation is made of, with their constants and attributes."""

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
