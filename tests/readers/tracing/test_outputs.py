"""Outputs of traced graphs: where the features are, if there are any."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port
from edge_rnn_export.readers.tracing.walk import read_graph


@pytest.mark.parametrize("shape", [("time", "batch", 3), ("batch", 3)])
def test_axis_of_a_single_output_may_be_removed(shape: tuple[int | str, ...]) -> None:
    weight = np.float32([[1], [2], [-3]])
    constants = {"w": Constant.of(weight), "axes": Constant.of(np.array([len(shape) - 1]))}
    operators = (
        Operator("MatMul", "/out/MatMul", ("x", "w"), ("y",)),
        Operator("Squeeze", "/Squeeze", ("y", "axes"), ("z",)),
    )
    graph = Graph(operators, (Port("x", shape),), ("z",), constants, Budget(2**20))
    reading = read_graph(graph, None, {})
    xs = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(reference.run(reading.model, xs)[0], xs.astype(np.float64) @ weight, rtol=0, atol=1e-12)
    assert reading.axis == len(shape) - 1
