"""Folding of scales and shifts into the matrices before and behind them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edge_rnn import Model, reference
from edge_rnn_export.readers.tracing.graph import Operator
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

IN, H = 3, 4
RNG = np.random.default_rng(2)
CONSTANTS = {
    "scale": RNG.uniform(0.5, 2, IN),
    "shift": RNG.uniform(-1, 1, IN),
    "W": RNG.uniform(-1, 1, (1, 3 * H, IN)),
    "R": RNG.uniform(-1, 1, (1, 3 * H, H)),
    "B": RNG.uniform(-1, 1, (1, 6 * H)),
    "W2": RNG.uniform(-1, 1, (1, 3 * H, 2 * IN)),
    "M": RNG.uniform(-1, 1, (IN, 2)),
    "axis": np.array([2]),
    "one": np.array([[1.0], [-2.0], [0.5], [3.0]]),
}
NORMED = (op("Mul", "x scale", "s"), op("Add", "s shift", "n"))
XS = RNG.standard_normal((9, IN)).astype(np.float32)
SCALED = XS * CONSTANTS["scale"].astype(np.float32).astype(np.float64) + CONSTANTS["shift"].astype(np.float32)


def read(operators: Sequence[Operator], outputs: str = "y") -> Model:
    used = {name for operator in operators for name in operator.inputs}
    constants = {name: array for name, array in CONSTANTS.items() if name in used}
    return read_graph(small_graph(operators, constants, outputs, x=("batch", "time", IN)), None, {}).model


def cell(reads: str, weights: str = "W", biases: str = " B", name: str = "h") -> tuple[Operator, ...]:
    gru = op("GRU", f"{reads} {weights} R{biases}", f"{name}4", hidden_size=H, layout=1, linear_before_reset=1)
    return gru, op("Squeeze", f"{name}4 axis", name)


@pytest.mark.parametrize("biases", [" B", ""])
def test_into_a_cell(biases: str) -> None:
    """Scaled weights are rounded once, and add up to 3 products each."""
    model = read([*NORMED, *cell("n", biases=biases, name="y")])
    assert [layer.kind for layer in model.layers] == ["GRU"]
    plain = read(cell("x", biases=biases, name="y"))
    expected, _ = reference.run(plain, SCALED)
    np.testing.assert_allclose(reference.run(model, XS)[0], expected, rtol=0, atol=2.0**-20)


def test_into_a_part_of_what_a_cell_reads() -> None:
    model = read([*NORMED, op("Concat", "x n", "c", axis=2), *cell("c", "W2", name="y")])
    assert [(layer.kind, layer.inputs) for layer in model.layers] == [("GRU", ("input", "input"))]
    unscaled = read([op("Concat", "x x", "c", axis=2), *cell("c", "W2", name="y")])
    assert not np.allclose(reference.run(unscaled, XS)[0], reference.run(model, XS)[0])
    weight = CONSTANTS["W2"].astype(np.float32)[0].astype(np.float64)
    scale, order = CONSTANTS["scale"].astype(np.float32), [*range(H, 2 * H), *range(H), *range(2 * H, 3 * H)]
    got = model.layers[0].arrays["weight_ih"]
    np.testing.assert_array_equal(got[:, :IN], weight[order, :IN].astype(np.float32))
    np.testing.assert_allclose(got[:, IN:], weight[order, IN:] * scale, rtol=2.0**-23)


def test_into_all_readers() -> None:
    model = read([*NORMED, *cell("n"), op("MatMul", "n M", "d"), op("Concat", "h d", "y", axis=2)])
    assert [layer.kind for layer in model.layers] == ["GRU", "Dense", "Cell"]


@pytest.mark.parametrize(
    ("behind", "outputs"),
    [
        ((*cell("n"), op("Concat", "h n", "y", axis=2)), "y"),
        ((*cell("n"), op("Tanh", "n", "t"), op("Concat", "h t", "y", axis=2)), "y"),
    ],
    ids=["the output", "a function"],
)
def test_not_if_anything_else_reads_it(behind: Sequence[Operator], outputs: str) -> None:
    model = read([*NORMED, *behind], outputs)
    assert model.layers[0].kind == "Cell"
    plain = read(cell("x", name="y"))
    expected, _ = reference.run(plain, SCALED)
    np.testing.assert_allclose(reference.run(model, XS)[0][:, :H], expected, rtol=0, atol=2.0**-20)


def test_a_difference_and_a_quotient_stay_a_layer() -> None:
    model = read([op("Sub", "x shift", "s"), op("Div", "s scale", "n"), *cell("n", name="y")])
    assert [layer.kind for layer in model.layers] == ["Standardize", "GRU"]


@pytest.mark.parametrize(("kind", "function"), [("Sub", np.subtract), ("Add", np.add), ("Div", np.divide)])
def test_one_value_and_several_constants_give_several_values(kind: str, function: np.ufunc) -> None:
    model = read([*cell("x"), op("MatMul", "h one", "d"), op(kind, "d scale", "y")])
    states, _ = reference.run(read(cell("x", name="y")), XS)
    expected = function(states @ CONSTANTS["one"], CONSTANTS["scale"].astype(np.float32))
    np.testing.assert_allclose(reference.run(model, XS)[0], expected, rtol=0, atol=2.0**-20)
