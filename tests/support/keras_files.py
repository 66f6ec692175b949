"""Helpers of readers tests."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from edge_rnn import Model
from edge_rnn_export import from_keras

STEPS, IN, H, OUT = 9, 5, 4, 3
GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4, "CuDNNGRU": 3, "CuDNNLSTM": 4}
GROUPS = {"GRU": "gru", "LSTM": "lstm", "SimpleRNN": "simple_rnn", "BatchNormalization": "batch_normalization"}
GROUPS |= {"PReLU": "p_re_lu"}
INSIDE = {"GRU": "cell", "LSTM": "cell", "SimpleRNN": "cell", "RNN": "cell", "TimeDistributed": "layer"}
SEQUENCE = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, None, IN]}}


@dataclass(frozen=True)
class Spec:
    """Layer as stored in a file: class, options, arrays by name in Keras's order."""

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
