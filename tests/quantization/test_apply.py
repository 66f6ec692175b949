"""``quantize``: its choices, its errors, and the loss of the networks that ship."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Dense, Model, Stream
from edge_rnn.errors import InputError
from edge_rnn.formats import Fitting, Int4, Int8, LowRank, Sparse
from edge_rnn.quantization.apply import calibrate, drift, matrices, spelled
from edge_rnn.quantization.trials import stored_bytes

pytestmark = pytest.mark.sampled(3)

Build = Callable[..., Model]
CELLS = ("gru", "elman_tanh", "gru_reset_before", "lstm")


def correlated(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Vectors with correlated values, as from sensors."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 3)) @ rng.standard_normal((3, size)) + 0.1 * rng.standard_normal((count, size))


@pytest.fixture(scope="module")
def wrist() -> dict[str, Any]:
    folder = edge_rnn.data_path("smart_watch")
    with np.load(folder / "recording.npz") as arrays:
        found: dict[str, Any] = {name: arrays[name] for name in arrays}
    return found | {cell: edge_rnn.load(folder / f"{cell}.safetensors") for cell in ("gru", "lstm", "elman")}


def share_and_recordings(model: Model, wrist: dict[str, Any]) -> tuple[float, int]:
    """Share of samples, and number of recordings by the majority of their samples, that are right."""
    given = Stream(model).run(wrist["x"]).argmax(axis=1)
    right = [
        np.bincount(given[wrist["recording"] == part]).argmax() == wrist["y"][wrist["recording"] == part][0]
        for part in np.unique(wrist["recording"])
    ]
    return float(np.mean(given == wrist["y"])), sum(right)


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm", "elman"])
@pytest.mark.sampled(1)
def test_wrist_loses_next_to_nothing(wrist: dict[str, Any], cell: str, calibrated: bool) -> None:
    share, recordings = share_and_recordings(wrist[cell], wrist)
    for format_ in ("int8", "float16"):
        small = edge_rnn.quantize(wrist[cell], format_, calibration=wrist["x"] if calibrated else None)
        after, recordings_after = share_and_recordings(small, wrist)
        assert recordings_after >= recordings
        assert after >= share - (0.005 if format_ == "int8" else 0.0005)


@pytest.mark.parametrize(
    ("cell", "shape"),
    list(itertools.product(CELLS, [(3, 16), (16, 64)])),
)
@pytest.mark.sampled(1)
def test_w8a16_stays_near_over_a_long_run_of_random_networks(
    make_model: Build, cell: str, shape: tuple[int, int]
) -> None:
    """White noise through uniform weights is the hardest case: 254 steps alone are an error of 1 / 254 = 3.9e-3."""
    model = make_model(cell, *shape, head=0)
    xs = np.random.default_rng(1).standard_normal((10_000, shape[0])).astype(np.float32)
    assert drift(model, edge_rnn.quantize(model, "int8", calibration=xs[:5000]), xs) <= 4e-3
    assert drift(model, edge_rnn.quantize(model, "int8"), xs) <= 5e-3
    assert drift(model, edge_rnn.quantize(model, "float16"), xs) <= 3e-4


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman"])
@pytest.mark.sampled(1)
def test_w8a16_stays_near_over_a_long_run_of_trained_networks(wrist: dict[str, Any], cell: str) -> None:
    assert drift(wrist[cell], edge_rnn.quantize(wrist[cell], "int8", calibration=wrist["x"]), wrist["x"]) <= 4e-3


def test_weights_shrink_by_the_format(make_model: Build) -> None:
    """The values alone; the scale of each row comes on top."""
    model = make_model("gru", 64, 256, bias=False)
    whole = stored_bytes(model)
    assert whole / stored_bytes(edge_rnn.quantize(model, "float16")) == 2
    assert 3.9 < whole / stored_bytes(edge_rnn.quantize(model, "int8")) < 4
    assert 6.2 < whole / stored_bytes(edge_rnn.quantize(model, "int4")) < 6.5
    assert 3.7 < whole / stored_bytes(edge_rnn.quantize(model, "sparse:0.75")) < 4
    packed = Stream(model).memory.weights
    assert 3.7 < packed / Stream(edge_rnn.quantize(model, "int8")).memory.weights < 4
    assert 1.98 < packed / Stream(edge_rnn.quantize(model, "float16")).memory.weights < 2.01


def test_int8_is_within_half_a_step_of_each_row() -> None:
    matrix = np.random.default_rng(0).standard_normal((50, 40)).astype(np.float32)
    matrix[3] = 0
    matrix[7] *= 1000
    matrix[9] *= 1e-42  # subnormal: nothing is left of it
    made = Int8.quantized(matrix)
    off = np.abs(made.dense() - matrix)
    inside = np.abs(matrix) <= 127 * made.scale[:, None]
    assert (off <= 0.5001 * made.scale[:, None] + 1e-38)[inside].all()
    assert inside.mean() > 0.9
    assert not made.values[3].any()
    assert made.scale[3] == 0
    assert off[7].max() < 1000 * off[[0, 1, 2, 4, 5]].max() * 3


def test_clipping_and_feedback_make_products_better() -> None:
    """Both methods are measured by their objective: the mean squared error of products with such vectors."""
    rng = np.random.default_rng(1)
    matrix = rng.standard_t(3, (64, 48)).astype(np.float32)
    xs = correlated(4000, 48)
    moments = xs.T @ xs / len(xs)

    def error(made: Any) -> float:
        return float(np.square(xs @ (made.dense() - matrix).T.astype(np.float64)).mean())

    full = Int4.of(*_to_nearest(matrix, 7))
    nearest, fed_back = Fitting(moments=moments, feedback=False), Fitting(moments=moments)
    assert error(Int4.quantized(matrix, nearest)) < 0.8 * error(full)
    assert error(Int4.quantized(matrix, fed_back)) < 0.5 * error(Int4.quantized(matrix, nearest))
    assert error(Int8.quantized(matrix, fed_back)) < 0.5 * error(Int8.quantized(matrix, nearest))


def _to_nearest(matrix: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Round to nearest, with a scale from the largest weight."""
    groups = [matrix[:, start : start + 32] for start in range(0, matrix.shape[1], 32)]
    scale = np.stack([np.abs(group).max(axis=1) / most for group in groups], axis=1).astype(np.float32)
    return np.round(matrix / np.repeat(scale, 32, axis=1)[:, : matrix.shape[1]]).astype(np.int8), scale


