"""Functions of units that a graph spells become layers by equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.equations import erf, gelu
from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export.readers.tracing.graph import Graph
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

W = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
NUMBERS = {"root": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}


def graph_with(*operators: Any) -> Graph:
    """Operators on ``a``, a product, that give ``y``."""
    read = {name for each in operators for name in each.inputs}
    numbers = {name: value for name, value in NUMBERS.items() if name in read}
    return small_graph([op("MatMul", "x w", "a"), *operators], {"w": W, **numbers}, x=(5, 1, 3))


def read(graph: Graph) -> Model:
    return read_graph(graph, None, {}).model


SPELLED = (
    *(op("Div", "a root", "b"), op("Erf", "b", "c"), op("Add", "c one", "d")),
    *(op("Mul", "a d", "e"), op("Mul", "e half", "y")),
)


@pytest.mark.parametrize(
    ("operators", "function"),
    [
        ((op("Erf", "a", "y"),), erf),
        ((op("Gelu", "a", "y"),), gelu),
        ((op("Gelu", "a", "y", approximate="tanh"),), lambda a: gelu(a, "tanh")),
        (SPELLED, gelu),
    ],
    ids=["erf", "gelu", "gelu by tanh", "gelu spelled out"],
)
def test_functions_of_units(operators: Any, function: Any) -> None:
    xs = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
    ys, _ = reference.run(read(graph_with(*operators)), xs)
    np.testing.assert_allclose(ys, function(xs.astype(np.float64) @ W.astype(np.float64)), rtol=0, atol=1e-6)


def test_gelu_of_an_unknown_form_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="its approximate is 'sigmoid', expected 'none' or 'tanh'"):
        read(graph_with(op("Gelu", "a", "y", approximate="sigmoid")))
