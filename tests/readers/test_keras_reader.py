"""``from_keras`` without Keras: files written by the tests, against Keras's equations, and models by others."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_js
from edge_rnn import Model, reference
from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export import from_keras
from keras_files import (
    GATES,
    IN,
    OUT,
    SEQUENCE,
    STEPS,
    H,
    Spec,
    archive,
    dense,
    functional_2,
    hdf5,
    normalized,
    read,
    recurrent,
    sequential,
    weights,
)

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda a: a,
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "hard_sigmoid 2": lambda a: np.clip(0.2 * a + 0.5, 0, 1),
    "hard_sigmoid 3": lambda a: np.clip(a / 6 + 0.5, 0, 1),
    "softmax": lambda a: np.exp(a) / np.exp(a).sum(),
}


def keras_step(spec: Spec, x: np.ndarray, state: list[np.ndarray], major: int) -> np.ndarray:
    """One step as Keras's documentation and ``keras/src/layers/rnn`` have it: row vectors, gates z r h and i f c o."""
    kernel, recurrent_kernel, bias = (
        np.asarray(spec.arrays.get(name, 0.0), np.float64) for name in ("kernel", "recurrent_kernel", "bias")
    )

    def activation(key: str) -> Callable[[np.ndarray], np.ndarray]:
        name = spec.config[key]
        return ACTIVATIONS[f"{name} {major}" if name == "hard_sigmoid" else name]

    if spec.kind == "Dense":
        return activation("activation")(x @ kernel + bias)
    if spec.kind == "BatchNormalization":
        a = {name: array.astype(np.float64) for name, array in spec.arrays.items()}
        return a["gamma"] * (x - a["moving_mean"]) / np.sqrt(a["moving_variance"] + 0.01) + a["beta"]
    act, h = activation("activation"), state[0]
    if spec.kind == "SimpleRNN":
        state[0] = act(x @ kernel + bias + h @ recurrent_kernel)
        return state[0]
    gate = activation("recurrent_activation")
    if spec.kind == "LSTM":
        i, f, c, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4)
        state[1] = gate(f) * state[1] + gate(i) * act(c)
        state[0] = gate(o) * act(state[1])
        return state[0]
    b_input, b_recurrent = bias if bias.ndim == 2 else (bias, 0.0)
    x_z, x_r, x_h = np.split(x @ kernel + b_input, 3)
    r_z, r_r, r_h = np.split(h @ recurrent_kernel + b_recurrent, 3)
    z, r = gate(x_z + r_z), gate(x_r + r_r)
    inner = r * r_h if spec.config.get("reset_after") else (r * h) @ np.split(recurrent_kernel, 3, axis=1)[2]
    state[0] = z * h + (1 - z) * act(x_h + inner)
    return state[0]


def keras_run(specs: Sequence[Spec], xs: np.ndarray, major: int) -> np.ndarray:
    states = [[np.zeros(spec.config.get("units", 1)) for _ in range(2)] for spec in specs]
    ys = []
    for x in xs.astype(np.float64):
        y = x
        for spec, state in zip(specs, states, strict=True):
            y = keras_step(spec, y, state, major)
        ys.append(y)
    return np.array(ys)


def assert_equal_to_equations(
    data: bytes, specs: Sequence[Spec], tmp_path: Path, major: int, tolerance: float
) -> Model:
    model = read(data, tmp_path)
    xs = np.random.default_rng(1).standard_normal((STEPS, IN))
    np.testing.assert_allclose(reference.run(model, xs)[0], keras_run(specs, xs, major), rtol=0, atol=tolerance)
    return model


CELLS: list[Callable[..., Spec]] = [
    lambda **o: recurrent("SimpleRNN", **o),
    lambda **o: recurrent("LSTM", **o),
    lambda **o: recurrent("GRU", reset_after=True, **o),
    lambda **o: recurrent("GRU", reset_after=False, **o),
    lambda **o: recurrent("GRU", **o),
]


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"activation": "relu"}, {"activation": "hard_sigmoid"}])
@pytest.mark.parametrize("cell", range(len(CELLS)))
def test_cells(tmp_path: Path, cell: int, options: dict[str, Any]) -> None:
    """Two equal cells and a head, in each kind of file; weights are unchanged, so nothing is rounded."""
    more = {} if cell == 0 else {"recurrent_activation": "hard_sigmoid"} if options else {}
    specs = [CELLS[cell](name="one", **options, **more), CELLS[cell](size=H, name="two", **options, **more)]
    specs.append(dense(activation="softmax"))
    old = assert_equal_to_equations(hdf5(specs, version="2.3.1"), specs, tmp_path, 2, 1e-12)
    assert [layer.name for layer in old.layers] == ["one", "two", "dense"]
    new = assert_equal_to_equations(archive(specs, packed=zipfile.ZIP_DEFLATED), specs, tmp_path, 3, 1e-12)
    assert (old.fingerprint == new.fingerprint) == ("hard_sigmoid" not in {*options.values(), *more.values()})


