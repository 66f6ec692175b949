"""Recurrent operators as cells: options that ONNX has only in part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn.layers import GRU, Layer
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port
from edge_rnn_export.readers.tracing.walk import read_graph

IN, H = 3, 4


def read_cell(kind: str, gates: int, bias: np.ndarray, **attributes: Any) -> Layer:
    """The layer of a graph that holds one recurrent operator."""
    rng = np.random.default_rng(0)
    arrays = {
        "W": rng.uniform(-1, 1, (1, gates * H, IN)).astype(np.float32),
        "R": rng.uniform(-1, 1, (1, gates * H, H)).astype(np.float32),
        "B": bias[None].astype(np.float32),
    }
    options = {"hidden_size": H, "layout": 1, **attributes}
    cell = Operator(kind, "rnn/cell", ("x", *arrays), ("y",), options)
    constants = {name: Constant.of(array) for name, array in arrays.items()}
    graph = Graph((cell,), (Port("x", ("batch", "time", IN)),), ("y",), constants, Budget(2**20))
    return read_graph(graph, None, {}).model.layers[0]


def test_a_recurrent_bias_of_zeros_is_left_out() -> None:
    """ONNX has two biases or none, and most frameworks have one."""
    biases = np.arange(1.0, 3 * H + 1)
    layer = read_cell("GRU", 3, np.concatenate([biases, np.zeros(3 * H)]))
    assert isinstance(layer, GRU)
    assert layer.bias_hh is None
    np.testing.assert_array_equal(layer.bias_ih, np.concatenate([biases[H : 2 * H], biases[:H], biases[2 * H :]]))
    layer = read_cell("GRU", 3, np.concatenate([np.zeros(3 * H), biases]))
    assert isinstance(layer, GRU)
    assert layer.bias_hh is not None


@pytest.mark.parametrize(
    ("alpha", "text"),
    [(0.2, "hard_sigmoid"), (float(np.float32(0.2)), "hard_sigmoid"), (1 / 6, f"hard_sigmoid:{1 / 6!r}:0.5")],
)
def test_parameters_of_activations_lose_no_digits(alpha: float, text: str) -> None:
    options = {"activations": ["HardSigmoid", "Tanh"], "activation_alpha": [alpha], "activation_beta": [0.5]}
    layer = read_cell("GRU", 3, np.zeros(6 * H), **options)
    assert layer.options["gate_activation"] == text
