"""Exposed values: a NaN among them always shows in the output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from edge_rnn.equations import concat, largest, maximum, minimum, softmax, split, tanh, total
from edge_rnn.equations.evaluation import evaluate
from edge_rnn.equations.exposure import exposed
from edge_rnn.equations.symbols import trace
from random_equations import Program, as_cell, programs

W, B = np.ones((4, 6), np.float32), np.ones(6, np.float32)


def shows(function: Any, **given: Any) -> bool:
    """True if the input of a layer without states is exposed."""
    graph = trace(function, given, 6, {})
    return any(shown for node, shown in zip(graph.nodes, exposed(graph), strict=True) if node.op == "input")


@pytest.mark.parametrize(
    ("function", "given", "shown"),
    [
        (lambda p, x: (tanh(x) / total(x), {}), {}, True),
        (lambda p, x: (split(p.w @ x, 2)[0], {}), {"w": W}, True),  # all rows are NaN
        (lambda p, x: (x[0:5], {}), {}, False),
        (lambda p, x: (concat(x[3:6], p.b, x[0:3]), {}), {"b": B}, True),
        (lambda p, x: (concat(x[0:2], x[3:6]), {}), {}, False),
        (lambda p, x: (x[0:5] * total(x), {}), {}, True),
        (lambda p, x: (x[0:5] * largest(x), {}), {}, False),  # a kernel's maximum may lose it
        (lambda p, x: (softmax(x), {}), {}, True),
        (lambda p, x: (maximum(x, 0.0), {}), {}, True),
        (lambda p, x: (maximum(0.0, x), {}), {}, False),
        (lambda p, x: (minimum(tanh(x), x * 2), {}), {}, True),
        (lambda p, x: (minimum(x * 2, p.b * p.b), {}), {"b": B}, False),
        (lambda p, x: (p.b, {}), {"b": B}, False),
    ],
)
def test_input_is_exposed_if_the_output_shows_each_of_its_values(function: Any, given: Any, shown: bool) -> None:
    assert shows(function, **given) is shown


@settings(max_examples=150, deadline=None)
@given(program=programs())
def test_nan_in_an_exposed_value_makes_the_output_nan(program: Program) -> None:
    layer = as_cell(program)
    graph, shown = layer.graph, exposed(layer.graph)
    nodes = [node for node, is_shown in zip(graph.nodes, shown, strict=True) if is_shown]
    leaves = {(node.op, node.name): node.shape[0] for node in nodes if node.op in ("input", "state")}
    for (op, name), size in leaves.items():
        for unit in range(size):
            x, states = np.ones(graph.input_size), {key: np.ones(length) for key, length in graph.sizes}
            (x if op == "input" else states[name])[unit] = np.nan
            with np.errstate(all="ignore"):
                y, _ = evaluate(graph, layer.parameters, x, states)
            assert np.isnan(y).any(), (op, name, unit)