def test_hard_sigmoid_is_by_version_not_by_kind_of_file(tmp_path: Path) -> None:
    specs = [recurrent("GRU", recurrent_activation="hard_sigmoid")]
    assert_equal_to_equations(hdf5(specs, version="3.0.1"), specs, tmp_path, 3, 1e-12)
    assert_equal_to_equations(archive(specs, version="2.13.1"), specs, tmp_path, 2, 1e-12)


def test_keras_2_13_names_its_groups_otherwise(tmp_path: Path) -> None:
    specs = [recurrent("GRU", reset_after=True), dense()]
    old = archive(specs, version="2.13.1", weights=weights(specs, "_layer_checkpoint_dependencies"))
    assert read(old, tmp_path).fingerprint == read(archive(specs), tmp_path).fingerprint


def test_batch_normalization_is_folded_in_float64(tmp_path: Path) -> None:
    """Weights are rounded once, to half a last place; sums of up to 9 terms of size 2."""
    specs = [recurrent("LSTM"), normalized(), dense(units=H), normalized(name="second")]
    for data in (hdf5(specs), archive(specs)):
        model = assert_equal_to_equations(data, specs, tmp_path, 3, 32 * 2.0**-24)
        assert [layer.kind for layer in model.layers] == ["LSTM", "Dense"]
        before, gain = (
            specs[place].arrays["gamma"] / np.sqrt(specs[place].arrays["moving_variance"].astype(np.float64) + 0.01)
            for place in (1, 3)
        )
        wanted = gain[:, None] * (specs[2].arrays["kernel"].T * before)
        np.testing.assert_allclose(model.layers[1].arrays["weight"], wanted, rtol=2.0**-23)


def cudnn(spec: Spec) -> Spec:
    """The CuDNN layer that Keras 2 loads into a native one, by ``_convert_rnn_weights`` taken backwards."""
    gates = GATES[spec.kind]
    kernels = [gate.T.reshape(gate.shape) for gate in np.split(spec.arrays["kernel"], gates, axis=1)]
    recurrents = [gate.T for gate in np.split(spec.arrays["recurrent_kernel"], gates, axis=1)]
    bias = spec.arrays["bias"]
    bias = bias.reshape(-1) if bias.ndim == 2 else np.concatenate([0.25 * bias, 0.75 * bias])
    arrays = {"kernel": np.hstack(kernels), "recurrent_kernel": np.hstack(recurrents), "bias": bias}
    return Spec(f"CuDNN{spec.kind}", {"units": H, "return_sequences": True}, arrays)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_cudnn_layers(tmp_path: Path, kind: str) -> None:
    native = recurrent(kind, reset_after=True) if kind == "GRU" else recurrent(kind)
    data = hdf5([cudnn(native), dense()], version="2.2.4")
    assert_equal_to_equations(data, [native, dense()], tmp_path, 2, 1e-12 if kind == "GRU" else 1e-6)
    wrong = cudnn(native)
    wrong.arrays["bias"] = native.arrays["bias"]
    with pytest.raises(FileError, match=rf"CuDNN{kind} 'cudnn\w+' bias got shape .* expected \({8 * GATES[kind]},\)"):
        read(hdf5([wrong]), tmp_path)


def test_functional_model_of_keras_2(tmp_path: Path) -> None:
    document, specs = functional_2()
    model = read(hdf5(specs, document), tmp_path)
    assert [layer.kind for layer in model.layers] == ["GRU", "Dense", "Cell"]
    xs = np.random.default_rng(1).standard_normal((STEPS, IN))
    h, y = keras_run(specs[:1], xs, 2), keras_run(specs, xs, 2)
    np.testing.assert_allclose(reference.run(model, xs)[0], np.hstack([y + xs, h]), rtol=0, atol=1e-12)


