"""``calibrate`` uses all of a recording, in memory that does not grow with it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

import edge_rnn
from edge_rnn import GRU, LSTM, Dense, Model, Standardize, Stream, reference
from edge_rnn.errors import InputError
from edge_rnn.formats import W8A8, Float16, Int8, Matrix
from edge_rnn.quantization import calibration, moments
from edge_rnn.quantization.calibration import Calibration, calibrate
from edge_rnn.recordings.stretches import LENGTH, spread, stretches

Build = Callable[..., Model]


def branching() -> Model:
    """Layers that read several others, a projection, a scaling far from zero."""
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    return Model(
        [
            Standardize(np.full(2, 100.0), np.full(2, 0.5)),
            LSTM(some(20, 2), some(20, 3), some(20), weight_hr=some(3, 5), h0=np.full(3, 0.5), name="lstm"),
            GRU(some(12, 5), some(12, 4), some(12), some(12), inputs=("lstm", "input"), name="gru"),
            Dense(some(2, 7), some(2), inputs=("gru", "lstm")),
        ]
    )


def met(model: Model, xs: np.ndarray) -> dict[str, np.ndarray]:
    """Vectors that each matrix multiplies, by the float64 reference."""
    found = {}
    for layer, (reads, puts) in zip(model.layers, reference.trace(model, xs), strict=True):
        for name in layer.matrices:
            before = np.vstack([layer.initial_state["h"], puts[:-1]]) if name == "weight_hh" else reads
            found[f"{layer.name}.{name}"] = before
    return found


@pytest.mark.parametrize("steps", [1, 2, 777])
@pytest.mark.sampled(2)
def test_moments_are_those_of_every_sample(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of 64 steps, and of a single step: the kernels are within 1e-6 of the reference."""
    monkeypatch.setattr(calibration, "_BLOCK_FLOATS", 1)
    model, xs = branching(), np.random.default_rng(1).normal(100, 0.5, (steps, 2)).astype(np.float32)
    found = calibrate(model, xs)
    expected = met(model, xs.astype(np.float64))
    assert found.meets.keys() == expected.keys()
    for name, vectors in expected.items():
        meets = found.meets[name]
        largest = max(1.0, float(np.abs(vectors).max()))
        np.testing.assert_allclose(meets.mean, vectors.mean(axis=0), atol=2e-6 * largest)
        np.testing.assert_allclose(meets.moments, vectors.T @ vectors / steps, atol=4e-6 * largest**2)
        np.testing.assert_allclose(meets.moving, np.cov(vectors.T, bias=True), atol=1e-5)
        assert (meets.some is None) == (not name.endswith("weight_hh"))
        if meets.some is not None:
            np.testing.assert_allclose(np.roll(meets.some, 1, axis=0), vectors, atol=1e-6)  # the first comes last