def test_sparse_keeps_the_largest_blocks() -> None:
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((3 * 20, 12)).astype(np.float32)
    made = Sparse.of(matrix, 3, 3)
    assert made.index.shape == (2, 3)
    dense = made.dense()
    kept = dense != 0
    np.testing.assert_array_equal(dense[kept], matrix[kept])
    for panel, units in enumerate((slice(0, 16), slice(16, 20))):
        energy = np.square(matrix.reshape(3, 20, 12)[:, units]).sum(axis=(0, 1))
        assert set(made.index[panel]) == set(np.argsort(-energy)[:3])
    again = Sparse.of(dense, 3, 3)
    np.testing.assert_array_equal(again.dense(), dense)
    weighed = np.diag(np.where(np.arange(12) == 5, 1e6, 1.0))
    assert (Sparse.of(matrix, 3, 3, weighed).index == 5).any(axis=1).all()


def test_low_rank_is_the_best_of_its_rank() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((30, 20)).astype(np.float32)
    singular = np.linalg.svd(matrix, compute_uv=False)
    for rank in (1, 5, 11):
        off = np.linalg.norm(LowRank.of(matrix, rank).dense() - matrix)
        assert off == pytest.approx(np.sqrt(np.square(singular[rank:]).sum()), rel=1e-4)
    xs = correlated(2000, 20)
    moments = xs.T @ xs / len(xs)

    def error(made: Any) -> float:
        return float(np.square(xs @ (made.dense() - matrix).T).mean())

    assert error(LowRank.of(matrix, 4, moments)) < 0.3 * error(LowRank.of(matrix, 4))


def test_what_is_not_named_stays(make_model: Build) -> None:
    model = make_model("gru", 6, 16, layers=2)
    made = edge_rnn.quantize(model, {"gru1.weight_hh": "int8", "dense3": "float16"})
    assert {name: spelled(matrix) for name, matrix in matrices(made).items()} == {
        "gru1.weight_ih": "float32",
        "gru1.weight_hh": "int8",
        "gru2.weight_ih": "float32",
        "gru2.weight_hh": "float32",
        "dense3.weight": "float16",
    }
    assert made.labels == model.labels
    assert made.layers[1].name == "gru2"
    again = edge_rnn.quantize(made, {"gru1.weight_hh": "int8"})
    assert again.fingerprint == made.fingerprint
    pruned = edge_rnn.quantize(model, {"gru1.weight_hh": "sparse:0.7"})
    assert spelled(matrices(pruned)["gru1.weight_hh"]) == "sparse:0.6875"  # 11 of 16 columns
    for share in ("0.7", "0.6875"):
        assert edge_rnn.quantize(pruned, {"gru1.weight_hh": f"sparse:{share}"}).fingerprint == pruned.fingerprint
    whole = edge_rnn.quantization.dequantize(made)
    assert not any(layer.formats for layer in whole.layers)
    np.testing.assert_array_equal(whole.layers[0].arrays["weight_hh"], np.asarray(matrices(made)["gru1.weight_hh"]))
    assert edge_rnn.quantization.dequantize(model) is model


@pytest.mark.slow
def test_the_same_arguments_give_the_same_bytes(make_model: Build) -> None:
    model, xs = make_model("lstm", 5, 24), np.random.default_rng(0).standard_normal((300, 5))
    for format_ in ("int8", "w8a8", "int4", "sparse:0.5", "rank:3"):
        first, second = (edge_rnn.quantize(model, format_, calibration=xs) for _ in range(2))
        assert first.fingerprint == second.fingerprint


