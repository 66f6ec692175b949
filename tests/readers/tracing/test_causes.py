"""Causes that explain a whole graph are found before the first operator that is unknown, also inside branches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tracing.graph import Operator
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

RNG = np.random.default_rng(0)
WEIGHTS = {"w": RNG.normal(size=(1, 4, 3)), "r": RNG.normal(size=(1, 4, 4)), "kernel": RNG.normal(size=(3, 3, 2))}


def read(operators: list[Operator]) -> None:
    names = {name for each in operators for name in each.inputs}
    graph = small_graph(operators, {k: v for k, v in WEIGHTS.items() if k in names}, x=("time", 1, 3))
    read_graph(graph, None, {})


def test_direction_is_named_before_an_unknown_operator() -> None:
    operators = [op("Sin", "x", "s"), op("RNN", "s w r", "y", hidden_size=4, direction="bidirectional")]
    with pytest.raises(UnsupportedError, match="RNN node 'y': its direction is 'bidirectional'"):
        read(operators)


def test_quantized_operators_are_named_as_such() -> None:
    with pytest.raises(
        UnsupportedError, match=r"DynamicQuantizeLSTM node 'y': it is an operator of a quantized network"
    ):
        read([op("Tanh", "x", "s"), op("DynamicQuantizeLSTM", "s w r", "y")])


def test_a_convolution_says_how_the_rest_is_read() -> None:
    graph = small_graph(
        [
            op("Conv", "x kernel", "c", kernel_shape=[2]), op("Relu", "c", "d"),
            op("Transpose", "d", "e", perm=[2, 0, 1]), op("RNN", "e w r", "y", hidden_size=4),
        ],
        WEIGHTS, x=(1, 3, "time"),
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"it is a convolution over 2 positions, for .* read by after='d'\."):
        read_graph(graph, None, {})
    shaped = replace(graph, shapes={"d": (1, 3, "t")})
    (layer,) = read_graph(shaped, None, {}, after="d").model.layers
    assert layer.kind == "Elman"


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((4, 3, 5, 2), {}, "a convolution over 5 x 2 positions, for which"),  # without kernel_shape
        ((3, 1, 1), {"group": 3}, "it is a convolution in 3 groups, for which"),
        ((4, 3, 1), {"pads": [1, 0]}, "it adds positions by padding, which a stream does not have"),
        ((4, 3, 1), {"strides": [2]}, "it leaves out positions"),
    ],
)
def test_convolutions_that_are_no_matrix(shape: tuple[int, ...], options: dict[str, Any], words: str) -> None:
    time = (7,) * (len(shape) - 2)
    graph = small_graph([op("Conv", "x kernel", "y", **options)], {"kernel": np.ones(shape)}, x=(1, 3, *time))
    with pytest.raises(UnsupportedError, match=words):
        read_graph(graph, None, {})


def test_weights_that_are_stored_as_integers_are_dequantized() -> None:
    whole = RNG.integers(-127, 128, (3, 4)).astype(np.int8)
    scale = RNG.uniform(0.01, 0.02, 4).astype(np.float32)
    constants = {"q": whole, "scale": scale, "zero": np.zeros(4, np.int8)}
    graph = small_graph(
        [op("DequantizeLinear", "q scale zero", "m", axis=1), op("MatMul", "x m", "y")], constants, x=(5, 1, 3)
    )
    xs = RNG.normal(size=(5, 3)).astype(np.float32)
    ys, _ = reference.run(read_graph(graph, None, {}).model, xs)
    np.testing.assert_allclose(ys, xs @ (whole * scale.astype(np.float64)), rtol=0, atol=1e-6)
