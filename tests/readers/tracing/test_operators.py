"""Operators on units, between signals and constants in every order, against onnx's reference evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export.readers.tracing.graph import Graph, Operator
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import as_onnx, op, small_graph

RNG = np.random.default_rng(23)
SIZE, STEPS = 4, 6
CONSTANTS: dict[str, Any] = {
    "w": RNG.uniform(-1, 1, (3, SIZE)), "v": RNG.uniform(-1, 1, (3, SIZE)), "k": RNG.uniform(0.2, 1, SIZE),
    "l": RNG.uniform(0.2, 1, SIZE), "one": np.float32(1), "two": np.float32(2), "half": np.float32(0.5),
    "low": np.float32(-0.3), "high": np.float32(0.4), "axis": np.array([2]), "eps": np.float32(1e-3),
    "first": np.array([0]), "middle": np.array([2]), "end": np.array([SIZE]),
}  # fmt: skip

Rows = Sequence[Operator]
CASES: dict[str, Rows] = {
    **{kind.lower(): [op(kind, "a", "y")] for kind in (
        "Abs", "Neg", "Exp", "Softplus", "Softsign", "Selu", "Celu", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu",
        "Mish", "Relu", "Sigmoid", "Tanh", "ThresholdedRelu",
    )},
    **{kind.lower() + " of positive numbers": [op("Exp", "a", "p"), op(kind, "p", "y")] for kind in (
        "Sqrt", "Reciprocal", "Log",
    )},
    "square": [op("Pow", "a two", "y")],
    "root": [op("Exp", "a", "p"), op("Pow", "p half", "y")],
    "clip": [op("Clip", "a low high", "y")],
    "clip above": [op("Clip", "a - high", "y")],
    "constant on the left": [op("Sub", "one a", "c"), op("Exp", "c", "p"), op("Div", "k p", "y")],
    "two signals": [op("Sub", "a b", "s"), op("Mul", "s a", "t"), op("Max", "t b", "u"), op("Min", "u k", "y")],
    "quotient": [op("Exp", "b", "p"), op("Div", "a p", "y")],
    "sum of three": [op("Sum", "a b k", "y")],
    "gate": [op("Sigmoid", "b", "g"), op("Mul", "a g", "y")],
    "prelu": [op("PRelu", "a k", "y")],
    "softmax": [op("Mul", "a k", "s"), op("Softmax", "s", "y", axis=-1)],
    "log_softmax": [op("LogSoftmax", "a", "y", axis=2)],
    "layer norm": [op("LayerNormalization", "a k l", "y", axis=-1, epsilon=1e-3)],
    "rms norm": [op("RMSNormalization", "a k", "y", axis=-1, epsilon=1e-3)],
    "norm spelled": [
        op("ReduceMean", "a axis", "m"), op("Sub", "a m", "d"), op("Pow", "d two", "q"),
        op("ReduceMean", "q axis", "s"), op("Add", "s eps", "e"), op("Sqrt", "e", "r"),
        op("Div", "d r", "n"), op("Mul", "n k", "o"), op("Add", "o l", "y"),
    ],
    "sum without its axis": [op("ReduceSum", "a axis", "m", keepdims=0), op("Unsqueeze", "m axis", "y")],
    "largest": [op("ReduceMax", "a axis", "m"), op("Sub", "a m", "y")],
    "where": [op("Greater", "a low", "g"), op("Where", "g b a", "y")],
    "where both": [
        op("Less", "a high", "g"), op("GreaterOrEqual", "b low", "f"), op("And", "g f", "h"), op("Not", "h", "i"),
        op("Where", "i k b", "y"),
    ],
    "halves joined crosswise": [
        op("Slice", "a first middle axis", "c"), op("Slice", "b middle end axis", "d"),
        op("Concat", "d c", "e", axis=2), op("Mul", "e k", "y"),
    ],
    "glu": [op("Concat", "a b", "c", axis=2), op("Split", "c", "d e", axis=2, num_outputs=2), op("Sigmoid", "e", "f"),
            op("Mul", "d f", "y")],
}  # fmt: skip


def graph_of(operators: Rows) -> Graph:
    everything = [op("MatMul", "x w", "a"), op("MatMul", "x v", "b"), *operators]
    read = {name for each in operators for name in each.inputs}
    wanted = [each for each in everything if {*each.outputs} & {*read, "y"}]
    names = {name for each in wanted for name in each.inputs}
    constants = {name: value for name, value in CONSTANTS.items() if name in names}
    return small_graph(wanted, constants, x=("time", "batch", 3))


def model_of(graph: Graph) -> Model:
    return read_graph(graph, None, {}).model


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    graph = graph_of(CASES[name])
    xs = np.random.default_rng(2).standard_normal((STEPS, 2, 3)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(as_onnx(graph)).run(None, {"x": xs})
    model = model_of(graph)
    for batch in range(2):
        ys, _ = reference.run(model, xs[:, batch])
        np.testing.assert_allclose(ys, wanted[:, batch], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("operators", "words"),
    [
        ([op("ReduceMean", "a first", "y")], "ReduceMean node 'y': it works along axis 0"),
        ([op("Transpose", "b", "t", perm=[0, 2, 1]), op("MatMul", "a t", "y")], "it multiplies two signals"),
        ([op("Pow", "a k", "y")], "it raises to the power"),
        ([op("CumSum", "a first", "y")], "CumSum node 'y': it is not one of"),
        ([op("LayerNormalization", "a k l", "y", axis=1)], "it works along axis 1"),
    ],
)
def test_what_a_stream_cannot_compute_is_refused(operators: Rows, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        model_of(graph_of(operators))