def quiet_and_loud(quiet: int, loud: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    parts = [1e-3 * rng.standard_normal((quiet, 3)), 3 * np.sin(rng.standard_normal((loud, 3)).cumsum(axis=0) / 20)]
    first, second = (part.astype(np.float32) for part in parts)
    return first, second


@pytest.mark.slow
def test_a_quiet_beginning_hides_nothing(make_model: Build) -> None:
    """Weights fit data after half a minute of silence as well as data without it, in either order."""
    model = make_model("gru", 3, 12)
    quiet, loud = quiet_and_loud(25_000, 5_000)

    def error(made: Model) -> float:
        ys = Stream(model).run(loud)
        return float(np.sqrt(np.square(Stream(made).run(loud) - ys).mean() / np.square(ys).mean()))

    def calibrated(*parts: np.ndarray) -> Model:
        return edge_rnn.quantize(model, "int4", calibration=np.concatenate(parts))

    best = error(calibrated(loud))
    assert error(calibrated(quiet, loud)) <= 1.25 * best
    assert error(calibrated(loud, quiet)) <= 1.25 * best
    assert error(edge_rnn.quantize(model, "int4")) > 1.5 * best
    assert calibrated(quiet, loud).fingerprint != calibrated(quiet, -loud).fingerprint


def test_a_recording_beyond_the_work_is_taken_in_stretches(make_model: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_TRACED_WORK", 1)
    model = make_model("gru", 3, 12)
    quiet, loud = quiet_and_loud(40_000, 2_000)
    xs = np.concatenate([quiet, loud, quiet])
    found = calibrate(model, xs)
    share = np.square(loud).sum() / np.square(xs).sum()
    assert share > 0.99  # nearly all of what there is, in a fortieth of the time
    whole = np.square(xs).mean()
    assert np.trace(found.meets["gru1.weight_ih"].moments) / 3 > whole
    assert len(found.yardstick.rows) == 10_000


def test_memory_does_not_grow_with_the_recording(make_model: Build) -> None:
    """In addition to the recording: one byte per value to check that it is finite, and memory by the model's size."""
    model = make_model("elman_tanh", 1, 2)
    peaks = []
    for steps in (50_000, 400_000):
        xs = np.random.default_rng(0).standard_normal((steps, 1)).astype(np.float32)
        calibrate(model, xs)
        tracemalloc.start()
        calibrate(model, xs)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    kept = 2 * 400_000 * 4  # both states of each step, fewer than the four million numbers that are kept
    assert peaks[1] - peaks[0] < 8 * kept
    assert peaks[1] < 40e6


def test_some_states_are_kept_from_all_of_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of w8a8 include the largest value at any position."""
    monkeypatch.setattr(moments, "_KEPT_VALUES", 200)
    model = Model([edge_rnn.Elman([[1.0]], [[0.0]], activation="relu")])
    xs = np.linspace(0, 1, 5000, dtype=np.float32)[:, None]
    xs[3456] = 7
    some = calibrate(model, xs).meets["elman1.weight_hh"].some
    assert some is not None
    assert len(some) <= 202
    assert some.max() == 7
    spread_out = np.sort(some[some < 2])
    assert np.diff(spread_out).max() < 2 * 5000 / 200 / 5000 + 1e-6


@pytest.mark.slow
def test_a_matrix_is_rounded_once_for_each_distinct_method(make_model: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search reuses the result any number of times."""
    counts = {"scales": 0, "quantized": 0}

    def count(kind: type[Matrix], name: str) -> None:
        real = getattr(kind, name)

        def counted(*given: object) -> object:
            counts[name] += 1
            return real(*given)

        monkeypatch.setattr(kind, name, counted)

    count(Int8, "scales")
    monkeypatch.setattr(W8A8, "scales", Int8.scales)
    count(Float16, "quantized")
    model, xs = make_model("gru", 3, 8), np.random.default_rng(0).standard_normal((500, 3))
    found = calibrate(model, xs)
    for formats in ("int8", "w8a8", {"gru1.weight_hh": "int8"}, {"gru1.weight_hh": "float16"}):
        edge_rnn.quantize(model, formats, calibration=found)  # type: ignore[arg-type]
    assert counts == {"scales": 2 * 3, "quantized": 2}  # with and without the mean


def test_a_calibration_is_of_one_model(make_model: Build) -> None:
    found = calibrate(make_model("gru", 3, 8), np.ones((10, 3)))
    assert isinstance(found, Calibration)
    with pytest.raises(InputError, match="got the calibration of another model; call calibrate"):
        edge_rnn.quantize(make_model("gru", 3, 8, seed=1), "int8", calibration=found)


def test_values_beyond_float32_are_named() -> None:
    model = Model([edge_rnn.Elman([[1.0]], [[2.0]], activation="relu")])
    with pytest.raises(InputError, match="leave the range of float32 between samples 0 and 400; expected a recording"):
        calibrate(model, np.ones((400, 1)))


def test_stretches_are_of_every_part_and_of_what_is_loud() -> None:
    xs = np.zeros((200_000, 2), np.float32)
    xs[:, 0] = 1e4 + 1e-3 * np.sin(np.arange(len(xs)))  # large, but hardly moving
    xs[123_400:123_500, 1] = 1.0  # a tenth of a second, once
    found = list(stretches(xs, 10 * LENGTH))
    assert len(found) == 10
    assert all(end - start >= LENGTH for start, end in found)
    assert all(end <= start for (_, end), (start, _) in pairwise(found))
    assert any(start <= 123_400 and end >= 123_500 for start, end in found)
    assert [sum(start // 50_000 == quarter for start, _ in found) >= 2 for quarter in range(4)] == [True] * 4
    assert len(spread(xs, 10 * LENGTH)) == sum(end - start for start, end in found)


def test_short_and_silent_recordings_are_taken_too() -> None:
    for steps in (1, LENGTH, 10 * LENGTH):
        xs = np.ones((steps, 1), np.float32)
        assert spread(xs, 10 * LENGTH) is xs
    silent = np.zeros((50 * LENGTH, 1), np.float32)
    assert len(spread(silent, 10 * LENGTH)) == 10 * LENGTH
