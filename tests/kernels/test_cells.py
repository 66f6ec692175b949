"""Every compiled cell against the reference, over the grid of sizes.

Tolerance: a float32 sum of K products of order 1/sqrt(K) is off by some sqrt(K) * 2^-24 / sqrt(K), and the activations
by 3e-7; the state forgets, so errors do not grow with the number of steps. 3e-6 is ten times that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Model, Standardize, Stream, reference
from edge_rnn.layers import Add

pytestmark = pytest.mark.sampled(4)

TOLERANCE = 3e-6
STEPS = 1000
CELLS = ("elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm")
SIZES = ((1, 1), (1, 8), (2, 3), (1, 20), (1, 40), (6, 32), (7, 17), (16, 64), (5, 65), (40, 128), (3, 99), (128, 200))

Build = Callable[..., Model]


def error(model: Model, xs: np.ndarray) -> float:
    """Largest deviation of outputs and final states from the reference, state carried over all steps."""
    stream = Stream(model)
    ys = stream.run(xs)
    expected, state = reference.run(model, xs)
    off = [np.abs(ys - expected).max()]
    off += [np.abs(values - state[name]).max() for name, values in stream.state.items()]
    return float(max(off))


def noise(model: Model, steps: int = STEPS, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((steps, model.input_size)).astype(np.float32)


@pytest.mark.parametrize(("inputs", "hidden"), SIZES)
@pytest.mark.parametrize("cell", CELLS)
def test_agrees_with_reference(make_model: Build, cell: str, inputs: int, hidden: int) -> None:
    model = make_model(cell, inputs, hidden)
    assert error(model, noise(model)) <= TOLERANCE


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.slow
def test_largest_size(make_model: Build, cell: str) -> None:
    model = make_model(cell, 128, 512)
    assert error(model, noise(model, 300)) <= TOLERANCE


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.sampled(2)
def test_stacked_without_bias_and_from_a_trained_state(make_model: Build, cell: str) -> None:
    stacked = make_model(cell, 3, 13, layers=4, bias=False, initial=True)
    assert error(stacked, noise(stacked)) <= TOLERANCE
    headless = make_model(cell, 3, 13, layers=2, head=0, initial=True)
    assert error(headless, noise(headless)) <= TOLERANCE


@pytest.mark.parametrize("outputs", [1, 3, 8, 9, 16, 31, 64, 70, 130])
@pytest.mark.parametrize("activation", Dense.ACTIVATIONS)
def test_dense(activation: Any, outputs: int) -> None:
    rng = np.random.default_rng(outputs)
    weight = rng.standard_normal((outputs, 5)) / np.sqrt(5)
    model = Model([Dense(weight, rng.standard_normal(outputs), activation=activation)])
    assert error(model, noise(model, 50)) <= TOLERANCE


def test_softmax_of_large_and_far_apart_values() -> None:
    model = Model([Dense(np.eye(3), activation="softmax")])
    for x in ([1000.0, 999.0, -1000.0], [-1e30, 0.0, 80.0], [3e38, -3e38, 3e38], [-88.0, -88.0, -175.5]):
        got = Stream(model).step(np.array(x, np.float32))
        expected, _ = reference.run(model, np.array([x]))
        np.testing.assert_allclose(got, expected[0], atol=1e-7)


def test_standardize_keeps_the_digits_of_a_large_mean() -> None:
    """Air pressure: some pascal around 101325, scaled exactly to the last digit."""
    rng = np.random.default_rng(0)
    model = Model([Standardize(np.full(9, 101325.0), rng.uniform(0.5, 3, 9))])
    xs = (101325 + rng.standard_normal((100, 9))).astype(np.float32)
    expected, _ = reference.run(model, xs)
    np.testing.assert_allclose(Stream(model).run(xs), expected, rtol=2**-23, atol=0)


def test_layers_that_read_several_others(make_model: Build) -> None:
    rng = np.random.default_rng(0)
    parts = make_model("gru", 3, 7, head=0).layers[0], make_model("lstm", 10, 5, head=0).layers[0]
    model = Model(
        [
            Standardize(rng.standard_normal(3), rng.uniform(0.5, 2, 3), name="scaled"),
            _named(parts[0], "fast", ("scaled",)),
            _named(parts[1], "slow", ("fast", "input")),
            Dense(rng.standard_normal((3, 12)) / 4, name="mix", inputs=("slow", "fast")),
            Add(name="sum", inputs=("mix", "input", "scaled")),
            Dense(rng.standard_normal((2, 6)) / 3, activation="tanh", inputs=("sum", "input")),
        ]
    )
    assert error(model, noise(model)) <= TOLERANCE


def _named(layer: Any, name: str, inputs: tuple[str, ...]) -> Any:
    arrays = {key: value for key, value in layer.arrays.items() if key != "name"}
    return type(layer)(**arrays, **layer.options, name=name, inputs=inputs)


def test_overflowing_gates_saturate(make_model: Build) -> None:
    """Weights of 1e30 drive every gate to its limit and no further."""
    layer = make_model("lstm", 2, 9, head=0).layers[0]
    model = Model([type(layer)(**{name: np.sign(a) * 1e30 for name, a in layer.arrays.items()})])  # type: ignore[arg-type]
    ys = Stream(model).run(noise(model, 200))
    assert np.isfinite(ys).all()
    assert np.abs(ys).max() <= 1