def tensorflow_model(*calls: tuple[str, str, list[Any]]) -> tuple[dict[str, Any], list[Spec]]:
    """Model of TensorFlow's Keras: a GRU, then functions by name, each with its node; the last is the output."""
    spec = recurrent("GRU", reset_after=True, name="rnn")
    layers = [{**SEQUENCE, "name": "x", "inbound_nodes": []}]
    layers.append({**spec.record, "name": "rnn", "inbound_nodes": [[["x", 0, 0, {}]]]})
    for name, function, node in calls:
        kind = "SlicingOpLambda" if function.endswith("getitem") else "TFOpLambda"
        config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
        layers.append({"class_name": kind, "name": name, "config": config, "inbound_nodes": [node]})
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [[calls[-1][0], 0, 0]]}
    return {"class_name": "Functional", "config": config}, [spec]


def test_functions_of_tensorflow_in_keras_2(tmp_path: Path) -> None:
    every = {"start": None, "stop": None, "step": None}
    part = {"class_name": "__tuple__", "items": [every, every, {"start": 1, "stop": 3, "step": None}]}
    document, specs = tensorflow_model(
        ("twice", "math.multiply", ["rnn", 0, 0, {"y": 2.0, "name": None}]),
        ("less", "math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": ["twice", 0, 0], "name": None}]),
        ("sum", "__operators__.add", ["less", 0, 0, {"y": ["rnn", 0, 0], "name": None}]),
        ("act", "nn.relu", ["sum", 0, 0, {"name": None}]),
        ("part", "__operators__.getitem", ["rnn", 0, 0, {"slice_spec": part}]),
        ("all", "concat", [["act", 0, 0, {"axis": -1}], ["part", 0, 0, {"axis": -1}]]),
    )
    model = read(hdf5(specs, document), tmp_path)
    xs = np.random.default_rng(1).standard_normal((STEPS, IN))
    h = keras_run(specs, xs, 2)
    expected = np.hstack([np.maximum(1 - 2 * h + h, 0), h[:, 1:3]])
    np.testing.assert_allclose(reference.run(model, xs)[0], expected, rtol=0, atol=1e-12)
    document, specs = tensorflow_model(
        ("parts", "split", ["rnn", 0, 0, {"num_or_size_splits": [1, 3], "axis": -1}]),
        ("last", "__operators__.getitem", ["parts", 0, 1, {"slice_spec": [every, -1]}]),
    )
    np.testing.assert_allclose(
        reference.run(read(hdf5(specs, document), tmp_path), xs)[0], h[:, 1:], rtol=0, atol=1e-12
    )
    document, specs = tensorflow_model(("odd", "signal.fft", ["rnn", 0, 0, {}]))
    with pytest.raises(
        UnsupportedError, match=r"TFOpLambda 'odd': edge_rnn has no counterpart of its function, 'signal"
    ):
        read(hdf5(specs, document), tmp_path)


def test_unit_normalization_of_small_values_is_by_version(tmp_path: Path) -> None:
    """Keras 3 divides by 1e-12 at least, Keras 2 by 1e-6."""
    specs = [dense(IN), Spec("UnitNormalization", {"axis": -1})]
    xs = np.zeros((1, IN))
    for array in specs[0].arrays.values():
        array *= 1e-8
    y = xs @ specs[0].arrays["kernel"] + specs[0].arrays["bias"].astype(np.float64)
    for data, least in ((hdf5(specs, version="2.15.0"), 1e-6), (archive(specs), 1e-12)):
        expected = y / max(np.sqrt((y**2).sum()), least)
        np.testing.assert_allclose(reference.run(read(data, tmp_path), xs)[0], expected, rtol=1e-6)


