"""Keras's recurrent layers as TensorFlow's converter writes them (``tests/golden/make_keras_tflite.py``)."""

from __future__ import annotations

import io
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.formats import Int8
from edge_rnn.layers import GRU
from edge_rnn.model import Model
from edge_rnn_export import from_tflite
from edge_rnn_export.readers.tflite.constants import stored_integers
from edge_rnn_export.readers.tflite.file import open_contents
from tflite_loops import IN, STEPS, WRITES, H, by_variables, looped, stateful, weights_of
from tflite_models import litert, read

ARCHIVE = Path(__file__).parents[1] / "golden" / "keras_tflite.tar.xz"
KINDS = {"SimpleRNN": "Elman", "GRU": "GRU", "LSTM": "LSTM"}
GATES = {"SimpleRNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 1, 2, 3]}  # Keras's order, and edge_rnn's
WAYS = ("batch_1", "default", "stateful", "unrolled")


@cache
def members() -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """Files by name, and the arrays of ``reference.npz``."""
    with tarfile.open(ARCHIVE) as archive:
        files = {each.name: archive.extractfile(each).read() for each in archive.getmembers()}  # type: ignore[union-attr]
    with np.load(io.BytesIO(files["reference.npz"])) as arrays:
        return files, dict(arrays)


def path_of(name: str, folder: Path) -> Path:
    path = folder / f"{name}.tflite"
    path.write_bytes(members()[0][path.name])
    return path


def weight(cell: str, name: str) -> np.ndarray:
    """Keras's weights by the end of their name, as edge_rnn has them: gates in its order, outputs first."""
    found = next(array for key, array in members()[1].items() if key.startswith(f"{cell}/") and key.endswith(name))
    parts = np.split(found, len(GATES[cell]), axis=-1)
    return np.concatenate([parts[gate] for gate in GATES[cell]], axis=-1).T


def run(model: Model, xs: np.ndarray) -> np.ndarray:
    """Outputs of windows; a model that was stateful goes on from one to the next."""
    return np.array([reference.run(model, each)[0] for each in xs])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cell", KINDS)
def test_float_weights_come_back_bit_for_bit_and_compute_what_litert_does(tmp_path: Path, cell: str, way: str) -> None:
    model, arrays = from_tflite(path_of(f"{cell}_{way}_float", tmp_path)), members()[1]
    recurrent, head = model.layers
    assert [recurrent.kind, head.kind] == [KINDS[cell], "Dense"]
    assert [recurrent.name, head.name] == ["rnn_1", "head_1"]
    assert np.array_equal(recurrent.weight_ih, weight(cell, "_cell/kernel"))  # type: ignore[attr-defined]
    assert np.array_equal(recurrent.weight_hh, weight(cell, "recurrent_kernel"))  # type: ignore[attr-defined]
    assert not isinstance(recurrent, GRU) or recurrent.reset_after
    xs, expected = arrays["x"], arrays[f"{cell}_{way}_float"]
    if way == "stateful":  # one recording
        xs, expected = xs.reshape(1, -1, model.input_size), expected.reshape(1, -1, model.output_size)
    terms = xs.shape[1] * (sum(recurrent.weight_hh.shape) + model.input_size)  # type: ignore[attr-defined]
    np.testing.assert_allclose(run(model, xs), expected, rtol=0, atol=terms * 2.0**-24)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cell", KINDS)
def test_int8_weights_are_those_of_the_file(tmp_path: Path, cell: str, way: str) -> None:
    """All else is that of the float file; outputs are compared by the trials of readers."""
    path = path_of(f"{cell}_{way}_int8", tmp_path)
    model, kept = from_tflite(path), from_tflite(path, keep_int8=True)
    recurrent, head = from_tflite(path_of(f"{cell}_{way}_float", tmp_path)).layers
    matrix = kept.layers[0].weight_hh  # type: ignore[attr-defined]
    assert isinstance(matrix, Int8)
    tensors = [tensor for graph in open_contents(path).subgraphs for tensor in graph.tensors]
    ((integers, scale),) = [
        stored for each in tensors if each.type == "INT8" and (stored := stored_integers(each)) is not None
    ]
    order = np.concatenate([np.split(np.arange(len(scale)), len(GATES[cell]))[gate] for gate in GATES[cell]])
    assert np.array_equal(matrix.values, integers[order])
    assert np.array_equal(matrix.scale, scale[order])
    dequantized = (integers[order].astype(np.float64) * scale[order, None].astype(np.float64)).astype(np.float32)
    assert np.array_equal(model.layers[0].weight_hh, dequantized)  # type: ignore[attr-defined]
    expected = Model((recurrent.replaced(weight_hh=dequantized), head))
    assert model.fingerprint == expected.fingerprint
    assert kept.fingerprint == Model((recurrent.replaced(weight_hh=matrix), head)).fingerprint


XS = np.random.default_rng(5).normal(size=(3, 1, STEPS, IN)).astype(np.float32)


@pytest.mark.parametrize("way", WRITES)
def test_a_loop_is_read_as_its_cell(tmp_path: Path, way: str) -> None:
    net = looped(way)
    model = read(net, tmp_path)
    (layer,) = model.layers
    w, r, b = weights_of()
    assert layer.kind == "Elman"
    assert np.array_equal(layer.weight_ih, w)  # type: ignore[attr-defined]
    assert np.array_equal(layer.weight_hh, r)  # type: ignore[attr-defined]
    assert np.array_equal(layer.bias_ih, b)  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", [way for way in WRITES if way != "list"])
def test_a_loop_over_another_cell_is_read_by_its_equation(tmp_path: Path, way: str) -> None:
    """A leaky network, whose state is a mean of the old and the new one."""
    net = looped(way, fraction=0.25)
    model = read(net, tmp_path)
    expected = np.array(litert(net.bytes(), *XS))[:, 0]
    found = run(model, XS[:, 0])[:, -expected.shape[1] :]
    np.testing.assert_allclose(found, expected, rtol=0, atol=STEPS * (IN + H + 4) * 2.0**-24)


@pytest.mark.parametrize("make", [stateful, by_variables])
def test_variables_are_states_or_weights(tmp_path: Path, make: object) -> None:
    net = make()  # type: ignore[operator]
    model = read(net, tmp_path)
    assert [layer.kind for layer in model.layers] == ["Elman"]
    assert model.fingerprint == read(looped("update"), tmp_path).fingerprint
