"""from_keras without Keras: files that the test writes itself, held against Keras's equations, and models by others."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_rnn import Model, reference
from edge_rnn.errors import EdgeRnnError, FileError, InputError, UnsupportedError
from edge_rnn_export import from_keras
from edge_rnn_export.readers.by_file_name import import_file
from edge_rnn_export.readers.keras import check
from edge_rnn_export.readers.keras import hdf5 as keras_hdf5

STEPS, IN, H, OUT = 9, 5, 4, 3
GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4, "CuDNNGRU": 3, "CuDNNLSTM": 4}
GROUPS = {"GRU": "gru", "LSTM": "lstm", "SimpleRNN": "simple_rnn", "BatchNormalization": "batch_normalization"}
INSIDE = {"GRU": "cell", "LSTM": "cell", "SimpleRNN": "cell", "RNN": "cell", "TimeDistributed": "layer"}
SEQUENCE = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, None, IN]}}


@dataclass(frozen=True)
class Spec:
    """A layer as a file has it: class, options, arrays by name in Keras's order."""

    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.config.get("name", self.kind.lower()))

    @property
    def record(self) -> dict[str, Any]:
        return {"class_name": self.kind, "config": {"name": self.name, **self.config}}


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(-0.8, 0.8, shape).astype(np.float32)


def recurrent(kind: str, size: int = IN, *, bias: bool = True, units: int = H, **config: Any) -> Spec:
    rows = GATES[kind] * units
    shape: tuple[int, ...] = (2, rows) if config.get("reset_after") else (rows,)
    if kind.startswith("CuDNN"):
        shape = (2 * rows,)
    else:
        config = {"activation": "tanh", "use_bias": bias, **config}
        config |= {} if kind == "SimpleRNN" else {"recurrent_activation": config.get("recurrent_activation", "sigmoid")}
    arrays = {"kernel": uniform(size, rows), "recurrent_kernel": uniform(units, rows, seed=1)}
    arrays |= {"bias": uniform(*shape, seed=2)} if bias else {}
    return Spec(kind, {"units": units, "return_sequences": True, **config}, arrays)


def dense(size: int = H, units: int = OUT, **config: Any) -> Spec:
    arrays = {"kernel": uniform(size, units, seed=3), "bias": uniform(units, seed=4)}
    return Spec("Dense", {"units": units, "activation": "linear", "use_bias": True, **config}, arrays)


def normalized(size: int = H, **config: Any) -> Spec:
    arrays = {name: uniform(size, seed=5 + place) for place, name in enumerate(("gamma", "beta", "moving_mean"))}
    arrays["moving_variance"] = uniform(size, seed=9) + 1
    return Spec("BatchNormalization", {"axis": -1, "epsilon": 0.01, **config}, arrays)


def sequential(*specs: Spec, first: dict[str, Any] = SEQUENCE) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *(s.record for s in specs)]}}