def test_old_spellings(tmp_path: Path) -> None:
    """A Sequential as a list without an InputLayer, a slope called alpha in an ndarray, text attributes of bytes."""
    rnn = recurrent("SimpleRNN", batch_input_shape=[None, 7, IN])
    slope = Spec("LeakyReLU", {"alpha": {"type": "ndarray", "value": 0.125}})
    bare = Spec("LeakyReLU", {"name": "bare"})
    specs = [rnn, dense(), slope, dense(OUT, name="last"), bare]
    document = {"class_name": "Sequential", "config": [spec.record for spec in specs]}
    path = tmp_path / "old.h5"
    path.write_bytes(hdf5(specs, document))
    with h5py.File(path, "r+") as file:
        for name in ("model_config", "keras_version"):
            file.attrs[name] = np.bytes_(file.attrs[name])
    model = from_keras(path)
    assert [layer.options.get("activation") for layer in model.layers] == ["tanh", "leaky_relu:0.125", "leaky_relu:0.3"]


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_keras_js(shared_data: Path, tmp_path: Path, kind: str) -> None:
    """27 layers of Keras 2.0, weights and outputs written with six decimals."""
    layers = list(keras_js.layers(shared_data / "models", kind))
    assert len(layers) == 9
    for layer in layers:
        if layer.backwards:
            with pytest.raises(UnsupportedError, match=r"has go_backwards=True"):
                read(layer.data, tmp_path)
        model = read(layer.forward, tmp_path)
        ys, state = reference.run(model, layer.xs)
        if layer.stateful:
            ys, _ = reference.run(model, layer.xs, state)
        # Inputs and weights too were rounded to the sixth decimal: up to 10 terms, two factors of half a unit each.
        given = ys if layer.ys.ndim == 2 else ys[-1]
        np.testing.assert_allclose(given, layer.ys, rtol=0, atol=1e-5, err_msg=layer.title)


def test_sleepecg_up_to_its_bidirectional_layers(shared_data: Path) -> None:
    """Masking, BatchNormalization, Dense, ReLU, then two layers that need the whole night."""
    folder = shared_data / "models" / "sleepecg"
    path = folder / "wrn-gru-mesa.keras"
    with pytest.raises(
        UnsupportedError,
        match=r"the backward half .* upto='re_lu', the part .* 'bidirectional_1' by after=",
    ):
        from_keras(path)
    with pytest.raises(UnsupportedError, match=r"Masking 'masking': it skips padding steps .* unpadded=True"):
        from_keras(path, upto="re_lu")
    model = from_keras(path, upto="re_lu", unpadded=True)
    with zipfile.ZipFile(path) as file, h5py.File(io.BytesIO(file.read("model.weights.h5"))) as weights:
        gamma, beta, mean, variance = (weights[f"layers/batch_normalization/vars/{n}"][()] for n in range(4))
        kernel, bias = (weights[f"layers/dense/vars/{n}"][()].astype(np.float64) for n in range(2))
    xs = np.load(folder / "wrn-gru-mesa.npz")["x"].astype(np.float64)
    scaled = gamma * (xs - mean) / np.sqrt(variance.astype(np.float64) + 0.001) + beta
    expected = np.maximum(scaled @ kernel + bias, 0)
    # Sums of 36 terms: weights, gains and offsets are each rounded to half a last place.
    size = (np.abs(scaled) + np.abs(gamma * mean / np.sqrt(variance))) @ np.abs(kernel)
    assert (np.abs(reference.run(model, xs)[0] - expected) <= 4 * 2.0**-24 * (size + np.abs(bias))).all()


def test_ml_kws_gru(shared_data: Path, tmp_path: Path) -> None:
    """TensorFlow 1's GRUCell: gates r and u in one matrix, the candidate in another, kernels [x; h] stacked."""
    arrays = np.load(shared_data / "models" / "ml-kws" / "gru_s.npz")
    units, size = 154, 10
    found = {key.rpartition("gru_cell|")[2]: arrays[key] for key in arrays.files}
    r, u = np.split(found["gates|kernel"], 2, axis=1)
    b_r, b_u = np.split(found["gates|bias"], 2)
    kernel = np.hstack([u, r, found["candidate|kernel"]])
    named = {"kernel": kernel[:size], "recurrent_kernel": kernel[size:]}
    named["bias"] = np.concatenate([b_u, b_r, found["candidate|bias"]])
    config = {"units": units, "activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": False}
    head = Spec("Dense", {"units": 12, "activation": "softmax"}, {"kernel": arrays["w:W_o"], "bias": arrays["w:b_o"]})
    specs = [Spec("GRU", config, named), head]
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 25, size]}}
    model = read(archive(specs, sequential(*specs, first=first)), tmp_path)
    assert arrays["mfcc"].shape == (4, 1, 25, size)
    for mfcc, out in zip(arrays["mfcc"], arrays["out"], strict=True):
        ys, _ = reference.run(model, mfcc[0])
        np.testing.assert_allclose(ys[-1], out[0], rtol=0, atol=164 * 2.0**-24)  # sums of 164 terms
        assert ys[-1].argmax() == out[0].argmax()