@pytest.mark.slow
def test_calibration_is_no_worse_than_none(wrist: dict[str, Any]) -> None:
    xs = wrist["x"]
    for format_ in ("int8", "int4", "w8a8", "sparse:0.5", "rank:1"):
        plain, calibrated = (edge_rnn.quantize(wrist["gru"], {"rnn": format_}, calibration=each) for each in (None, xs))
        assert drift(wrist["gru"], calibrated, xs) <= 1.01 * drift(wrist["gru"], plain, xs)


@pytest.mark.slow
def test_biases_take_back_what_changes_on_average(make_model: Build) -> None:
    """Vectors far from zero, as from sensors without scaling."""
    model, xs = make_model("elman_tanh", 6, 16), np.random.default_rng(0).normal(3, 0.1, (500, 6))
    with_biases = edge_rnn.quantize(model, {"elman1.weight_ih": "int4"}, calibration=xs)
    assert with_biases.layers[0].arrays["bias_ih"].tolist() != model.layers[0].arrays["bias_ih"].tolist()
    np.testing.assert_array_equal(with_biases.layers[0].arrays["bias_hh"], model.layers[0].arrays["bias_hh"])
    plain = edge_rnn.quantize(model, {"elman1.weight_ih": "int4"})
    few = xs.astype(np.float32)
    assert drift(model, with_biases, few) < 0.2 * drift(model, plain, few)


def test_calibration_may_be_made_once(make_model: Build) -> None:
    model, xs = make_model("gru", 5, 24, layers=2), np.random.default_rng(0).standard_normal((200, 5))
    found = calibrate(model, xs)
    assert edge_rnn.quantize(model, "int8", calibration=found).fingerprint == (
        edge_rnn.quantize(model, "int8", calibration=xs).fingerprint
    )


@pytest.mark.parametrize("format_", ["int8", "int4", "w8a8", "sparse:0.5", "rank:1"])
@pytest.mark.sampled(1)
def test_dead_inputs_do_not_stop_calibration(format_: str, make_model: Build) -> None:
    """A channel that is always zero has no moments, and a recording of one sample hardly any."""
    model = make_model("gru", 4, 16)
    xs = np.random.default_rng(0).standard_normal((100, 4))
    xs[:, 2] = 0
    for recording in (xs, xs[:1], np.zeros((5, 4))):
        made = edge_rnn.quantize(model, {"gru1": format_}, calibration=recording)
        assert np.isfinite(Stream(made).run(xs)).all()


REFUSED: list[tuple[str, Callable[[Model], Any], str]] = [
    ("no model", lambda m: edge_rnn.quantize("gru", "int8"), "quantize got str, expected a Model"),  # type: ignore[arg-type]
    ("format", lambda m: edge_rnn.quantize(m, "int7"), "got the format 'int7'"),
    ("share", lambda m: edge_rnn.quantize(m, "sparse:1.5"), "got the format 'sparse:1.5'"),
    (
        "matrix",
        lambda m: edge_rnn.quantize(m, {"gru2": "int8"}),
        "got the matrix 'gru2', expected one of gru1.weight_ih",
    ),
    ("number", lambda m: edge_rnn.quantize(m, 8), "got 8 as formats"),  # type: ignore[arg-type]
    ("rank", lambda m: edge_rnn.quantize(m, {"gru1": "rank:200"}), "saves nothing for 48 x 4, expected at most 3"),
    ("twice", lambda m: edge_rnn.quantize(edge_rnn.quantize(m, "int8"), "int4"), "as int8 already, expected float32"),
    ("empty", lambda m: edge_rnn.quantize(m, "int8", calibration=np.zeros((0, 4))), "calibration got no samples"),
    (
        "channels",
        lambda m: edge_rnn.quantize(m, "int8", calibration=np.zeros((9, 3))),
        "shape (9, 3), expected (time, 4)",
    ),
    ("one axis", lambda m: edge_rnn.quantize(m, "int8", calibration=np.zeros(4)), "shape (4,), expected (time, 4)"),
    (
        "NaN",
        lambda m: edge_rnn.quantize(m, "int8", calibration=[[0, 0, 0, 0], [0, np.nan, 0, 0]]),
        "calibration got nan in sample 1, channel 1",
    ),
    ("text", lambda m: edge_rnn.quantize(m, "int8", calibration=[["a"] * 4]), "calibration got a recording of dtype"),
]


@pytest.mark.parametrize(("call", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(make_model: Build, call: Callable[[Model], Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        call(make_model("gru", 4, 16))
    assert message in str(caught.value)


def test_weights_beyond_float16_are_refused_by_quantize() -> None:
    model = Model([Dense(np.full((2, 2), 7e4))])
    with pytest.raises(InputError, match=r"quantize of dense1.weight: float16 cannot hold the weight 7e\+04"):
        edge_rnn.quantize(model, "float16")
    assert isinstance(edge_rnn.quantize(model, "int8").layers[0].formats["weight"], Int8)