def hdf5(specs: Sequence[Spec], document: Any = None, version: str = "2.15.0") -> bytes:
    """A whole-model HDF5 file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps(sequential(*specs) if document is None else document)
        for spec in specs:
            group = file.create_group(f"model_weights/{spec.name}")
            for name, array in spec.arrays.items():
                group[f"{spec.name}/{name}:0"] = array
    return buffer.getvalue()


def weights(specs: Sequence[Spec], top: str = "layers") -> bytes:
    """``model.weights.h5``."""
    buffer = io.BytesIO()
    counts: dict[str, int] = {}
    with h5py.File(buffer, "w") as file:
        for spec in specs:
            stem = GROUPS.get(spec.kind, spec.kind.lower())
            count = counts[stem] = counts.get(stem, -1) + 1
            path = f"{top}/{stem}_{count}" if count else f"{top}/{stem}"
            file.create_group(f"{path}/vars").attrs["name"] = spec.name
            inside = f"{path}/{INSIDE[spec.kind]}/vars" if spec.kind in INSIDE else f"{path}/vars"
            for place, array in enumerate(spec.arrays.values()):
                file[f"{inside}/{place}"] = array
    return buffer.getvalue()


def archive(
    specs: Sequence[Spec], document: Any = None, version: str = "3.9.0", *, packed: int = 0, **members: bytes | None
) -> bytes:
    """A ``.keras`` archive; ``members`` replace or leave out its files."""
    content: dict[str, bytes | None] = {
        "metadata": json.dumps({"keras_version": version}).encode(),
        "config": json.dumps(sequential(*specs) if document is None else document).encode(),
        "weights": weights(specs),
        **members,
    }
    names = {"metadata": "metadata.json", "config": "config.json", "weights": "model.weights.h5"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as file:
        for key, data in content.items():
            if data is not None:
                file.writestr(names[key], data)
    return buffer.getvalue()


def read(data: bytes, tmp_path: Path, name: str = "net.keras", **options: Any) -> Model:
    path = tmp_path / name
    path.write_bytes(data)
    return from_keras(path, **options)


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
    """Two of a kind and a head, in each kind of file; the weights stay as they are, so that nothing is rounded."""
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
        wanted = gain[:, None] * (specs[2].arrays["kernel"].T * before).astype(np.float32)
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


def functional_2() -> tuple[dict[str, Any], list[Spec]]:
    """Keras 2's way to describe ``concatenate([x, dense(gru(x))])`` behind a skip connection."""
    specs = [recurrent("GRU", reset_after=True, name="rnn"), dense(units=IN, name="head")]
    add, joined = Spec("Add", {"name": "sum"}), Spec("Concatenate", {"name": "all", "axis": -1})
    reads = {"x": [], "rnn": ["x"], "head": ["rnn"], "sum": ["head", "x"], "all": ["sum", "rnn"]}
    layers = []
    for record in [SEQUENCE, *(spec.record for spec in (*specs, add, joined))]:
        name = record["config"]["name"]
        nodes = [[[other, 0, 0, {}] for other in reads[name]]] if reads[name] else []
        layers.append({**record, "name": name, "inbound_nodes": nodes})
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["all", 0, 0]]}
    return {"class_name": "Model", "config": config}, specs


def test_functional_model_of_keras_2(tmp_path: Path) -> None:
    document, specs = functional_2()
    model = read(hdf5(specs, document), tmp_path)
    assert [layer.kind for layer in model.layers] == ["GRU", "Dense", "Add", "Dense"]
    xs = np.random.default_rng(1).standard_normal((STEPS, IN))
    h, y = keras_run(specs[:1], xs, 2), keras_run(specs, xs, 2)
    np.testing.assert_allclose(reference.run(model, xs)[0], np.hstack([y + xs, h]), rtol=0, atol=1e-12)


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
    folder = shared_data / "models" / "keras-js"
    attributes = json.loads((folder / "attributes.json").read_text())[kind]
    cases = json.loads((folder / f"{kind}.json").read_text())
    assert len(attributes) == len(cases) == 9
    for config, (title, case) in zip(attributes, cases.items(), strict=True):
        arrays = [np.reshape(each["data"], each["shape"]).astype(np.float32) for each in case["weights"]]
        backwards = config["go_backwards"]
        named = dict(zip(("kernel", "recurrent_kernel", "bias"), arrays, strict=False))
        first = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [1, *config["input_shape"]]}}
        spec = Spec(kind, {key: value for key, value in config.items() if key != "input_shape"}, named)
        if backwards:
            with pytest.raises(UnsupportedError, match=r"has go_backwards=True"):
                read(hdf5([spec], sequential(spec, first=first), version="2.0.4"), tmp_path)
            spec.config["go_backwards"] = False
        model = read(hdf5([spec], sequential(spec, first=first), version="2.0.4"), tmp_path)
        xs = np.reshape(case["input"]["data"], case["input"]["shape"])
        xs = xs[::-1] if backwards else xs
        ys, state = reference.run(model, xs)
        if config["stateful"]:
            ys, _ = reference.run(model, xs, state)
        expected = np.reshape(case["expected"]["data"], case["expected"]["shape"])
        # Inputs and weights too were rounded to the sixth decimal: up to 10 terms, two factors of half a unit each.
        np.testing.assert_allclose(ys if expected.ndim == 2 else ys[-1], expected, rtol=0, atol=1e-5, err_msg=title)


