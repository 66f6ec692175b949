"""Cells that use the time since the last sample: as their last input, or as a constant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn_export
from edge_rnn import Dense, Model, Standardize, Stream, StreamBank, cell, load, quantize, reference, save
from edge_rnn.equations import exp, tanh
from edge_rnn.errors import ModelError
from edge_rnn.recordings.random_samples import random_samples
from normals import normal


@cell
def decaying(p: Any, x: Any, h: Any, *, elapsed: Any) -> Any:
    kept = exp(-elapsed * abs(p.rate))
    h = kept * h + (1 - kept) * tanh(p.w @ x + p.u @ h)
    return h, {"h": h}


WEIGHTS = {"w": normal(0, 7, 3), "u": normal(1, 7, 7), "rate": normal(2, 7)}
XS, TIMES = normal(3, 30, 3), np.random.default_rng(4).uniform(0.05, 3, 30).astype(np.float32)


def by_hand(times: Any) -> Any:
    h, ys = np.zeros(7), []
    w, u, rate = (WEIGHTS[name].astype(float) for name in ("w", "u", "rate"))
    for x, time in zip(XS.astype(float), times, strict=True):
        kept = np.exp(-float(time) * np.abs(rate))
        h = kept * h + (1 - kept) * np.tanh(w @ x + u @ h)
        ys.append(h)
    return np.array(ys)


@pytest.mark.slow
def test_time_is_the_last_value_that_the_layer_reads() -> None:
    layer = decaying(**WEIGHTS)
    assert layer.input_size == 4
    model, xs = Model([layer]), np.column_stack([XS, TIMES])
    np.testing.assert_allclose(reference.run(model, xs)[0], by_hand(TIMES), rtol=0, atol=1e-12)
    np.testing.assert_allclose(Stream(model).run(xs), by_hand(TIMES), rtol=0, atol=2e-6)
    bank = StreamBank(model, 3)
    for x, y in zip(xs, by_hand(TIMES), strict=True):
        np.testing.assert_allclose(bank.step(np.tile(x, (3, 1))), np.tile(y, (3, 1)), rtol=0, atol=2e-6)


@pytest.mark.slow
def test_time_that_is_always_the_same_is_a_parameter() -> None:
    layer = decaying(**WEIGHTS, elapsed=0.25)
    assert layer.input_size == 3
    assert layer.elapsed == 0.25
    np.testing.assert_allclose(Stream(Model([layer])).run(XS), by_hand(np.full(30, 0.25)), rtol=0, atol=2e-6)
    other = layer.replaced(elapsed=1.5)
    np.testing.assert_allclose(Stream(Model([other])).run(XS), by_hand(np.full(30, 1.5)), rtol=0, atol=2e-6)


@pytest.mark.slow
def test_time_goes_through_files_formats_and_graphs(tmp_path: Path) -> None:
    names = ("ax", "ay", "az", "elapsed")
    scaled = Standardize([1, 2, 3, 0], [1, 2, 3, 1], name="scaled")
    model = Model([scaled, decaying(**WEIGHTS, name="rnn"), Dense(normal(5, 2, 7))], input_names=names)
    xs = np.column_stack([XS * [1, 2, 3] + [1, 2, 3], TIMES]).astype(np.float32)
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.fingerprint == model.fingerprint
    expected = by_hand(TIMES) @ normal(5, 2, 7).T
    np.testing.assert_allclose(Stream(again).run(xs), expected, rtol=0, atol=5e-6)
    np.testing.assert_allclose(Stream(quantize(model, "int8")).run(xs), expected, rtol=0, atol=0.02)
    for form in ("step", "sequence"):
        edge_rnn_export.to_onnx(model, tmp_path / "m.onnx", form=form, xs=xs)


@pytest.mark.slow
def test_second_layer_gets_the_time_by_its_inputs() -> None:
    clock = Dense([[0, 0, 0, 1]], name="clock", inputs=("input",))
    second = decaying(w=normal(6, 5, 7), u=normal(7, 5, 5), rate=normal(8, 5), inputs=("first", "clock"))
    model = Model([decaying(**WEIGHTS, name="first"), clock, second])
    xs = np.column_stack([XS, TIMES])
    np.testing.assert_allclose(Stream(model).run(xs), reference.run(model, xs)[0], rtol=0, atol=2e-6)


def test_times_of_random_samples_are_above_zero() -> None:
    scaled = Standardize([1, 2, 3, 0], [1, 2, 3, 1], name="scaled")
    clock = Dense([[0, 0, 0, 1]], name="clock", inputs=("input",))
    second = decaying(w=normal(6, 5, 7), u=normal(7, 5, 5), rate=normal(8, 5), inputs=("first", "clock"))
    models = [
        Model([decaying(**WEIGHTS)], sample_rate_hz=50),
        Model([scaled, decaying(**WEIGHTS)], sample_rate_hz=50),
        Model([Dense(np.eye(7, 4), name="first"), clock, second], sample_rate_hz=50),
    ]
    for model in models:
        xs = random_samples(model, 300)
        assert (xs[:, :3] < 0).any()
        assert (xs[:, 3] > 0).all()
        assert 0.01 < xs[:, 3].mean() < 0.03
    assert (random_samples(Model([decaying(**WEIGHTS, elapsed=0.1)]), 300).min(axis=0) < -1).all()


def test_what_does_not_fit_is_refused() -> None:
    @cell
    def timeless(p: Any, x: Any, h: Any) -> Any:
        return x + h, {"h": x}

    with pytest.raises(ModelError, match=r"timeless got elapsed, which its function does not take"):
        timeless(input_size=3, elapsed=0.1)
    with pytest.raises(ModelError, match=r"decaying elapsed got 0.*seconds above zero"):
        decaying(**WEIGHTS, elapsed=0.0)
    with pytest.raises(ModelError, match="reads one value, expected samples and behind them the time"):
        decaying(**WEIGHTS, input_size=1)
    with pytest.raises(ModelError, match="w of 7 by 3 was multiplied with 2 values"):
        decaying(**WEIGHTS, input_size=3)
    with pytest.raises(ModelError, match=r"expected a function of .*def wrong\(p, x, h, \*, elapsed\)"):

        @cell
        def wrong(p: Any, x: Any, h: Any, *, delta: Any) -> Any:
            return x, {"h": h}
