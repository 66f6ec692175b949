"""``from_tflite`` against LiteRT, on files that the tests build and on two trained by others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, FileError, InputError, ModelError, UnsupportedError
from edge_rnn.formats import Int8
from edge_rnn.layers import LSTM
from edge_rnn.model import Model
from edge_rnn_export.readers.tflite.reader import from_tflite
from tflite_files import Net, T, const, uniform
from tflite_models import IN, OUT, STEPS, H, P, dense, in_int8, last_step, litert, lstm_net, read

# Steps, times products in the sum of a row, times half a unit in the last place of numbers around 1.
TOLERANCE = STEPS * (IN + H + 4) * 2.0**-24
LSTM_TENSOR = "tfl.unidirectional_sequence_lstm"


def samples(size: int = IN, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(STEPS, size)).astype(np.float32)


def assert_equal_to_litert(net: Net, folder: Path, **options: Any) -> Model:
    """Compare every step that LiteRT outputs, or only the last one if it outputs no others."""
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
    assert [layer.kind for layer in model.layers] == ["LSTM", "Dense" if after_dense else "Cell"]


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


def test_axes_that_are_open_by_the_signature_alone(tmp_path: Path) -> None:
    """A network for one sequence, whose signature allows any number of them."""
    net = Net(T([1, STEPS, IN], signature=[-1, STEPS, IN], name="x"))
    net.add("RESHAPE", [const(np.int32([STEPS, 1, IN]))], T([STEPS, 1, IN]))
    cell = lstm_net(time_major=True)
    kind, places, _, title, options = cell.operators[0]
    net.add(kind, [None if p < 0 else cell.tensors[p] for p in places[1:]], T([STEPS, 1, H]), title, **options)
    model = assert_equal_to_litert(dense(net, OUT), tmp_path)
    assert [layer.kind for layer in model.layers] == ["LSTM", "Dense"]
    damaged = dense(lstm_net(), OUT, inputs=5)
    damaged.tensors[0] = replace(damaged.x, signature=[-1, STEPS, IN])
    with pytest.raises(FileError, match=r"does not fit what it reads"):
        read(damaged, tmp_path)


def test_wake_words_of_others_are_refused_for_their_convolutions(shared_data: Path) -> None:
    for name in ("okay_nabu", "vad"):
        with pytest.raises(UnsupportedError, match=r"CONV_2D \(operator \d+\): it is a convolution or a pooling"):
            from_tflite(shared_data / "models" / "microwakeword" / f"{name}.tflite")


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
    with pytest.raises(UnsupportedError, match=r"tensor 1 is of type UINT8, has a zero point"):
        read(net, tmp_path, keep_int8=True)


@pytest.mark.parametrize("keep_int8", [False, True])
@pytest.mark.parametrize("kind", ["", "_int8"])
def test_trained_digits(shared_data: Path, kind: str, keep_int8: bool) -> None:
    path = shared_data / "models" / "tflm" / f"trained_lstm{kind}.tflite"
    if keep_int8 and not kind:
        with pytest.raises(InputError, match=r"keep_int8=True, but the file has no matrix in int8"):
            from_tflite(path, upto=LSTM_TENSOR, keep_int8=True)
        return
    with pytest.raises(
        UnsupportedError, match=rf"all of \(1, 28, 20\), .* upto='{LSTM_TENSOR}' reads .* after='{LSTM_TENSOR}' reads"
    ):
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


REFUSED: list[tuple[Callable[[], Net], type[EdgeRnnError], str]] = [
    (lambda: lstm_net(activation=0), UnsupportedError, r"the activation NONE, with which LiteRT skips"),
    (lambda: lstm_net(activation=3), UnsupportedError, r"LSTM \(operator 0\): it has the activation RELU6"),
    (lambda: lstm_net(activation=5), UnsupportedError, r"it has the activation SIGN_BIT"),
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
    (lambda: lstm_net(change=put(13, const(np.full(H, np.nan, "f4")))), ModelError, r"bias_ih holds nan at \(7,\)"),
    (lambda: lstm_net(change=put(13, T([H], np.ones(3, "f4")))), FileError, r"holds 12 bytes, expected 28"),
    (lambda: lstm_net(cell_clip=-1.0), FileError, r"CellClip is -1\.0"),
    (lambda: lstm_net(sequence=False, KernelType=1), UnsupportedError, r"of the basic kernel"),
    (lambda: lstm_net(DiagonalRecurrentTensors=True), UnsupportedError, r"diagonal matrices"),
    (
        lambda: lstm_net(change=put(2, const(np.ones((H, IN), "i1")))),
        FileError,
        r"tensor 2 is INT8 with 0 scales",
    ),
    (
        lambda: lstm_net(change=put(2, const(np.ones((H, IN), "i4")))),
        FileError,
        r"has input-to-forget weights of int32, expected real numbers",
    ),
    (
        lambda: dense(lstm_net(), OUT, inputs=STEPS * H),
        UnsupportedError,
        r"FULLY_CONNECTED \(operator 1\): .* whole window .* \(1, 12, 7\), .* single steps\. upto='lstm' reads",
    ),
    (lambda: dense(lstm_net(), OUT, inputs=5), FileError, r"FULLY_CONNECTED \(operator 1\) does not fit what it reads"),
    (lambda: last_step(lstm_net(), begin=0), UnsupportedError, r"value 'last': it holds 1 of 12 steps"),
    (lambda: last_step(lstm_net(), begin=4), UnsupportedError, r"value 'last': it holds 1 of 12 steps"),
    (
        lambda: rnn_after(last_step(lstm_net(), shrink=False)),
        UnsupportedError,
        r"it takes other samples than the recurrent node before it",
    ),
    (
        lambda: lstm_net().add("SOFTMAX", [], T([1, STEPS, H]), "SoftmaxOptions", Beta=float("nan")),
        FileError,
        r"SOFTMAX \(operator 1\) has the beta nan",
    ),
    (lambda: with_outputs(lstm_net(), 1, 0), FileError, r"no operator produces the graph's output 'tensor 1'"),
    (lambda: with_outputs(lstm_net(), -99), FileError, r"has outputs of the graph \(-83,\), expected numbers of the"),
    (lambda: circle(), FileError, r"TANH \(operator 0\) reads tensor 2, which no operator before it produces"),
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
