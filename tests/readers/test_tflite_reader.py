"""from_tflite against LiteRT, on files that the tests build and on two that others trained."""

from __future__ import annotations

import itertools
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import needs
from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, FileError, InputError, UnsupportedError
from edge_rnn.formats import Int8
from edge_rnn.layers import LSTM
from edge_rnn.model import Model
from edge_rnn_export.readers.tflite.reader import from_tflite
from tflite_files import Net, T, const, uniform

tflite: Any = needs.package("tflite")

STEPS, IN, H, P, OUT = 12, 5, 7, 4, 3
# Steps, times as many products as a row sums, times half a unit in the last place of numbers around 1.
TOLERANCE = STEPS * (IN + H + 4) * 2.0**-24
LSTM_TENSOR = "tfl.unidirectional_sequence_lstm"


def lstm_net(
    *,
    coupled: bool = False,
    peephole: bool = False,
    projected: bool = False,
    sequence: bool = True,
    time_major: bool = False,
    activation: int = 4,
    cell_clip: float = 0.0,
    proj_clip: float = 0.0,
    seed: int = 0,
    wrap: Callable[[Net, np.ndarray], T | int] | None = None,
    change: Callable[[list[Any]], None] | None = None,
    **options: Any,
) -> Net:
    """An LSTM of its own; ``wrap`` says how a weight is stored, ``change`` spoils the inputs."""
    rng, out = np.random.default_rng(seed), P if projected else H
    net = Net(T([1, IN] if not sequence else [STEPS, 1, IN] if time_major else [1, STEPS, IN], name="x"))
    store = wrap or (lambda _, array: const(array))
    absent = (lambda tensor: None) if coupled else (lambda tensor: tensor)
    ih, hh = [uniform(rng, H, IN) for _ in range(4)], [uniform(rng, H, out) for _ in range(4)]
    peepholes, biases = [uniform(rng, H) for _ in range(3)], [uniform(rng, H) for _ in range(4)]
    inputs: list[Any] = [store(net, array) for array in (*ih, *hh)]
    inputs[0], inputs[4] = absent(inputs[0]), absent(inputs[4])
    inputs += [const(array) for array in peepholes] if peephole else [None] * 3
    inputs += [const(array) for array in biases]
    inputs[8], inputs[11] = absent(inputs[8]), absent(inputs[11])
    inputs += [const(uniform(rng, P, H)) if projected else None, None]
    inputs += [T([1, out], variable=True), T([1, H], variable=True), None, None, None, None]
    if change:
        change(inputs)
    title = "UnidirectionalSequenceLSTMOptions" if sequence else "LSTMOptions"
    options |= {"FusedActivationFunction": activation, "CellClip": cell_clip, "ProjClip": proj_clip}
    if sequence:
        options["TimeMajor"] = time_major
    shape = [*net.x.shape[:-1], out]
    return net.add(
        "UNIDIRECTIONAL_SEQUENCE_LSTM" if sequence else "LSTM", inputs, T(shape, name="lstm"), title, **options
    )


