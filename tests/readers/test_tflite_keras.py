"""Keras's recurrent layers as TensorFlow's converter writes them (``tests/golden/make_keras_tflite.py``)."""

from __future__ import annotations

import io
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn.formats import Int8
from edge_rnn.layers import GRU
from edge_rnn.model import Model
from edge_rnn_export import from_tflite
from edge_rnn_export.readers.tflite.constants import stored_integers
from edge_rnn_export.readers.tflite.file import open_contents
from tflite_files import Net, T, const, uniform
from tflite_loops import IN, STEPS, WRITES, H, begins, by_variables, looped, stateful, weights_of
from tflite_models import dense, litert, read

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
@pytest.mark.sampled(4)
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


def table() -> Net:
    """Rows of a table as Keras takes them, counted from the end if negative, and a Dense."""
    net = Net(T([1, STEPS], type="int32", name="x"))
    (negative,) = net.op("LESS", [0, const(np.int32(0))], [T([1, STEPS], type="bool")])
    (wrapped,) = net.op("ADD", [0, const(np.int32(9))], [T([1, STEPS], type="int32")], "AddOptions")
    (place,) = net.op("SELECT_V2", [negative, wrapped, 0], [T([1, STEPS], type="int32")])
    rows = const(uniform(np.random.default_rng(2), 9, IN))
    net.outputs = net.op("GATHER", [rows, place], [T([1, STEPS, IN])], "GatherOptions", Axis=0)
    return dense(net, H)


def test_a_table_that_keras_indexes_from_both_ends_is_an_embedding(tmp_path: Path) -> None:
    net = table()
    model, symbols = read(net, tmp_path), np.random.default_rng(1).integers(0, 9, STEPS)
    assert [layer.kind for layer in model.layers] == ["Embedding", "Dense"]
    (expected,) = litert(net.bytes(), symbols)
    found = run(model, symbols.reshape(1, -1, 1).astype(np.float32))[0]
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=0, atol=2e-7)


def test_other_choices_between_places_are_refused(tmp_path: Path) -> None:
    net = table()
    net.tensors[next(at for at, each in enumerate(net.tensors) if each.data is not None)] = const(np.int32(3))
    with pytest.raises(UnsupportedError, match=r"cannot read the LESS \(operator 0\)"):
        read(net, tmp_path)


@pytest.mark.parametrize("activation", [0, 1])
def test_a_convolution_of_width_one_is_a_dense(tmp_path: Path, activation: int) -> None:
    rng, net = np.random.default_rng(3), Net(T([1, STEPS, IN], name="x"))
    net.add("RESHAPE", [const(np.int32([1, 1, STEPS, IN]))], T([1, 1, STEPS, IN]))
    weights = [const(uniform(rng, H, 1, 1, IN)), const(uniform(rng, H))]
    options = {"StrideH": 1, "StrideW": 1, "FusedActivationFunction": activation}
    options |= {"DilationHFactor": 1, "DilationWFactor": 1}
    net.add("CONV_2D", weights, T([1, 1, STEPS, H]), "Conv2DOptions", **options)
    model = read(net, tmp_path)
    assert [layer.kind for layer in model.layers] == ["Dense"]
    (expected,) = litert(net.bytes(), XS[0])
    np.testing.assert_allclose(run(model, XS[0])[0], expected.reshape(STEPS, H), rtol=0, atol=5e-7)
    strided = replace_options(net, "CONV_2D", StrideW=2)
    with pytest.raises(UnsupportedError, match=r"CONV_2D \(operator 1\): it is a convolution"):
        read(strided, tmp_path)


def replace_options(net: Net, kind: str, **options: int) -> Net:
    net.operators = [
        (*rest, given | options) if rest[0] == kind else (*rest, given)  # type: ignore[misc]
        for *rest, given in net.operators
    ]
    return net


def test_variables_that_no_output_depends_on_are_left_out(tmp_path: Path) -> None:
    """Such as the seed of a dropout, which begins with any number."""
    net = begins(looped("update"), "seed", [7.0])
    handle = net.operators[-1][2][0]
    (seed,) = net.op("READ_VARIABLE", [handle], [T([1])], "ReadVariableOptions")
    (next_one,) = net.op("ADD", [seed, const(np.float32([1]))], [T([1])], "AddOptions")
    net.op("ASSIGN_VARIABLE", [handle, next_one], [], "AssignVariableOptions")
    assert read(net, tmp_path).fingerprint == read(looped("update"), tmp_path).fingerprint


def test_a_window_is_read_in_two_parts_as_its_refusal_says(tmp_path: Path) -> None:
    """A loop, whose output is reshaped twice before a Dense reads it in one row."""
    net = looped("concatenation")
    every = next(operator for operator in net.operators if operator[0] == "WHILE")[2][1]
    net.tensors[every].name = "every output" + " of this loop" * 10  # too long for a message
    net.outputs = [every]
    net.add("RESHAPE", [const(np.int32([1, STEPS, H]))], T([1, STEPS, H]))
    net.add("RESHAPE", [const(np.int32([1, STEPS * H]))], T([1, STEPS * H]))
    net = dense(net, 2)
    message = rf"it reads a whole window at once, all of \(6, 1, 4\).* upto={every} reads .* after={every} reads what"
    with pytest.raises(UnsupportedError, match=message):
        read(net, tmp_path)
    cell, head = read(net, tmp_path, upto=every), read(net, tmp_path, after=every)
    (expected,) = litert(net.bytes(), XS[0])
    found = run(head, run(cell, XS[0]).reshape(1, 1, -1))[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_mask_is_named_as_the_cause(tmp_path: Path) -> None:
    net = looped("update")
    (same,) = net.op("NOT_EQUAL", [0, const(np.float32(0))], [T([1, STEPS, IN], type="bool")])
    options = {"KeepDims": True}
    net.op("REDUCE_ANY", [same, const(np.int32([2]))], [T([1, STEPS, 1], type="bool")], "ReducerOptions", **options)
    with pytest.raises(UnsupportedError, match=r"REDUCE_ANY .*as Masking and mask_zero do.*unpadded=True"):
        read(net, tmp_path)
