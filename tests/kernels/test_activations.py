"""Approximations of the activations, through Dense layers of one unit."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rnn import Dense, Model, Stream

SPECIAL = np.array([0.0, -0.0, 1e-45, 1e-38, 8.01, 8.02, 8.03, 20.0, 3e38], np.float32)


def through(activation: str, x: np.ndarray) -> np.ndarray:
    """``activation(x)`` of each element, by the compiled Dense layer."""
    model = Model([Dense([[1.0]], activation=activation)])  # type: ignore[arg-type]
    return Stream(model).run(x[:, None])[:, 0]


def axis() -> np.ndarray:
    """Values of both signs, from the smallest subnormal through all magnitudes to far beyond saturation."""
    positive = np.concatenate([np.linspace(0, 12, 400_001), np.logspace(-44, 38, 50_001), SPECIAL]).astype(np.float32)
    return np.concatenate([positive, -positive])


def test_tanh_is_within_six_units_in_the_last_place() -> None:
    x = axis()
    y, expected = through("tanh", x), np.tanh(x.astype(np.float64))
    ulp = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    assert (np.abs(y - expected) / ulp).max() <= 6
    assert np.abs(y - expected).max() <= 3.2e-7
    assert np.abs(y).max() <= 1
    assert np.array_equal(y, -through("tanh", -x))


def test_tanh_saturates_within_two_units_of_one() -> None:
    """Exactly 1 with fused multiply-add, 1 - 2^-23 without."""
    far = through("tanh", np.array([9.0, 100.0, 3e38, -9.0, -3e38], np.float32))
    np.testing.assert_allclose(far, [1, 1, 1, -1, -1], rtol=0, atol=2**-23)


def test_sigmoid() -> None:
    x = axis()
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x.astype(np.float64)))
    y = through("sigmoid", x)
    assert np.abs(y - expected).max() <= 2.5e-7
    assert y.min() >= 0
    assert y.max() <= 1


def test_relu_and_none_are_exact() -> None:
    x = axis()
    assert np.array_equal(through("none", x), x)
    assert np.array_equal(through("relu", x), np.maximum(x, 0))


@pytest.mark.parametrize("size", [2, 5, 8, 23])
def test_softmax_exp(size: int) -> None:
    """Relative error of a share, given the float32 distance to the largest: some 2^-24 each for exp, sum, division."""
    rng = np.random.default_rng(size)
    model = Model([Dense(np.eye(size), activation="softmax")])
    xs = rng.uniform(-80, 0, (2000, size)).astype(np.float32)
    exact = np.exp((xs - xs.max(axis=1, keepdims=True)).astype(np.float64))
    np.testing.assert_allclose(Stream(model).run(xs), exact / exact.sum(axis=1, keepdims=True), rtol=5e-7)