def test_ml_kws_gru(shared_data: Path, tmp_path: Path) -> None:
    """TensorFlow 1's GRUCell: gates r and u beside each other, the candidate apart, kernels [x; h] in one."""
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


def glued(*specs: Spec, steps: int | None = None, size: int | None = IN, **config: Any) -> bytes:
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, steps, size]}}
    document = sequential(*specs, first=first)
    document["config"] |= config
    return archive(specs, document)


def changed(spec: Spec, key: str, value: Any) -> Spec:
    """The layer with another option, or another array."""
    if key in spec.arrays:
        return Spec(spec.kind, spec.config, {**spec.arrays, key: value})
    return Spec(spec.kind, {**spec.config, key: value}, spec.arrays)


def wired(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The functional model, changed."""
    document, specs = functional_2()
    change(document["config"])
    return hdf5(specs, document)


def call_with(config: dict[str, Any], **options: Any) -> None:
    config["layers"][1]["inbound_nodes"][0][0][3].update(options)


GRU_AFTER = recurrent("GRU", reset_after=True)
LSTM_LAST = recurrent("LSTM", return_sequences=False)

REFUSED: dict[str, tuple[Callable[[], bytes], type[EdgeRnnError], str]] = {
    "backwards": (
        lambda: glued(recurrent("LSTM", go_backwards=True)),
        UnsupportedError,
        r"LSTM 'lstm' has go_backwards=True: it starts with samples that a stream has not seen yet",
    ),
    "both ways": (
        lambda: glued(Spec("Bidirectional")),
        UnsupportedError,
        r"Bidirectional 'bidirectional' cannot be converted: the backward half",
    ),
    "lambda": (lambda: glued(Spec("Lambda")), UnsupportedError, r"Lambda 'lambda' cannot be converted: it is code"),
    "slopes": (lambda: glued(Spec("PReLU")), UnsupportedError, r"PReLU 'prelu' .* expected LeakyReLU"),
    "inner model": (lambda: glued(Spec("Functional")), UnsupportedError, r"it is a model inside the model"),
    "own layer": (
        lambda: archive([dense()], json.loads(json.dumps(sequential(dense(IN))).replace('"Dense"', '"Attention"'))),
        UnsupportedError,
        r"Attention 'dense' cannot be converted: edge_rnn has no counterpart of it; expected Activation, ",
    ),
    "own module": (
        lambda: archive([dense()], {**sequential(dense(IN)), "module": "mine"}),
        UnsupportedError,
        r"the model is a 'Sequential', expected a Sequential or a functional model: what a class of your own",
    ),
    "class": (lambda: archive([], {"class_name": "Net", "config": {}}), UnsupportedError, r"the model is a 'Net'"),
    "last step": (
        lambda: glued(LSTM_LAST, Spec("Reshape", {"target_shape": [1, H]}), recurrent("GRU", H, name="b")),
        UnsupportedError,
        r"GRU 'b' reads the last step of a sequence alone, expected steps; .*return_sequences=True",
    ),
    "no steps": (lambda: hdf5([dense(IN), recurrent("GRU", OUT)], flat()), UnsupportedError, r"reads the shape \(3,\)"),
    "window": (
        lambda: glued(recurrent("GRU", reset_after=True), Spec("Flatten"), steps=9),
        UnsupportedError,
        r"Flatten 'flatten' makes \(-1,\) of \(9, 4\), which mixes steps of a sequence and features",
    ),
    "features": (
        lambda: glued(Spec("Reshape", {"target_shape": [IN, 9]}), steps=9),
        UnsupportedError,
        r"Reshape 'reshape' makes \(5, 9\) of \(9, 5\)",
    ),
    "masking": (
        lambda: glued(Spec("Masking")),
        UnsupportedError,
        r"Masking 'masking' leaves out steps .*unpadded=True",
    ),
    "axis": (
        lambda: glued(normalized(IN, axis=[1])),
        UnsupportedError,
        r"BatchNormalization 'batchnormalization' goes along the axis \[1\] of the shape \(None, 5\), expected",
    ),
    "softmax axis": (lambda: glued(Spec("Softmax", {"axis": 1})), UnsupportedError, r"goes along the axis 1"),
    "clipped": (lambda: glued(Spec("ReLU", {"max_value": 6.0})), UnsupportedError, r"has a max_value or a threshold"),
    "gelu": (
        lambda: glued(dense(IN, activation="gelu")),
        UnsupportedError,
        r"Dense 'dense' activation got 'gelu', exp",
    ),
    "softmax cell": (
        lambda: glued(recurrent("GRU", activation="softmax")),
        UnsupportedError,
        r"GRU 'gru' activation is softmax",
    ),
    "hard sigmoid of no version": (
        lambda: archive([dense()], sequential(dense(IN, activation="hard_sigmoid")), "", weights=weights([dense(IN)])),
        UnsupportedError,
        r"hard_sigmoid, which Keras 2 and 3 compute in two ways",
    ),
    "no input": (
        lambda: archive([dense(IN)], sequential(dense(IN), first=dense(IN, name="d").record)),
        UnsupportedError,
        r"the model does not say what it reads",
    ),
    "nothing": (lambda: glued(Spec("Dropout")), UnsupportedError, r"no layer with weights between input and output"),
    "units": (lambda: glued(changed(dense(IN), "units", 2**40)), FileError, r"'dense' kernel got"),
    "no units": (lambda: glued(changed(GRU_AFTER, "units", None)), FileError, r"GRU 'gru' units got None"),
    "flag": (lambda: glued(changed(GRU_AFTER, "use_bias", 1)), FileError, r"GRU 'gru' use_bias got 1, expected true"),
    "input": (
        lambda: glued(GRU_AFTER, size=IN + 1),
        FileError,
        r"GRU 'gru' kernel got shape \(5, 12\), expected \(6, 12\), as its units and its input say",
    ),
    "reset after": (
        lambda: glued(changed(GRU_AFTER, "reset_after", False)),
        FileError,
        r"GRU 'gru' bias got shape \(2, 12\), expected \(12,\)",
    ),
    "bias missing": (
        lambda: glued(changed(recurrent("LSTM", bias=False), "use_bias", True)),
        FileError,
        r"LSTM 'lstm' got 2 arrays, expected 3: kernel, recurrent_kernel, bias",
    ),
    "not a number": (
        lambda: glued(changed(dense(IN), "bias", np.full(OUT, np.nan, np.float32))),
        EdgeRnnError,
        r"Dense 'dense' bias holds nan",
    ),
    "variance": (
        lambda: glued(changed(normalized(IN), "moving_variance", np.full(IN, -2.0, np.float32))),
        FileError,
        r"moving_variance holds a negative number",
    ),
    "outputs": (
        lambda: wired(lambda c: c.update(output_layers=[["sum", 0, 0], ["rnn", 0, 0]])),
        UnsupportedError,
        r"the model has 2 outputs, expected one; make a model of the part that you need",
    ),
    "inputs": (
        lambda: wired(lambda c: c.update(input_layers=[["x", 0, 0], ["x", 0, 0]])),
        UnsupportedError,
        r"the model has 2 inputs, expected one",
    ),
    "half": (
        lambda: wired(lambda c: c.update(output_layers=[["rnn", 0, 0]])),
        UnsupportedError,
        r"Dense 'head' does not lie between the model's input and its output",
    ),
    "circle": (
        lambda: wired(lambda c: c["layers"][1].update(inbound_nodes=[[["head", 0, 0, {}]]])),
        FileError,
        r"expected no circle",
    ),
    "unknown": (
        lambda: wired(lambda c: c["layers"][1].update(inbound_nodes=[[["y", 0, 0, {}]]])),
        FileError,
        r"speaks of a layer 'y', which is not there",
    ),
    "shared": (
        lambda: wired(lambda c: c["layers"][1]["inbound_nodes"].append([["x", 0, 0, {}]])),
        UnsupportedError,
        r"GRU 'rnn' is used 2 times",
    ),
    "state": (
        lambda: wired(lambda c: c["layers"][2].update(inbound_nodes=[[["rnn", 0, 1, {}]]])),
        UnsupportedError,
        r"reads the output 1 of call 0 of 'rnn'; expected the first one, which is no state",
    ),
    "initial state": (
        lambda: wired(lambda c: call_with(c, initial_state=["x", 0, 0])),
        UnsupportedError,
        r"GRU 'rnn' is called with 'initial_state'",
    ),
    "twice": (
        lambda: archive([dense(IN)], sequential(dense(IN), dense(OUT))),
        FileError,
        r"two of its layers have the same name",
    ),
    "no layers": (lambda: glued(layers=[]), FileError, r"no list of 1 to 1000 layers"),
    "shape": (lambda: glued(dense(IN), size=-1), FileError, r"InputLayer 'x' has the shape \[None, None, -1\]"),
}


def flat() -> dict[str, Any]:
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, IN]}}
    return sequential(dense(IN), recurrent("GRU", OUT), first=first)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=rf"net\.keras: .*{message}"):
        read(make(), tmp_path)


def test_sequence_does_not_meet_its_last_step(tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["layers"][1]["config"]["return_sequences"] = False

    with pytest.raises(UnsupportedError, match=r"Add 'sum' reads the shapes \(5,\) and \(None, 5\), expected the same"):
        read(wired(change), tmp_path)


HOSTILE: dict[str, tuple[Callable[[], bytes], type[EdgeRnnError], str]] = {
    "nothing": (lambda: b"", FileError, r"neither a \.keras archive nor an HDF5 file"),
    "text": (lambda: b"hello" * 99, FileError, r"neither a \.keras archive nor an HDF5 file"),
    "start of a zip": (lambda: b"PK\x03\x04" + b"\0" * 99, FileError, r"its archive is damaged"),
    "start of HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + b"\0" * 99, FileError, r"its HDF5 is damaged, or is none"),
    "no weights": (lambda: archive([dense(IN)], weights=None), FileError, r"an archive without model\.weights\.h5"),
    "no config": (lambda: archive([dense(IN)], config=None), FileError, r"an archive without config\.json"),
    "config": (lambda: archive([dense(IN)], config=b"[1]"), FileError, r"it holds a JSON list"),
    "deep config": (lambda: archive([], config=b'{"a":' + b"[" * 100_000), FileError, r"nested too deep"),
    "weights": (lambda: archive([dense(IN)], weights=b"no"), FileError, r"its HDF5 is damaged, or is none"),
    "weights alone": (lambda: weights([dense(IN)]), UnsupportedError, r"holds weights alone, .*save the whole model"),
    "other HDF5": (lambda: stored(lambda file: None), FileError, r"not one of Keras: it has no model_config"),
    "zip bomb": (
        lambda: archive([dense(IN)], weights=bytes(2**26), packed=zipfile.ZIP_DEFLATED),
        FileError,
        r"its model\.weights\.h5 unpacks to 67108864 bytes, expected \d+ at most",
    ),
    "config bomb": (
        lambda: archive([dense(IN)], config=b" " * (2**26 + 1), packed=zipfile.ZIP_DEFLATED),
        FileError,
        r"its config\.json unpacks to 67108865 bytes",
    ),
    "method": (lambda: archive([dense(IN)], packed=zipfile.ZIP_LZMA), UnsupportedError, r"is packed by method 14"),
    "other name": (
        lambda: archive([dense(IN)], weights=weights([dense(IN, name="other")])),
        FileError,
        r"Dense 'dense' has its weights in a group that belongs to 'other'",
    ),
    "no group": (
        lambda: hdf5([], sequential(dense(IN))),
        FileError,
        r"has no weights: there is no group 'model_weights",
    ),
    "no arrays": (lambda: archive([dense(IN)], weights=weights([])), FileError, r"Dense 'dense' has no weights"),
}


def stored(fill: Callable[[Any], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(tmp_path: Path, case: str) -> None:
    make, kind, message = HOSTILE[case]
    with pytest.raises(kind, match=message):
        read(make(), tmp_path)


def test_small_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(b"hello" * 99)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="neither a"):
            from_keras(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def chunked(group: Any) -> None:
    group.create_dataset("kernel:0", (IN, OUT), "<f4", chunks=True, compression="gzip")


def declared(group: Any) -> None:
    """A terabyte of zeros that are stored nowhere."""
    group.create_dataset("kernel:0", (2**19, 2**19), "<f4")


def external(group: Any) -> None:
    group.create_dataset("kernel:0", (IN, OUT), "<f4", external=[("passwd", 0, 4 * IN * OUT)])


def virtual(group: Any) -> None:
    layout = h5py.VirtualLayout((IN, OUT), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (IN, OUT))
    group.create_virtual_dataset("kernel:0", layout)


def linked(group: Any) -> None:
    group["kernel:0"] = h5py.ExternalLink("other.h5", "/data")


def soft(group: Any) -> None:
    group["kernel:0"] = h5py.SoftLink("/elsewhere")


def circular(group: Any) -> None:
    group["again"] = group


def crowded(group: Any) -> None:
    """Three ways from each group back to itself."""
    for name in "abc":
        group[name] = group


def integers(group: Any) -> None:
    group["kernel:0"] = np.ones((IN, OUT), np.int8)


def double(group: Any) -> None:
    group["kernel:0"] = group["kernel_1:0"] = np.zeros((IN, OUT), np.float32)


def empty(group: Any) -> None:
    group["kernel:0"] = h5py.Empty("f4")


STORED: list[tuple[Callable[[Any], None], type[EdgeRnnError], str]] = [
    (chunked, UnsupportedError, r"does not lie in the file in one piece .*h5repack"),
    (external, FileError, r"an array whose data lie in another file"),
    (virtual, FileError, r"an array whose data lie in another file"),
    (declared, FileError, r"takes 1099511627776 bytes, but 0 are there"),
    (linked, FileError, r"a link whose data lie in another file"),
    (soft, UnsupportedError, r"kernel:0' is a link to somewhere else"),
    (circular, FileError, r"got 1 arrays: \['again'\], expected 1: kernel"),
    (crowded, FileError, r"got 3 arrays: \['a', 'b', 'c'\], expected 1: kernel"),
    (integers, UnsupportedError, r"does not hold float16, float32 or float64; a quantized model is not read"),
    (double, FileError, r"holds two arrays called 'kernel'"),
    (empty, FileError, r"has no shape|does not lie in"),
]


@pytest.mark.parametrize(("fill", "kind", "message"), STORED)
def test_hostile_hdf5(tmp_path: Path, fill: Callable[[Any], None], kind: type[EdgeRnnError], message: str) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(hdf5([], sequential(changed(dense(IN), "use_bias", False))))
    with h5py.File(path, "r+") as file:
        fill(file.create_group("model_weights/dense"))
    with pytest.raises(kind, match=message):
        from_keras(path)


def test_one_array_under_many_names_is_bounded(tmp_path: Path) -> None:
    count = 400
    specs = [changed(dense(128, 128, name=f"d{place}"), "use_bias", False) for place in range(count)]
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, None, 128]}}
    path = tmp_path / "net.h5"
    path.write_bytes(hdf5([], sequential(*specs, first=first)))
    with h5py.File(path, "r+") as file:
        file["one"] = np.zeros((128, 128), np.float32)
        for spec in specs:
            file.create_group(f"model_weights/{spec.name}")["kernel:0"] = file["one"]
    with pytest.raises(FileError, match=r"takes 65536 bytes, but \d+ are there"):
        from_keras(path)


def test_a_text_that_claims_to_be_long_is_not_allocated(tmp_path: Path) -> None:
    content = bytearray(hdf5([dense(IN)]))
    place = content.index(b"model_config\0")
    length = len(json.dumps(sequential(dense(IN)))).to_bytes(4, "little")
    place = content.index(length, place)
    content[place : place + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(FileError, match=r"its HDF5 is damaged"):
        read(bytes(content), tmp_path)


def test_activations_that_no_weights_bear_out_are_bounded(tmp_path: Path) -> None:
    wide = changed(changed(dense(1, 3000), "use_bias", False), "bias", None)
    wide = Spec(wide.kind, wide.config, {"kernel": wide.arrays["kernel"]})
    acts = [Spec("Activation", {"name": f"a{place}", "activation": "tanh"}) for place in range(2)]
    with pytest.raises(UnsupportedError, match=r"would take 3000 times 3000 weights"):
        read(glued(wide, *acts, size=1), tmp_path)


def test_concatenations_of_concatenations_are_bounded(tmp_path: Path) -> None:
    names = ["x", *(f"c{place}" for place in range(40))]
    layers = [{**SEQUENCE, "name": "x", "inbound_nodes": []}]
    for before, name in pairwise(names):
        record = Spec("Concatenate", {"name": name, "axis": -1}).record
        layers.append({**record, "name": name, "inbound_nodes": [[[before, 0, 0, {}], [before, 0, 0, {}]]]})
    config = {"name": "m", "layers": layers, "input_layers": ["x", 0, 0], "output_layers": [names[-1], 0, 0]}
    with pytest.raises(UnsupportedError, match=r"puts 512 outputs side by side, expected 256 at most"):
        read(hdf5([], {"class_name": "Functional", "config": config}), tmp_path)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.keras: cannot be read: No such file"):
        from_keras(tmp_path / "missing.keras")
    with pytest.raises(FileError, match=r": is a folder or a device; expected a file \(a folder with"):
        from_keras(tmp_path)
    with pytest.raises(InputError, match=r"from_keras: it got int, expected a Keras model, or the path"):
        from_keras(7)
    huge = tmp_path / "huge.h5"
    with huge.open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(FileError, match=r"has 1073741825 bytes"):
        from_keras(huge)


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive([dense(IN)])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnsupportedError, match=r"pip install h5py"):
        read(content, tmp_path)


def test_a_library_that_hangs_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = "import time\ndef prepare(): pass\ndef spin(about, arrays):\n    while True: pass\nCALLS = {'read': spin}\n"
    (tmp_path / "job_that_spins.py").write_text(job)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(keras_hdf5, "_JOB", "job_that_spins")
    monkeypatch.setattr(keras_hdf5, "SECONDS", 0.2)
    with pytest.raises(FileError, match=r"HDF5's library took more than 0\.2 s of computing for it; it is damaged"):
        read(archive([dense(IN)]), tmp_path)


def test_no_other_file_is_opened_where_a_dataset_names_one(tmp_path: Path) -> None:
    """A dataset without an end asks its sources for their length as soon as it is looked at."""
    pipe, path = tmp_path / "pipe", tmp_path / "net.h5"
    os.mkfifo(pipe)
    path.write_bytes(hdf5([], sequential(changed(dense(IN), "use_bias", False))))
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout((IN,), "<f4", maxshape=(None,))
        source = h5py.VirtualSource(str(pipe), "data", (IN,), maxshape=(None,))
        layout[0 : h5py.h5s.UNLIMITED : 1] = source[0 : h5py.h5s.UNLIMITED : 1]
        file.create_group("model_weights/dense").create_virtual_dataset("kernel:0", layout)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    try:
        os.close(reader)
        with pytest.raises(FileError, match=r"an array whose data lie in another file"):
            from_keras(path)
        with pytest.raises(BrokenPipeError):  # nobody holds the other end
            os.write(writer, b"x")
    finally:
        os.close(writer)


def test_import_says_that_it_did_not_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(archive([dense(IN)]))
    with monkeypatch.context() as patch:
        patch.setattr(check, "find_spec", lambda name: None)
        found = import_file(path)
    assert (found.kind, found.checked, found.unchecked) == ("Keras", "", "with Keras, which is not installed")
    foreign = {**dense(IN).config, "kernel_initializer": {"module": "os", "class_name": "system", "config": {}}}
    path.write_bytes(archive([Spec("Dense", foreign, dense(IN).arrays)]))
    monkeypatch.setattr(check, "find_spec", lambda name: True)
    assert import_file(path).unchecked == "with Keras: the file names classes that are not Keras's own"


@pytest.mark.parametrize(
    ("installed", "patched"),
    [("3.15.1", True), ("3.16.0.dev1", True), ("3.12.4", True), ("4.0", True), ("3.15.0", False), ("3.13.2", False),
     ("2.15.0", False), ("3.12", False)],
)  # fmt: skip
def test_an_old_keras_is_not_handed_a_strangers_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, patched: bool
) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(archive([dense(IN)]))
    monkeypatch.setattr(check, "find_spec", lambda name: True)
    monkeypatch.setattr(check, "version", lambda name: installed)
    started: list[str] = []

    def start(job: str, *_: object) -> None:
        started.append(job)
        raise UnsupportedError("not here")

    monkeypatch.setattr(check, "Worker", start)
    told = import_file(path).unchecked
    assert bool(started) is patched
    assert told == (
        "with Keras: not here"
        if patched
        else f"with Keras {installed}, whose reader has known holes: pip install 'keras>=3.15.1'"
    )


def survives(path: Path, data: bytes) -> None:
    """A model or one of the project's own errors; anything else comes through."""
    path.write_bytes(data)
    try:
        from_keras(path)
    except EdgeRnnError as error:
        assert len(str(error)) < 2000


MANY = [recurrent("GRU", reset_after=True), normalized(), recurrent("LSTM", H), dense()]
NUMBERS = (0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFF0, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


@pytest.mark.parametrize("kind", ["h5", "weights", "archive"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Bits, numbers and ends; ``weights`` damages what is in an archive that is whole."""
    content = bytearray({"h5": hdf5, "weights": weights, "archive": archive}[kind](MANY))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 8))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            width = data.draw(st.sampled_from((4, 8)))
            number = data.draw(st.sampled_from(NUMBERS)) % 2 ** (8 * width)
            content[place // 4 * 4 : place // 4 * 4 + width] = number.to_bytes(width, "little")
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    damaged = bytes(content[:length])
    survives(tmp_path / "damaged.keras", archive(MANY, weights=damaged) if kind == "weights" else damaged)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_descriptions(tmp_path: Path, data: st.DataObject) -> None:
    """Any value of the configuration replaced by any other."""
    document, specs = functional_2() if data.draw(st.booleans()) else (sequential(*MANY), list(MANY))
    document = json.loads(json.dumps(document))
    node: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.integers(0, 3)) == 0:
            break
        node = node[key]
    values = [None, True, 0, -1, 3, 2**70, 1.5, "", "x", "relu", [], [1], {}, {"a": []}, ["x", 0, 0], [[]]]
    node[key] = data.draw(st.sampled_from(values))
    survives(tmp_path / "damaged.keras", archive(specs, document))