def dense(net: Net, outputs: int, activation: int = 0, seed: int = 5, inputs: int | None = None) -> Net:
    rng = np.random.default_rng(seed)
    before = net.tensors[net.outputs[0]].shape
    inputs = inputs or before[-1]
    weights = [const(uniform(rng, outputs, inputs)), const(uniform(rng, outputs))]
    shape = [int(np.prod(before)) // inputs, outputs]
    options = {"FusedActivationFunction": activation}
    return net.add("FULLY_CONNECTED", weights, T(shape, name="dense"), "FullyConnectedOptions", **options)


def litert(data: bytes, *samples: np.ndarray) -> list[np.ndarray]:
    """What LiteRT gives for one sample after another."""
    runtime = needs.package("ai-edge-litert")
    loaded = runtime.Interpreter(model_content=data, num_threads=1)
    loaded.allocate_tensors()
    (x,), (y,) = loaded.get_input_details(), loaded.get_output_details()
    found = []
    for sample in samples:
        loaded.set_tensor(x["index"], sample.reshape(x["shape"]).astype(x["dtype"]))
        loaded.invoke()
        found.append(loaded.get_tensor(y["index"]))
    return found


def read(net: Net | bytes, folder: Path, **options: Any) -> Model:
    path = folder / "net.tflite"
    path.write_bytes(net if isinstance(net, bytes) else net.bytes())
    return from_tflite(path, **options)


def samples(size: int = IN, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(STEPS, size)).astype(np.float32)


def assert_equal_to_litert(net: Net, folder: Path, **options: Any) -> Model:
    """Every step that LiteRT puts out, or the last one, where that is all it puts out."""
    model, xs = read(net, folder, **options), samples()
    ys, _ = reference.run(model, xs)
    (expected,) = litert(net.bytes(), xs)
    expected = expected.reshape(-1, model.output_size)
    assert len(expected) in (1, STEPS)
    np.testing.assert_allclose(ys[-len(expected) :], expected, rtol=0, atol=TOLERANCE)
    return model


@pytest.mark.parametrize(
    ("coupled", "peephole", "projected", "clipped"), list(itertools.product([False, True], repeat=4))
)
def test_lstm_of_every_kind(tmp_path: Path, coupled: bool, peephole: bool, projected: bool, clipped: bool) -> None:
    clips = {"cell_clip": 0.3, "proj_clip": 0.1 if projected else 0.0} if clipped else {}
    net = lstm_net(coupled=coupled, peephole=peephole, projected=projected, **clips)
    lstm = assert_equal_to_litert(net, tmp_path).layers[0]
    assert isinstance(lstm, LSTM)
    assert lstm.coupled == ("input" if coupled else "none")
    assert (lstm.peephole is not None, lstm.weight_hr is not None) == (peephole, projected)
    assert (lstm.cell_clip, lstm.projection_clip) == pytest.approx(
        (0.3, 0.1 if projected else None) if clipped else (None, None)
    )


@pytest.mark.parametrize("activation", [1, 4])
@pytest.mark.parametrize("time_major", [False, True])
def test_lstm_activations_and_order_of_axes(tmp_path: Path, activation: int, time_major: bool) -> None:
    assert_equal_to_litert(lstm_net(activation=activation, time_major=time_major), tmp_path)


def test_lstm_of_single_steps_keeps_its_state(tmp_path: Path) -> None:
    net = lstm_net(sequence=False, peephole=True, projected=True)
    model, xs = read(net, tmp_path), samples()
    expected = np.concatenate(litert(net.bytes(), *xs))
    np.testing.assert_allclose(reference.run(model, xs)[0], expected, rtol=0, atol=TOLERANCE)


def rnn_net(sequence: bool, activation: int = 4) -> Net:
    rng = np.random.default_rng(1)
    shape = [1, STEPS] if sequence else [1]
    kind, title = ("UNIDIRECTIONAL_SEQUENCE_RNN", "SequenceRNNOptions") if sequence else ("RNN", "RNNOptions")
    weights = [const(uniform(rng, H, IN)), const(uniform(rng, H, H)), const(uniform(rng, H)), T([1, H], variable=True)]
    options = {"FusedActivationFunction": activation}
    return Net(T([*shape, IN], name="x")).add(kind, weights, T([*shape, H], name="rnn"), title, **options)


@pytest.mark.parametrize("activation", [0, 1, 4])
def test_rnn(tmp_path: Path, activation: int) -> None:
    assert_equal_to_litert(rnn_net(True, activation), tmp_path)
    net, xs = rnn_net(False, activation), samples()
    expected = np.concatenate(litert(net.bytes(), *xs))
    np.testing.assert_allclose(reference.run(read(net, tmp_path), xs)[0], expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("activation", ["TANH", "LOGISTIC", "RELU", "ELU", "LEAKY_RELU", "SOFTMAX"])
@pytest.mark.parametrize("after_dense", [False, True])
def test_heads(tmp_path: Path, activation: str, after_dense: bool) -> None:
    net = dense(lstm_net(), OUT) if after_dense else lstm_net()
    shape = net.tensors[net.outputs[0]].shape
    title, options = {
        "SOFTMAX": ("SoftmaxOptions", {"Beta": 1.0}),
        "LEAKY_RELU": ("LeakyReluOptions", {"Alpha": 0.3}),
    }.get(activation, ("", {}))
    model = assert_equal_to_litert(net.add(activation, [], T(shape), title, **options), tmp_path)
    assert [layer.kind for layer in model.layers] == ["LSTM", "Dense"]


def last_step(net: Net, begin: int = -1, shrink: bool = True) -> Net:
    size = net.tensors[net.outputs[0]].shape[-1]
    ends = [const(np.int32([0, begin, 0])), const(np.int32([0, 0, 0])), const(np.int32([1, 1, 1]))]
    masks = {"BeginMask": 5, "EndMask": 5 if shrink else 7, "ShrinkAxisMask": 2 if shrink else 0}
    shape = [1, size] if shrink else [1, 1, size]
    return net.add("STRIDED_SLICE", ends, T(shape, name="last"), "StridedSliceOptions", **masks)


@pytest.mark.parametrize("begin", [-1, STEPS - 1])
@pytest.mark.parametrize("shrink", [False, True])
def test_last_step_alone(tmp_path: Path, begin: int, shrink: bool) -> None:
    assert_equal_to_litert(dense(last_step(lstm_net(), begin, shrink), OUT, activation=1), tmp_path)


def test_glue_between_layers(tmp_path: Path) -> None:
    net = Net(T([STEPS, IN], name="x"))
    net = dense(net, IN, activation=1)
    net.add("RESHAPE", [const(np.int32([1, STEPS, IN]))], T([1, STEPS, IN]))
    net.add("TRANSPOSE", [const(np.int32([1, 0, 2]))], T([STEPS, 1, IN]))
    cell = lstm_net(time_major=True)
    kind, places, _, title, options = cell.operators[0]
    net.add(kind, [None if p < 0 else cell.tensors[p] for p in places[1:]], T([STEPS, 1, H]), title, **options)
    net.add("SQUEEZE", [], T([STEPS, H]))
    net.add("EXPAND_DIMS", [const(np.int32(1))], T([STEPS, 1, H]))
    model = assert_equal_to_litert(dense(net, OUT), tmp_path)
    assert [layer.kind for layer in model.layers] == ["Dense", "LSTM", "Dense"]


def test_metadata(tmp_path: Path) -> None:
    model = read(lstm_net(), tmp_path, name="n", labels=list("abcdefg"), sample_rate_hz=50, input_names=list("uvwxy"))
    assert (model.name, model.labels[1], model.sample_rate_hz, model.input_names[0]) == ("n", "b", 50.0, "u")


def halved(net: Net, array: np.ndarray) -> int:
    """Stored in float16, behind a DEQUANTIZE of its own."""
    net.tensors += [const(array.astype(np.float16)), T(array.shape)]
    place = len(net.tensors) - 1
    net.operators.append(("DEQUANTIZE", [place - 1], [place], "", {}))
    return place


def test_float16_weights(tmp_path: Path) -> None:
    model = assert_equal_to_litert(lstm_net(wrap=halved), tmp_path)
    weights = model.layers[0].arrays["weight_ih"]
    assert np.array_equal(weights, weights.astype(np.float16))


def in_int8(_: Net, array: np.ndarray) -> T:
    scale = np.float32(np.abs(array).max() / 127)
    return const(np.rint(array / scale).astype(np.int8), scale=[scale])


def test_int8_weights(tmp_path: Path) -> None:
    net = lstm_net(wrap=in_int8, coupled=True)
    plain, kept = read(net, tmp_path), read(net, tmp_path, keep_int8=True)
    for name in ("weight_ih", "weight_hh"):
        matrix = getattr(kept.layers[0], name)
        assert isinstance(matrix, Int8)
        assert np.array_equal(np.asarray(matrix), getattr(plain.layers[0], name))
        stored = [tensor for tensor in net.tensors if tensor.type == "int8"]
        first = 0 if name == "weight_ih" else 3
        for gate, tensor in enumerate(stored[first : first + 3], start=1):
            rows = slice(gate * H, (gate + 1) * H)
            assert np.array_equal(matrix.values[rows], tensor.data)
            assert np.array_equal(matrix.scale[rows], np.float32([tensor.scale[0]] * H))
    assert kept.layers[0].options["coupled"] == "input"


def test_uint8_weights_with_a_zero_point_and_scales_by_row(tmp_path: Path) -> None:
    stored = np.arange(OUT * IN, dtype=np.uint8).reshape(OUT, IN)
    bias = const(np.int32([5, -6, 7]), scale=[0.5, 0.25, 0.125])
    weights = const(stored, scale=[0.5, 0.25, 0.125], zero_point=[3, 4, 5])
    net = Net(T([1, IN], name="x"))
    net.add("FULLY_CONNECTED", [weights, bias], T([1, OUT]), "FullyConnectedOptions")
    layer = read(net, tmp_path).layers[0]
    scale = np.float32([0.5, 0.25, 0.125])
    assert np.array_equal(layer.arrays["weight"], (stored - np.float32([[3], [4], [5]])) * scale[:, None])
    assert np.array_equal(layer.arrays["bias"], [2.5, -1.5, 0.875])
    with pytest.raises(UnsupportedError, match=r"weights is UINT8, expected INT8 for keep_int8=True"):
        read(net, tmp_path, keep_int8=True)


@pytest.mark.parametrize("keep_int8", [False, True])
@pytest.mark.parametrize("kind", ["", "_int8"])
def test_trained_digits(shared_data: Path, kind: str, keep_int8: bool) -> None:
    path = shared_data / "models" / "tflm" / f"trained_lstm{kind}.tflite"
    if keep_int8 and not kind:
        with pytest.raises(InputError, match=r"keep_int8=True, but the file has no matrix in int8"):
            from_tflite(path, upto=LSTM_TENSOR, keep_int8=True)
        return
    with pytest.raises(UnsupportedError, match=rf"reshapes \(1, 28, 20\) to \(1, 560\).*upto='{LSTM_TENSOR}'"):
        from_tflite(path)
    cell = from_tflite(path, upto=LSTM_TENSOR, keep_int8=keep_int8)
    head = from_tflite(path, after=LSTM_TENSOR, keep_int8=keep_int8, labels=list("0123456789"))
    assert isinstance(cell.layers[0].weight_hh, Int8) == keep_int8  # type: ignore[attr-defined]
    given = np.load(path.with_name(f"tflm_mnist{kind}.npz"))
    outputs = np.array([reference.step(head, reference.run(cell, x)[0].reshape(-1), {})[0] for x in given["x"]])
    assert [head.labels[place] for place in outputs.argmax(axis=1)] == list("0123456789")
    # In integers a sum in front of softmax is off by half a step of 0.174, and so two differ by a whole one; what comes
    # out moves by a quarter of that at most, and is rounded to steps of 1/256.
    tolerance = 0.174 / 4 + 1 / 256 if kind else 28 * 48 * 2.0**-24
    np.testing.assert_allclose(outputs, given["out"], rtol=0, atol=tolerance)


def gone(position: int) -> Callable[[list[Any]], None]:
    def change(inputs: list[Any]) -> None:
        inputs[position - 1] = None

    return change


def put(position: int, tensor: T) -> Callable[[list[Any]], None]:
    def change(inputs: list[Any]) -> None:
        inputs[position - 1] = tensor

    return change


def flat(net: Net, *shape: int) -> Net:
    return net.add("RESHAPE", [const(np.int32(shape))], T(shape))


REFUSED: list[tuple[Callable[[], Net], type[EdgeRnnError], str]] = [
    (lambda: lstm_net(activation=0), UnsupportedError, r"the activation NONE, with which LiteRT skips"),
    (lambda: lstm_net(activation=3), UnsupportedError, r"operator 0\) has the activation RELU6"),
    (lambda: lstm_net(change=put(20, const(np.ones(H, "f4")))), UnsupportedError, r"layer normalization"),
    (
        lambda: lstm_net(projected=True, change=put(17, const(np.ones(P, "f4")))),
        UnsupportedError,
        r"has a projection bias",
    ),
    (lambda: lstm_net(change=gone(12)), FileError, r"has no input bias, which is its input 12"),
    (lambda: lstm_net(change=gone(3)), FileError, r"has no input-to-cell weights, which is its input 3"),
    (lambda: lstm_net(change=gone(5)), FileError, r"an input weights but no recurrent-to-input weights"),
    (
        lambda: lstm_net(change=put(3, const(np.ones((H, IN + 1), "f4")))),
        FileError,
        r"input-to-cell weights got shape \(7, 6\), expected \(7, 5\)",
    ),
    (
        lambda: lstm_net(change=put(6, const(np.ones((H, P), "f4")))),
        FileError,
        r"recurrent-to-forget weights got shape \(7, 4\), expected \(7, 7\)",
    ),
    (lambda: lstm_net(change=put(18, T([1, H]))), UnsupportedError, r"as a state, expected a variable"),
    (lambda: lstm_net(change=put(2, T([H, IN]))), UnsupportedError, r"is not stored in the file but computed"),
    (lambda: lstm_net(change=put(13, const(np.full(H, np.nan, "f4")))), FileError, r"bias_ih holds nan at \(7,\)"),
    (lambda: lstm_net(change=put(13, T([H], np.ones(3, "f4")))), FileError, r"holds 12 bytes, expected 28"),
    (lambda: lstm_net(cell_clip=-1.0), FileError, r"CellClip is -1\.0"),
    (lambda: lstm_net(sequence=False, KernelType=1), UnsupportedError, r"of the basic kernel"),
    (lambda: lstm_net(DiagonalRecurrentTensors=True), UnsupportedError, r"diagonal matrices"),
    (
        lambda: lstm_net(change=put(2, const(np.ones((H, IN), "i1")))),
        FileError,
        r"input-to-forget weights is INT8 with 0 scales",
    ),
    (lambda: flat(lstm_net(), 1, STEPS * H), UnsupportedError, r"reshapes \(1, 12, 7\) to \(1, 84\).*after='lstm'"),
    (lambda: dense(lstm_net(), OUT, inputs=STEPS * H), UnsupportedError, r"FULLY_CONNECTED \(operator 1\) reshapes"),
    (lambda: dense(lstm_net(), OUT, inputs=5), FileError, r"reads the shape \(1, 12, 7\), expected rows of 5"),
    (lambda: last_step(lstm_net(), begin=0), UnsupportedError, r"expected the last step, or all"),
    (lambda: last_step(lstm_net(), begin=4), UnsupportedError, r"expected the last step, or all"),
    (
        lambda: rnn_after(last_step(lstm_net(), shrink=False)),
        UnsupportedError,
        r"reads only the last step of a sequence",
    ),
    (
        lambda: (
            lstm_net().add("TRANSPOSE", [const(np.int32([0, 2, 1]))], T([1, H, STEPS])).add("TANH", [], T([1, 7, 12]))
        ),
        UnsupportedError,
        r"whose last axis is not the feature axis",
    ),
    (
        lambda: lstm_net().add("SOFTMAX", [], T([1, STEPS, H]), "SoftmaxOptions", Beta=2.0),
        UnsupportedError,
        r"the beta 2\.0, expected 1",
    ),
    (lambda: Net(T([1, IN])).add("TANH", [], T([1, IN])), UnsupportedError, r"before the first layer with weights"),
    (lambda: Net(T([1, IN])).add("QUANTIZE", [], T([1, IN])), UnsupportedError, r"no layer with weights"),
    (lambda: lstm_net().add("WHILE", [], T([1])), UnsupportedError, r"as Keras writes all but"),
    (lambda: lstm_net().add("BIDIRECTIONAL_SEQUENCE_LSTM", [], T([1])), UnsupportedError, r"it is bidirectional"),
    (lambda: lstm_net().add("CONV_2D", [], T([1])), UnsupportedError, r"CONV_2D \(operator 1\) cannot be read"),
    (lambda: lstm_net().add("TANH", [], T([1, 2])), FileError, r"returns the shape \(1, 2\)"),
    (lambda: with_outputs(lstm_net(), 1, 0), UnsupportedError, r"found the outputs .* expected one; name one by upto="),
    (lambda: with_outputs(lstm_net().add("TANH", [], T([1])), -2), UnsupportedError, r"is not on a path between"),
    (lambda: circle(), FileError, r"expected no cycle"),
]


def rnn_after(net: Net) -> Net:
    cell = rnn_net(True)
    _, places, _, title, options = cell.operators[0]
    weights = [const(np.ones((H, H), "f4")), *(cell.tensors[p] for p in places[2:])]
    return net.add("UNIDIRECTIONAL_SEQUENCE_RNN", weights, T([1, 1, H]), title, **options)


def with_outputs(net: Net, *places: int) -> Net:
    net.outputs = [len(net.tensors) + place if place < 0 else place for place in places]
    return net


def circle() -> Net:
    net = Net(T([1, IN])).add("TANH", [], T([1, IN])).add("TANH", [], T([1, IN]))
    net.operators[0][1][0] = net.outputs[0]
    return net


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED)
def test_refused(tmp_path: Path, make: Callable[[], Net], kind: type[EdgeRnnError], message: str) -> None:
    with pytest.raises(kind, match=message):
        read(make(), tmp_path)


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"upto": "rnn"}, r"upto names 'rnn', which does not exist; expected one of tensor \d+ 'lstm'"),
    ({"after": 99}, r"after names 99, which does not exist"),
    ({"upto": True}, r"upto got True, expected a tensor's name or index"),
    ({"upto": ""}, r"upto names '', the name of \d+ tensors: \[1, 2"),
    ({"upto": "x", "after": "lstm"}, r"traced the output back to tensor 0 'x', which no operator produces"),
    ({"keep_int8": True}, r"no matrix in int8"),
]


