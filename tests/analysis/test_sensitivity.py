"""Effect of a sample on later outputs, against the chain rule for networks where that is one line."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edge_rnn import LSTM, Dense, Elman, Embedding, Model, Stream, reference
from edge_rnn.analysis.sensitivity import Sensitivity, sensitivity
from edge_rnn.errors import InputError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("decay", [0.5, 0.9, 1.0, 1.01])
def test_a_linear_network_by_hand(decay: float) -> None:
    model = Model([Elman([[0.5]], [[decay]], activation="none"), Dense([[2.0], [-1.0]])])
    xs = RNG.standard_normal((40, 1)).astype(np.float32)
    found = sensitivity(model, xs, lags=64)
    weight = float(np.float32(decay))
    expected = 0.5 * math.sqrt(5) * xs.std(dtype=np.float64) * weight ** np.arange(65)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-11)
    assert (found.of_symbols, found.of_scores, found.places) == (False, False, 4)
    if decay < 1:
        assert found.peak_lag == 0
        assert found.half_life_steps == pytest.approx(math.log(2) / -math.log(weight), rel=1e-6)
        assert found.felt_steps == min(64, math.floor(math.log(0.01) / math.log(weight)))
    else:
        assert found.felt_steps == 64
        assert decay == 1 or found.peak_lag == 64
        assert found.half_life_steps is None


def test_an_elman_network_by_the_chain_rule() -> None:
    hidden, count = 6, 3
    cell = Elman(RNG.normal(size=(hidden, count)), 0.5 * RNG.normal(size=(hidden, hidden)), RNG.normal(size=hidden))
    head = Dense(RNG.normal(size=(2, hidden)))
    model, xs, lags = Model([cell, head]), RNG.standard_normal((30, count)).astype(np.float32), 12
    found = sensitivity(model, xs, lags=lags, places=3)
    total = np.zeros(lags + 1)
    for place in range(3):
        start = int((place + 0.5) / 3 * 30)
        stream = Stream(model)
        stream.run(np.concatenate([xs, xs[:start]]))
        state = {name: value.astype(np.float64) for name, value in stream.state.items()}
        moved = np.diag(xs.std(axis=0, dtype=np.float64))
        for lag in range(lags + 1):
            _, state = reference.step(model, xs[(start + lag) % 30], state)
            (h,) = state.values()
            into = np.asarray(cell.weight_ih, np.float64) if lag == 0 else np.asarray(cell.weight_hh, np.float64)
            moved = (1 - h**2)[:, None] * (into @ moved)
            total[lag] += np.square(np.asarray(head.weight, np.float64) @ moved).sum()
    np.testing.assert_allclose(found.values, np.sqrt(total / 3), rtol=1e-6, atol=1e-11)


def test_many_channels_take_some_directions_that_are_right_on_average() -> None:
    model = Model([Elman(RNG.normal(size=(1, 20)), [[0.5]], activation="none")])
    xs = RNG.standard_normal((50, 20)).astype(np.float32)
    exact = np.linalg.norm(np.asarray(model.layers[0].arrays["weight_ih"][0] * xs.std(axis=0), np.float64))
    squares = [sensitivity(model, xs, lags=0, places=1, seed=seed).values[0] ** 2 for seed in range(300)]
    # Each is at most 20 / 8 of the exact one; the mean of 300 is within 4 of its own deviations.
    assert np.mean(squares) == pytest.approx(exact**2, abs=4 * np.std(squares) / math.sqrt(300))
    assert np.std(squares) > 0


def test_softmax_is_left_off() -> None:
    cell, head = Elman(RNG.normal(size=(4, 2)), 0.3 * RNG.normal(size=(4, 4))), Dense(RNG.normal(size=(3, 4)))
    xs = RNG.standard_normal((20, 2)).astype(np.float32)
    plain = sensitivity(Model([cell, head]), xs, lags=5)
    shares = sensitivity(Model([cell, replace(head, activation="softmax")]), xs, lags=5)
    np.testing.assert_array_equal(plain.values, shares.values)
    assert (plain.of_scores, shares.of_scores) == (False, True)


@pytest.mark.parametrize("reads", ["one-hot", "table"])
def test_symbols_are_exchanged(reads: str) -> None:
    size, inputs = 5, 5 if reads == "one-hot" else 3
    table = [] if reads == "one-hot" else [Embedding(RNG.normal(size=(size, inputs)))]
    cell = LSTM(RNG.normal(size=(16, inputs)), 0.5 * RNG.normal(size=(16, 4)))
    model = Model([*table, cell, Dense(RNG.normal(size=(size, 4)))], vocabulary="abcde" if reads == "one-hot" else "")
    text = RNG.integers(0, size, 21)
    eye = np.eye(size, dtype=np.float32)
    xs = eye[text] if reads == "one-hot" else text[:, None].astype(np.float32)
    found = sensitivity(model, xs, lags=6, places=1)
    assert found.of_symbols
    start, squares = 10, np.zeros(7)
    stream = Stream(model)
    stream.run(np.concatenate([xs, xs[:start]]))
    state = {name: value.astype(np.float64) for name, value in stream.state.items()}
    follow = xs[(start + np.arange(7)) % 21].astype(np.float64)
    ys, _ = reference.run(model, follow, state)
    for other in set(range(size)) - {int(text[start])}:
        follow[0] = eye[other] if reads == "one-hot" else other
        squares += np.square(reference.run(model, follow, state)[0] - ys).sum(axis=1) / (size - 1)
    np.testing.assert_allclose(found.values, np.sqrt(squares), rtol=1e-9, atol=1e-14)


def test_what_is_forgotten_is_zero() -> None:
    model = Model([Elman([[1.0]], [[0.0]])])
    found = sensitivity(model, np.sin(np.arange(9.0))[:, None], lags=1024)
    assert found.values[0] > 0.1
    assert not found.values[1:].any()
    assert (found.peak_lag, found.felt_steps, found.half_life_steps) == (0, 0, None)
    without = sensitivity(Model([Elman([[0.0]], [[0.5]])]), np.ones((3, 1)), lags=4)
    assert not without.values.any()


def test_figures_of_a_curve() -> None:
    curve = np.array([1.0, 4.0, 2.0, 1.0, 0.5, 0.039, 0.0, 0.0])
    found = Sensitivity(curve, 1, False, False)
    assert (found.peak_lag, found.felt_steps) == (1, 4)
    assert found.half_life_steps == pytest.approx(1.0)


def test_what_is_refused() -> None:
    model = Model([Elman([[1.0]], [[0.0]])])
    for xs in (np.ones((0, 1)), np.ones((3, 2)), np.array([[np.inf]])):
        with pytest.raises(InputError, match="sensitivity got samples of shape"):
            sensitivity(model, xs)
