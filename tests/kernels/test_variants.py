"""Options of cells and activations: compiled steps against the float64 reference, in every form of a step."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import GRU, LSTM, Dense, Elman, Model, Stream, StreamBank, reference
from edge_rnn.activation import ACTIVATIONS, parse
from edge_rnn.errors import ModelError
from edge_rnn.layers import Embedding

pytestmark = pytest.mark.sampled(1)

SIZES = [(3, 5), (1, 8), (7, 40)]
SPELLED = (
    *ACTIVATIONS,
    "leaky_relu:0.3",
    "elu:0.5",
    "hard_sigmoid:0.16666667:0.5",
    "scaled_tanh:1.7:0.6",
    "affine:0.5:0.1",
)

# Weights are kept small where an activation has no bound, so that states stay near 1: float32 then differs by some
# rounding of 6e-8 a sum of some 50 terms, carried through a few steps.
TOLERANCE = 2e-6


def uniform(*shape: int, seed: int = 0, bound: float = 0.3) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(-bound, bound, shape).astype(np.float32)


def arrays(gates: int, inputs: int, hidden: int, outputs: int | None = None) -> dict[str, Any]:
    outputs = outputs or hidden
    bound = 1 / np.sqrt(hidden + inputs)
    return {
        "weight_ih": uniform(gates * hidden, inputs, bound=bound),
        "weight_hh": uniform(gates * hidden, outputs, seed=1, bound=bound),
        "bias_ih": uniform(gates * hidden, seed=2),
        "bias_hh": uniform(gates * hidden, seed=3),
        "h0": uniform(outputs, seed=4),
    }


def samples(inputs: int, count: int = 60) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, inputs)).astype(np.float32)


def check(*layers: Any, tolerance: float = TOLERANCE) -> None:
    model = Model(layers)
    xs = samples(model.input_size)
    expected, _ = reference.run(model, xs)
    got = Stream(model).run(xs)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    "activation",
    SPELLED,
)
def test_dense_with_every_activation(activation: str) -> None:
    for inputs, hidden in SIZES:
        check(Elman(**arrays(1, inputs, hidden)), Dense(uniform(9, hidden), activation=activation))
        check(Dense(uniform(3, inputs), uniform(3), activation=activation))


@pytest.mark.parametrize("activation", SPELLED)
def test_elman_with_every_activation(activation: str) -> None:
    for inputs, hidden in SIZES:
        check(Elman(**arrays(1, inputs, hidden), activation=activation))


GATES = ("sigmoid", "hard_sigmoid", "hard_sigmoid:0.16666667:0.5", "relu", "none")
CANDIDATES = ("tanh", "softsign", "relu")


@pytest.mark.parametrize(
    ("gate", "candidate", "reset_after"),
    list(itertools.product(GATES, CANDIDATES, (True, False))),
)
def test_gru_with_other_activations(gate: str, candidate: str, reset_after: bool) -> None:
    for inputs, hidden in SIZES:
        options = {"gate_activation": gate, "candidate_activation": candidate, "reset_after": reset_after}
        check(GRU(**arrays(3, inputs, hidden), **options))


LSTM_OPTIONS: dict[str, dict[str, Any]] = {
    "hard sigmoid": {"gate_activation": "hard_sigmoid"},
    "softsign": {"cell_activation": "softsign", "output_activation": "elu:0.7"},
    "input coupled": {"coupled": "input"},
    "forget coupled": {"coupled": "forget"},
    "gate clip": {"gate_clip": 0.2},
    "cell clip": {"cell_clip": 0.15},
    "all": {"coupled": "forget", "gate_clip": 0.3, "cell_clip": 0.2, "gate_activation": "hard_sigmoid"},
}


@pytest.mark.parametrize(
    ("options", "peephole"),
    list(itertools.product([*LSTM_OPTIONS, "none"], (False, True))),
)
def test_lstm_options(options: str, peephole: bool) -> None:
    for inputs, hidden in SIZES:
        more = {"peephole": uniform(3 * hidden, seed=6)} if peephole else {}
        check(LSTM(**arrays(4, inputs, hidden), c0=uniform(hidden), **LSTM_OPTIONS.get(options, {}), **more))


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("projected", [1, 3, 12])
@pytest.mark.slow
def test_lstm_projection(projected: int, clip: float | None) -> None:
    for inputs, hidden in SIZES:
        layer = LSTM(
            **arrays(4, inputs, hidden, projected), weight_hr=uniform(projected, hidden, seed=7), projection_clip=clip
        )
        check(layer, Dense(uniform(10, projected)))


@pytest.mark.parametrize("clip", [0.1, 1.0])
@pytest.mark.slow
def test_gate_clip_of_elman_and_gru(clip: float) -> None:
    for inputs, hidden in SIZES:
        check(Elman(**arrays(1, inputs, hidden), gate_clip=clip))
        for reset_after in (True, False):
            check(GRU(**arrays(3, inputs, hidden), gate_clip=clip, reset_after=reset_after))


def test_no_biases() -> None:
    for cls, gates in ((Elman, 1), (GRU, 3), (LSTM, 4)):
        check(cls(uniform(gates * 10, 3), uniform(gates * 10, 10, seed=1)))


def test_embedding() -> None:
    table = uniform(11, 6)
    model = Model([Embedding(table), GRU(**arrays(3, 6, 10)), Dense(uniform(11, 10))])
    stream = Stream(Model([Embedding(table)]))
    for symbol in (0, 3, 10, 2.4, -5, 99):
        expected = table[int(np.clip(np.rint(symbol), 0, 10))]
        np.testing.assert_array_equal(stream.step(float(symbol)), expected)
    xs = np.random.default_rng(0).integers(0, 11, (50, 1)).astype(np.float32)
    np.testing.assert_allclose(Stream(model).run(xs), reference.run(model, xs)[0], atol=TOLERANCE)
    with pytest.raises(ModelError, match="rows, expected"):
        Embedding(np.zeros((2**22 + 1, 1), np.float32))


def variants() -> list[Model]:
    cell = arrays(4, 3, 12, 5)
    return [
        Model([LSTM(**cell, weight_hr=uniform(5, 12), peephole=uniform(36), cell_clip=0.4, gate_clip=2.0)]),
        Model([GRU(**arrays(3, 3, 20), gate_activation="hard_sigmoid", reset_after=False), Dense(uniform(2, 20))]),
        Model([Elman(**arrays(1, 3, 12), activation="softsign"), Dense(uniform(9, 12), activation="elu")]),
    ]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.slow
def test_banks_files_and_formats(place: int, tmp_path: Path) -> None:
    model = variants()[place]
    edge_rnn.save(model, tmp_path / "m.safetensors")
    loaded = edge_rnn.load(tmp_path / "m.safetensors")
    assert loaded.fingerprint == model.fingerprint
    xs = samples(3, 20)
    whole, bank = Stream(loaded).run(xs), StreamBank(loaded, 6)
    for x, y in zip(xs, whole, strict=True):
        np.testing.assert_allclose(bank.step(np.tile(x, (6, 1))), np.tile(y, (6, 1)), atol=1e-6)
    for format_, tolerance in (("float16", 1e-5), ("int8", 2e-4)):
        small = edge_rnn.quantize(model, format_)
        expected, _ = reference.run(small, xs)
        np.testing.assert_allclose(Stream(small).run(xs), expected, atol=tolerance)


def test_options_that_are_usual_leave_no_trace() -> None:
    """Files and fingerprints of plain cells are the same as before options existed."""
    plain = LSTM(uniform(8, 3), uniform(8, 2))
    assert plain.options == {}
    assert GRU(uniform(6, 3), uniform(6, 2)).options == {"reset_after": True}
    spelled = LSTM(uniform(8, 3), uniform(8, 2), gate_activation="sigmoid", cell_activation="tanh", coupled="none")
    assert Model([spelled]).fingerprint == Model([plain]).fingerprint
    assert LSTM(uniform(8, 3), uniform(8, 2), gate_activation="hard_sigmoid:0.2:0.5").options == {
        "gate_activation": "hard_sigmoid"
    }


@pytest.mark.parametrize("text", SPELLED)
def test_spelling_goes_round(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize("text", ["", "swish", "tanh:1", "elu:nan", "elu:1:2", "elu:", "affine:1", "elu:a"])
def test_spelling_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of|parameters?"):
        parse(text)


def test_an_unbounded_cell_that_overflows_is_seen() -> None:
    """A relu GRU or an LSTM with a relu output may hide it in its state."""
    grows = LSTM(**arrays(4, 1, 8), gate_activation="relu", cell_activation="relu", output_activation="tanh")
    assert not grows.bounded_state
    assert LSTM(**arrays(4, 1, 8), output_activation="softsign").bounded_state
    assert GRU(**arrays(3, 1, 8), candidate_activation="relu").output_bound is None
    projected = LSTM(**arrays(4, 1, 8, 2), weight_hr=np.full((2, 8), 0.5, np.float32))
    assert projected.output_bound == pytest.approx(4.0)