@pytest.mark.parametrize(("options", "message"), ARGUMENTS)
def test_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(dense(lstm_net(), OUT), tmp_path, **options)
    with pytest.raises(InputError, match=r"got int, expected the path"):
        from_tflite(7)  # type: ignore[arg-type]


def test_cut_by_number(tmp_path: Path) -> None:
    net = dense(lstm_net(), OUT)
    place = next(number for number, tensor in enumerate(net.tensors) if tensor.name == "lstm")
    assert [layer.kind for layer in read(net, tmp_path, upto=place).layers] == ["LSTM"]
    assert [layer.kind for layer in read(net, tmp_path, after=place).layers] == ["Dense"]


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(UnsupportedError, match=r"pip install tflite"):
        read(lstm_net(), tmp_path)


def test_files_that_are_none(tmp_path: Path) -> None:
    for content in (b"", b"TFL3", b"PK\x03\x04" * 9, b"\x1c\0\0\0TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 400):
        with pytest.raises(FileError, match=r"net\.tflite is not a"):
            read(content, tmp_path)
    with pytest.raises(FileError, match=r"cannot be read"):
        from_tflite(tmp_path / "missing.tflite")
    with pytest.raises(FileError, match=r"is a folder or a device"):
        from_tflite(tmp_path)
    huge = tmp_path / "huge.tflite"
    with huge.open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(FileError, match=r"has 1073741825 bytes"):
        from_tflite(huge)


def test_more_than_the_file_bears_out_is_not_allocated(tmp_path: Path) -> None:
    """A wide layer's activation as a matrix with ones on its diagonal; a matrix that many operators share."""
    wide = Net(T([1, 1])).add(
        "FULLY_CONNECTED", [const(np.ones((20_000, 1), "f4")), None], T([1, 20_000]), "FullyConnectedOptions"
    )
    for _ in range(2):
        wide.add("TANH", [], T([1, 20_000]))
    with pytest.raises(UnsupportedError, match=r"would take 3200000000 bytes"):
        read(wide, tmp_path)
    shared = Net(T([1, 256])).add(
        "FULLY_CONNECTED", [const(np.ones((256, 256), "i1"), scale=[1.0]), None], T([1, 256]), "FullyConnectedOptions"
    )
    for _ in range(600):
        shared.add("FULLY_CONNECTED", [1, None], T([1, 256]), "FullyConnectedOptions")
    with pytest.raises(UnsupportedError, match=r"at most, in proportion to its file"):
        read(shared, tmp_path)


def whole() -> bytes:
    return dense(last_step(lstm_net(wrap=in_int8, peephole=True, coupled=True)), OUT).bytes()


def survives(path: Path, data: bytes) -> None:
    """A model or one of the project's own errors; anything else comes through."""
    path.write_bytes(data)
    for options in ({}, {"keep_int8": True}):
        try:
            from_tflite(path, **options)  # type: ignore[arg-type]
        except EdgeRnnError as error:
            assert len(str(error)) < 2000


WORDS = (0, 1, 4, 0x7F, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


@pytest.mark.parametrize("kind", ["made", "trained"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path: Path, request: pytest.FixtureRequest, kind: str, data: st.DataObject) -> None:
    if kind == "made":
        content = bytearray(whole())
    else:
        folder = request.getfixturevalue("shared_data") / "models" / "tflm"
        content = bytearray((folder / "trained_lstm_int8.tflite").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 4))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            struct.pack_into("<I", content, place // 4 * 4, data.draw(st.sampled_from(WORDS)))
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    survives(tmp_path / "damaged.tflite", bytes(content[:length]))


def test_a_long_name_and_many_tensors_are_bounded(tmp_path: Path) -> None:
    long = lstm_net()
    long.tensors[0] = replace(long.x, name="x" * 100_000)
    with pytest.raises(UnsupportedError) as caught:
        read(flat(long, 1, STEPS * H).add("TANH", [], T([1, STEPS * H])), tmp_path)
    assert len(str(caught.value)) < 1000
    many = lstm_net()
    many.tensors += [T([1])] * 2**14
    with pytest.raises(FileError, match=r"has \d+ tensors, expected 16384 at most"):
        read(many, tmp_path)
