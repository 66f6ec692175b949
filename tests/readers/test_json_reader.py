"""Networks in JSON, against plain NumPy in the writers' own conventions, and against outputs in the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Stream, reference
from edge_rnn.errors import EdgeRnnError, FileError, InputError, ModelError, ReadingWarning, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Add, Dense
from edge_rnn_export.readers.json.reader import from_json, read_json

# Both sides compute in float64 from the same float32 weights; values stay near 1, so 1e-12 is some thousand roundings.
EXACT = 1e-12
# A gain is multiplied into the weights, which are rounded to float32 again: 2**-24 of each of some ten terms near 1.
ROUNDED = 1e-6
# Keras and PyTorch computed in float32 and wrote all digits; their own rounding is below 1e-6 here.
RECORDED = 1e-6

Array = np.ndarray[Any, np.dtype[np.float64]]
RNG = np.random.default_rng(5)


def draw(*shape: int) -> Array:
    """Weights as PyTorch draws them for 6 units: float32 values."""
    return RNG.uniform(-0.4, 0.4, shape).astype(np.float32).astype(np.float64)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def torch_cell(unit: str, xs: Array, w: Array, u: Array, b: Array, c: Array, h0: Any = 0.0, c0: Any = 0.0) -> Array:
    """A recurrent layer as PyTorch's documentation has it."""
    n = u.shape[1]
    h, cell, hs = np.zeros(n) + h0, np.zeros(n) + c0, []
    for x in xs:
        s, t = w @ x + b, u @ h + c
        if unit == "LSTM":
            i, f, g, o = np.split(s + t, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(cell)
        elif unit == "GRU":
            r, z = sigmoid(s[:n] + t[:n]), sigmoid(s[n : 2 * n] + t[n : 2 * n])
            h = (1 - z) * np.tanh(s[2 * n :] + r * t[2 * n :]) + z * h
        else:
            h = np.tanh(s + t)
        hs.append(h)
    return np.array(hs)


def keras_cell(kind: str, xs: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """A recurrent layer as Keras's documentation has it: gates i f c o, or z r h with reset_after."""
    n = len(recurrent)
    h, cell, hs = np.zeros(n), np.zeros(n), []
    for x in xs:
        if kind == "lstm":
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(cell)
        else:
            (x_z, x_r, x_h), (h_z, h_r, h_h) = np.split(x @ kernel + bias[0], 3), np.split(h @ recurrent + bias[1], 3)
            z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
            h = z * h + (1 - z) * np.tanh(x_h + r * h_h)
        hs.append(h)
    return np.array(hs)


def keras_layer(kind: str, size: int, units: int, activation: str = "") -> dict[str, Any]:
    rows = {"lstm": 4, "gru": 3}.get(kind, 1) * units
    bias = draw(2, rows) if kind == "gru" else draw(rows)
    weights = [draw(size, rows), *([draw(units, rows)] if rows > units else []), bias]
    lists = [each.tolist() for each in weights]
    return {"type": kind, "activation": activation, "shape": [None, None, units], "weights": lists}


def layer_list(kind: str = "lstm", inputs: int = 1, **more: Any) -> dict[str, Any]:
    layers = [keras_layer(kind, inputs, 6), keras_layer("dense", 6, 1)]
    return {"in_shape": [None, None, inputs], "layers": layers, **more}


def run_layer_list(document: dict[str, Any], xs: Array) -> Array:
    kind, (cell, head) = document["layers"][0]["type"], (layer["weights"] for layer in document["layers"])
    return keras_cell(kind, xs, *map(np.array, cell)) @ np.array(head[0]) + np.array(head[1])


def guitarml(unit: str = "LSTM", inputs: int = 1, skip: int = 1, layers: int = 1, outputs: int = 1) -> dict[str, Any]:
    rows, state = {"LSTM": 24, "GRU": 18, "RNN": 6}[unit], {}
    for k in range(layers):
        state |= {f"rec.weight_ih_l{k}": draw(rows, 6 if k else inputs), f"rec.weight_hh_l{k}": draw(rows, 6)}
        state |= {f"rec.bias_ih_l{k}": draw(rows), f"rec.bias_hh_l{k}": draw(rows)}
    state |= {"lin.weight": draw(outputs, 6), "lin.bias": draw(outputs)}
    data = {"model": "SimpleRNN", "input_size": inputs, "skip": skip, "output_size": outputs, "unit_type": unit}
    data |= {"num_layers": layers, "hidden_size": 6, "bias_fl": True}
    return {"model_data": data, "state_dict": {name: array.tolist() for name, array in state.items()}}


def nam(inputs: int = 1, layers: int = 1, **config: int) -> dict[str, Any]:
    outputs = config.get("out_channels", 1)
    count = sum(24 * ((6 if k else inputs) + 6) + 36 for k in range(layers)) + outputs * 7
    config = {"input_size": inputs, "hidden_size": 6, "num_layers": layers, **config}
    return {"version": "0.5.4", "architecture": "LSTM", "config": config, "weights": draw(count).tolist()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    def write(document: object) -> Path:
        path = tmp_path / "network.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("kind", ["gru", "lstm", "gru_torch", "lstm_torch"])
def test_recorded_output_of_rtneural(kind: str, shared_data: Path) -> None:
    stem = shared_data / "models" / "rtneural" / kind
    said = {"modules": (unit := kind.partition("_")[0], f"{unit}2", "dense"), "activations": {"dense": "none"}}
    model = from_json(stem.with_suffix(".json"), **(said if "torch" in kind else {}))
    xs, ys = (np.loadtxt(f"{stem}_{each}_python.csv").reshape(-1, 1) for each in "xy")
    assert len(xs) == len(ys) >= 100
    assert np.abs(reference.run(model, xs)[0] - ys).max() <= RECORDED
    assert np.abs(Stream(model).run(xs.astype(np.float32)) - ys).max() <= RECORDED


def test_nam_of_its_own_repository(shared_data: Path) -> None:
    path = shared_data / "models" / "nam" / "lstm.nam"
    model = from_json(path)
    assert (model.name, model.sample_rate_hz, model.output_size) == ("Test LSTM", 48000.0, 1)
    flat, xs = np.array(json.loads(path.read_text())["weights"]), np.linspace(-1, 1, 200).reshape(-1, 1)
    matrix, bias, h0, c0 = flat[:48].reshape(12, 4), flat[48:60], flat[60:63], flat[63:66]
    hidden = torch_cell("LSTM", xs, matrix[:, :1], matrix[:, 1:], bias, 0 * bias, h0, c0)
    expected = (hidden @ flat[66:69] + flat[69]).reshape(-1, 1)
    assert np.abs(reference.run(model, xs)[0] - expected).max() <= EXACT
    assert np.abs(Stream(model).run(xs.astype(np.float32)) - expected).max() <= RECORDED


@pytest.mark.parametrize(("inputs", "layers", "outputs"), [(1, 1, 1), (3, 2, 2)])
def test_nam(inputs: int, layers: int, outputs: int, write: Callable[[object], Path]) -> None:
    document = nam(inputs, layers, in_channels=inputs, out_channels=outputs)
    flat, expected = iter(document["weights"]), draw(50, inputs)
    model = from_json(write(document))
    xs = expected

    def take(*shape: int) -> Array:
        return np.array([next(flat) for _ in range(int(np.prod(shape)))]).reshape(shape)

    for size in (inputs, 6)[:layers]:
        matrix, bias = take(24, size + 6), take(24)
        expected = torch_cell("LSTM", expected, matrix[:, :size], matrix[:, size:], bias, 0 * bias, take(6), take(6))
    expected = expected @ take(outputs, 6).T + take(outputs)
    assert np.abs(reference.run(model, xs)[0] - expected).max() <= EXACT


@pytest.mark.parametrize("unit", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(
    ("inputs", "skip", "layers", "outputs"), [(1, 1, 1, 1), (1, 0, 2, 1), (3, 1, 1, 1), (3, 2, 2, 2), (2, 1, 1, 3)]
)
def test_guitarml(
    unit: str, inputs: int, skip: int, layers: int, outputs: int, write: Callable[[object], Path]
) -> None:
    document = guitarml(unit, inputs, skip, layers, outputs)
    state = {name: np.array(value) for name, value in document["state_dict"].items()}
    model = from_json(write(document), sample_rate_hz=44100)
    xs = draw(50, inputs)
    hidden = xs
    for k in range(layers):
        parts = (state[f"rec.{part}_l{k}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        hidden = torch_cell(unit, hidden, *parts)
    expected = hidden @ state["lin.weight"].T + state["lin.bias"] + (xs[:, :skip] if skip else 0)
    assert np.abs(reference.run(model, xs)[0] - expected).max() <= EXACT
    assert isinstance(model.layers[-1], Add if skip else Dense)
    assert model.sample_rate_hz == 44100
    if unit == "LSTM":
        assert np.abs(Stream(model).run(xs.astype(np.float32)) - expected).max() <= ROUNDED


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("gains", [{}, {"in_gain": -6, "out_gain": 3.5}, {"out_gain": -90}, {"in_gain": None}])
@pytest.mark.parametrize(("inputs", "skip"), [(1, 0), (1, 1), (3, 1)])
def test_aidax(kind: str, gains: dict[str, Any], inputs: int, skip: int, write: Callable[[object], Path]) -> None:
    document = layer_list(kind, inputs, in_skip=skip, **gains) | {"metadata": {"name": "amp", "samplerate": "48000"}}
    xs = np.pad(draw(40, 1), ((0, 0), (0, inputs - 1)))
    before = 10 ** ((gains.get("in_gain") or 0) / 20)
    after = 0.0 if gains.get("out_gain") == -90 else 10 ** (gains.get("out_gain", 0) / 20)
    scaled = xs * ([before] + [1] * (inputs - 1))
    expected = after * (run_layer_list(document, scaled) + skip * scaled[:, :1])
    document |= {"input_batch": xs[:, 0].tolist(), "output_batch": expected[:, 0].tolist()}
    model, recording, _ = read_json(write(document))
    assert recording is not None
    assert (recording.xs.shape, recording.ys.shape) == ((40, inputs), (40, 1))
    error = np.abs(reference.run(model, recording.xs)[0] - recording.ys).max()
    assert error <= (ROUNDED if gains else EXACT)
    assert (model.name, model.sample_rate_hz) == ("amp", 48000.0)
    other = draw(40, inputs)  # with the controls in use
    scaled = other * ([before] + [1] * (inputs - 1))
    expected = after * (run_layer_list(document, scaled) + skip * scaled[:, :1])
    assert np.abs(reference.run(model, other)[0] - expected).max() <= ROUNDED


def test_activations_of_a_layer_list(write: Callable[[object], Path]) -> None:
    alone = {"type": "activation", "activation": "relu", "shape": [None, 6], "weights": []}
    layers = [keras_layer("time-distributed-dense", 2, 6, "elu"), keras_layer("gru", 6, 6, "tanh"), alone]
    layers += [keras_layer("dense", 6, 4), alone | {"activation": "softmax", "shape": [4]}]
    model = from_json(write({"in_shape": [None, 2], "layers": layers}))
    assert [layer.name for layer in model.layers] == ["dense1", "gru2", "activation3", "dense4"]
    w = [[np.array(each) for each in layer["weights"]] for layer in layers]
    xs = 5 * draw(30, 2)
    first = xs @ w[0][0] + w[0][1]
    hidden = keras_cell("gru", np.where(first > 0, first, np.expm1(np.minimum(first, 0))), *w[1])
    exp = np.exp(np.maximum(hidden, 0) @ w[3][0] + w[3][1])
    assert np.abs(reference.run(model, xs)[0] - exp / exp.sum(axis=1, keepdims=True)).max() <= EXACT


def test_a_gain_behind_an_activation(write: Callable[[object], Path]) -> None:
    document = layer_list(out_gain=20)
    document["layers"][1]["activation"] = "tanh"
    xs = draw(30, 1)
    expected = 10 * np.tanh(run_layer_list(document, xs))
    assert np.abs(reference.run(from_json(write(document)), xs)[0] - expected).max() <= 10 * ROUNDED


def test_state_dict_with_metadata(write: Callable[[object], Path]) -> None:
    document = {"state_dict": guitarml("GRU", 3)["state_dict"]}
    path = write(document)
    with pytest.warns(
        ReadingWarning, match=r"network\.json holds a state_dict, .*modules=\['rec', 'lin'\].*'lin': 'no"
    ):
        model = from_json(path, name="n", labels=["a"], input_names=["x", "y", "z"])
    assert from_json(path, modules=["rec", "lin"], activations={"lin": "none"}).fingerprint == model.fingerprint
    assert [type(layer) for layer in model.layers] == [GRU, Dense]
    assert (model.name, model.labels, model.input_names) == ("n", ("a",), ("x", "y", "z"))


def test_what_is_given_goes_before_what_the_file_says(write: Callable[[object], Path]) -> None:
    path = write(nam() | {"metadata": {"name": "theirs"}, "sample_rate": 48000})
    assert (from_json(path).name, from_json(path).sample_rate_hz) == ("theirs", 48000.0)
    model, recording, _ = read_json(path, name="mine", sample_rate_hz=96000)
    assert (model.name, model.sample_rate_hz, recording) == ("mine", 96000.0, None)
    assert isinstance(model.layers[0], LSTM)


def changed(document: dict[str, Any], place: list[Any], value: Any) -> dict[str, Any]:
    inner: Any = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return document


REFUSED: list[tuple[dict[str, Any], type[EdgeRnnError], str]] = [
    (nam() | {"architecture": "WaveNet"}, UnsupportedError, r"architecture got 'WaveNet', expected 'LSTM'"),
    (nam() | {"architecture": "ConvNet"}, UnsupportedError, r"'ConvNet'"),
    (changed(nam(), ["config", "hidden_size"], 7), FileError, r"weights got shape \(211,\), expected \(274,\): 1 LSTM"),
    (changed(nam(), ["config", "hidden_size"], 10**30), FileError, r"hidden_size got 1000.*a whole number from 1"),
    (changed(nam(), ["config", "gru"], 1), UnsupportedError, r"config has \['gru'\]"),
    (changed(nam(), ["weights", 3], "1"), FileError, r"weights holds '1', expected numbers"),
    (nam(in_channels=2), FileError, r"in_channels got 2, expected 1"),
    (nam() | {"sample_rate": 0}, FileError, r"sample_rate got 0"),
    (nam() | {"layers": []}, FileError, r"'architecture' and 'layers', which are of different programs"),
    (nam() | {"metadata": {"name": "a\u0007"}}, ModelError, r"without control characters"),
    (changed(guitarml(), ["model_data", "model"], "RecNet"), UnsupportedError, r"'RecNet', expected 'SimpleRNN'"),
    (changed(guitarml(), ["model_data", "unit_type"], "GLU"), UnsupportedError, r"'GLU', expected one of 'LSTM'"),
    (
        changed(guitarml(), ["model_data", "hidden_size"], 7),
        FileError,
        r"rec\.weight_ih_l0 got shape \(24, 1\), expected \(28, 1\)",
    ),
    (changed(guitarml(), ["model_data", "num_layers"], 2), FileError, r"lacks \['rec\.bias_hh_l1'"),
    (changed(guitarml(), ["model_data", "bias_fl"], False), FileError, r"has \['lin\.bias'\] beyond"),
    (
        changed(guitarml(), ["model_data", "skip"], 2),
        FileError,
        r"takes 2 .* has 1 inputs and 1 outputs",
    ),
    (changed(guitarml(), ["model_data", "skip"], True), FileError, r"skip got True"),
    (changed(guitarml(), ["state_dict"], []), FileError, r"state_dict got \[\]"),
    (
        changed(layer_list(), ["layers", 0, "shape"], [None, None, 7]),
        FileError,
        r"layer 1 \(lstm\) kernel got shape \(1, 24\), expected \(1, 28\)",
    ),
    (
        changed(layer_list(), ["layers", 1], keras_layer("dense", 5, 1)),
        FileError,
        r"layer 2 \(dense\) kernel got shape \(5, 1\), expected \(6, 1\)",
    ),
    (
        changed(layer_list("gru"), ["layers", 0, "weights", 2], [0.0] * 18),
        UnsupportedError,
        r"layer 1 \(gru\) bias got shape \(18,\), expected \(2, 18\)",
    ),
    (changed(layer_list(), ["layers", 0, "type"], "conv1d"), UnsupportedError, r"layer 1 \(conv1d\) cannot be"),
    (changed(layer_list(), ["layers", 0, "activation"], "relu"), UnsupportedError, r"got 'relu', expected 'tanh'"),
    (changed(layer_list(), ["layers", 1, "activation"], "gelu"), UnsupportedError, r"activation got 'gelu'"),
    (changed(layer_list(), ["layers", 1, "stateful"], True), UnsupportedError, r"\['stateful'\], which edge_rnn"),
    (changed(layer_list(), ["layers", 1, "weights"], []), FileError, r"got 0 weights, expected 2"),
    (changed(layer_list(), ["layers", 0, "type"], "activation"), FileError, r"got 3 weights and 1 to 6 values"),
    (layer_list(in_skip=2), FileError, r"in_skip got 2, expected 0 or 1"),
    (layer_list(in_gain=1e9), FileError, r"in_gain got 1000000000\.0"),
    (layer_list(input_batch=[1.0]), FileError, r"input_batch is there without its counterpart"),
    (
        layer_list(input_batch=[0.0, 0.0], output_batch=[0.0]),
        FileError,
        r"output_batch got shape \(1, 1\), expected \(2, 1\)",
    ),
    ({"layers": []}, FileError, r"got 0 layers"),
    ({"a": 1}, FileError, r"it holds \['a'\], expected layers"),
    ({}, FileError, r"it holds \[\], expected layers"),
    ({"class_name": "Sequential", "config": {}}, UnsupportedError, r"layers of a Keras model without their weights"),
    ({"0.weight": [[1.0]], "2.weight": [[1.0]]}, InputError, r"whether '0', '2', .* is an Embedding or a Linear"),
    ({"weight": [[1e39]], "bias": [0.0]}, ModelError, r"expected finite float32 values"),
]


@pytest.mark.parametrize(("document", "kind", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused(
    document: dict[str, Any], kind: type[EdgeRnnError], message: str, write: Callable[[object], Path]
) -> None:
    with pytest.raises(kind, match=rf"network\.json: .*{message}"):
        from_json(write(document))


def test_what_is_no_path() -> None:
    with pytest.raises(InputError, match=r"got dict, expected the path"):
        from_json({})  # type: ignore[arg-type]
