"""``from_keras`` on whole networks: models in models, shared layers, states, several outputs, functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.cli import main
from edge_rnn.errors import InputError, ReadingWarning, UnsupportedError
from edge_rnn_export import from_keras
from keras_models import (
    IN,
    OUT,
    STEPS,
    TOLERANCE,
    H,
    L,
    assert_equal_to_keras,
    functional,
    keras,
    randomized,
    sequential,
)

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

ops = keras.ops


def gru(units: int = H, **options: Any) -> Any:
    return L.GRU(units, return_sequences=True, **options)


def block(size: int, units: int, name: str) -> Any:
    """Functional model of one input and one output."""
    inputs = keras.Input((None, size))
    y = L.Dense(units, activation="tanh")(inputs)
    return keras.Model(inputs, L.Concatenate()([gru(units)(y), y]), name=name)


NESTED: dict[str, Callable[[], Any]] = {
    "Sequential in Sequential": lambda: sequential(sequential(gru(), L.Dense(4)), L.Dense(2)),
    "Sequential without an input": lambda: sequential(keras.Sequential([gru(), gru(4)]), L.Dense(2)),
    "functional in Sequential": lambda: sequential(block(IN, 4, "one"), block(8, 3, "two"), L.Dense(2)),
    "functional in functional": lambda: functional(lambda x: L.Dense(2)(block(8, 3, "two")(block(IN, 4, "one")(x)))),
    "at the end": lambda: functional(block(IN, 4, "one")),
    "three deep": lambda: sequential(sequential(sequential(gru(), L.Dense(IN)), L.Dense(4)), L.Dense(2)),
    "per step": lambda: sequential(gru(), L.TimeDistributed(keras.Sequential([L.Dense(4), L.Dense(2)]))),
    "first": lambda: keras.Sequential([sequential(gru()), L.Dense(2)]),
}


@pytest.mark.parametrize("case", NESTED)
def test_models_inside_models(tmp_path: Path, case: str) -> None:
    assert_equal_to_keras(randomized(NESTED[case]()), tmp_path)


def shared_layers(x: Any) -> Any:
    dense, cell = L.Dense(IN, activation="tanh"), gru(IN)
    return L.Add()([dense(cell(dense(x))), cell(x)])


def shared_model(x: Any) -> Any:
    inner = keras.Sequential([keras.Input((None, IN)), gru(IN), L.Dense(IN)])
    return inner(inner(x))


def shared_functional(x: Any) -> Any:
    inner = block(IN, 5, "inner")
    return inner(L.Dense(IN)(inner(x)))


@pytest.mark.parametrize("make", [shared_layers, shared_model, shared_functional])
def test_a_layer_called_twice_has_a_state_for_each(tmp_path: Path, make: Callable[[Any], Any]) -> None:
    read = assert_equal_to_keras(randomized(functional(make)), tmp_path)
    assert len([layer for layer in read.layers if layer.kind == "GRU"]) == 2


def test_a_stateful_layer_called_twice_is_refused() -> None:
    x = keras.Input(batch_shape=(1, 3, IN))
    cell = gru(IN, stateful=True)
    with pytest.raises(UnsupportedError, match=r"stateful and is called several times, with one state"):
        from_keras(keras.Model(x, cell(cell(x))))


@pytest.mark.parametrize("sequences", [True, False])
def test_stacked_cells(tmp_path: Path, sequences: bool) -> None:
    cells = [L.LSTMCell(H), L.LSTMCell(4), L.GRUCell(3, reset_after=False), L.SimpleRNNCell(2, use_bias=False)]
    read = assert_equal_to_keras(
        randomized(sequential(L.RNN(cells, return_sequences=sequences, name="deep"))), tmp_path
    )
    assert [layer.name for layer in read.layers] == ["deep", "deep_2", "deep_3", "deep_4"]


def test_states_as_inputs_and_outputs() -> None:
    """A decoder: its states are inputs and outputs, and start at zero in a model."""
    x, h, c = keras.Input((None, IN)), keras.Input((H,)), keras.Input((H,))
    y, new_h, new_c = L.LSTM(H, return_sequences=True, return_state=True, name="rnn")(x, initial_state=[h, c])
    model = randomized(keras.Model([x, h, c], [L.Dense(OUT)(y), new_h, new_c]))
    read = from_keras(model)
    xs = np.random.default_rng(5).standard_normal((STEPS, IN)).astype(np.float32)
    start = np.random.default_rng(6).uniform(-1, 1, (2, H)).astype(np.float32)
    expected = [np.asarray(keras.ops.convert_to_numpy(each))[0] for each in model([xs[None], start[:1], start[1:]])]
    ys, state = reference.run(read, xs, {"rnn.h": start[0], "rnn.c": start[1]})
    np.testing.assert_allclose(ys, expected[0], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(state["rnn.h"], expected[1], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(state["rnn.c"], expected[2], rtol=0, atol=TOLERANCE)


def test_a_state_may_be_the_output(tmp_path: Path) -> None:
    assert_equal_to_keras(randomized(functional(lambda x: L.Dense(2)(L.GRU(H, return_state=True)(x)[1]))), tmp_path)
    assert_equal_to_keras(
        randomized(functional(lambda x: L.Dense(2)(L.LSTM(H, return_state=True, return_sequences=True)(x)[0]))),
        tmp_path,
    )


def two_heads(sequences: bool = True) -> Any:
    x = keras.Input((None, IN), name="x")
    y = gru(name="rnn")(x)
    heads = [L.Dense(2, name="left")(y), L.Dense(3, name="right")(y if sequences else y[:, -1])]
    return randomized(keras.Model(x, heads))


def test_several_outputs_follow_one_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, xs = two_heads(), np.random.default_rng(5).standard_normal((STEPS, IN)).astype(np.float32)
    with pytest.warns(ReadingWarning, match=r"outputs 'left' of 2 values and 'right' of 3 values follow one"):
        ys, _ = reference.run(from_keras(model), xs)
    expected = [np.asarray(keras.ops.convert_to_numpy(each))[0] for each in model(xs[None])]
    np.testing.assert_allclose(ys, np.concatenate(expected, axis=1), rtol=0, atol=TOLERANCE)
    for name, wanted in zip(("left", "right"), expected, strict=True):
        ys, _ = reference.run(from_keras(model, upto=name), xs)
        np.testing.assert_allclose(ys, wanted, rtol=0, atol=TOLERANCE)
    both = from_keras(model, upto=("right", "left"))
    np.testing.assert_array_equal(
        reference.run(both, xs)[0][:, 3:], reference.run(from_keras(model, upto="left"), xs)[0]
    )
    with pytest.raises(InputError, match=r"upto names 'middle', which is no layer; expected one of 'rnn', 'left', 'ri"):
        from_keras(model, upto="middle")
    model.save(tmp_path / "net.keras")
    for more in ([], ["--upto", "right"]):
        assert main(["import", str(tmp_path / "net.keras"), "-o", str(tmp_path / "m.safetensors"), *more]) == 0
        told = capsys.readouterr().out
        assert " on 32 random steps: " in told
        assert ("follow one another in the model's" in told) is (not more)


def test_an_output_of_all_steps_and_one_of_the_last_are_a_choice() -> None:
    with pytest.raises(UnsupportedError, match=r"found the outputs 'left', 'right', .*; name one by upto="):
        from_keras(two_heads(sequences=False))
    assert from_keras(two_heads(sequences=False), upto="left").output_size == 2


def test_several_inputs_follow_one_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = keras.Input((None, 3), name="motion"), keras.Input((None, 2), name="light")
    model = randomized(keras.Model([first, second], L.Dense(2)(gru()(L.Concatenate()([second, first])))))
    xs = np.random.default_rng(5).standard_normal((STEPS, 5)).astype(np.float32)
    with pytest.warns(ReadingWarning, match=r"inputs 'motion' of 3 values and 'light' of 2 values follow one"):
        ys, _ = reference.run(from_keras(model), xs)
    expected = np.asarray(keras.ops.convert_to_numpy(model([xs[None, :, :3], xs[None, :, 3:]])))[0]
    np.testing.assert_allclose(ys, expected, rtol=0, atol=TOLERANCE)
    model.save(tmp_path / "net.keras")
    assert main(["import", str(tmp_path / "net.keras"), "-o", str(tmp_path / "m.safetensors")]) == 0
    assert " on 32 random steps: " in capsys.readouterr().out


def test_the_part_before_a_layer_that_cannot_be_read(tmp_path: Path) -> None:
    layers = [L.Dense(4, name="in"), gru(name="rnn"), L.Bidirectional(L.GRU(3, return_sequences=True)), L.Dense(2)]
    model = randomized(sequential(*layers))
    with pytest.raises(UnsupportedError, match=r"cannot read the Bidirectional .* is read by upto='rnn', .* by after="):
        from_keras(model)
    part = keras.Model(model.inputs, model.get_layer("rnn").output)
    assert from_keras(model, upto="rnn").fingerprint == from_keras(part).fingerprint
    inner = sequential(sequential(*layers[:3]), L.Dense(1))
    name = inner.layers[0].name
    with pytest.raises(UnsupportedError, match=rf"before it is read by upto='{name}/rnn'"):
        from_keras(inner)
    assert from_keras(inner, upto=f"{name}/rnn").fingerprint == from_keras(part).fingerprint


def test_the_part_after_a_layer_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [L.Conv1D(4, 3, padding="causal", name="conv"), gru(name="rnn"), L.Dense(2)]
    model = randomized(sequential(*layers))
    with pytest.raises(UnsupportedError, match=r"cannot read the Conv1D 'conv': its kernel_size is \[3\]"):
        from_keras(model)
    read = from_keras(model, after="conv")
    xs = np.random.default_rng(5).standard_normal((STEPS, IN)).astype(np.float32)
    ys, _ = reference.run(read, np.asarray(keras.ops.convert_to_numpy(model.layers[0](xs[None])))[0])
    expected = np.asarray(keras.ops.convert_to_numpy(model(xs[None])))[0]
    np.testing.assert_allclose(ys, expected, rtol=0, atol=TOLERANCE)
    path = tmp_path / "net.keras"
    model.save(path)
    assert from_keras(path, after="conv").fingerprint == read.fingerprint
    assert main(["import", str(path), "-o", str(tmp_path / "m.safetensors"), "--after", "conv", "--upto", "rnn"]) == 0
    assert " on 32 random steps: " in capsys.readouterr().out
    with pytest.raises(InputError, match=r"after names 'conf', which is no layer; expected one of .*'conv', 'rnn'"):
        from_keras(model, after="conf")
    both = [L.Bidirectional(gru(2), name="ways"), L.Bidirectional(gru(2), name="again"), gru(3), L.Dense(2)]
    model = randomized(sequential(*both))
    with pytest.raises(UnsupportedError, match=r"'ways': .* after the Bidirectional 'again' is read by after='again'"):
        from_keras(model)
    assert [layer.kind for layer in from_keras(model, after="again").layers] == ["GRU", "Dense"]


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "numbers": lambda x: (gru()(x * 0.5 - 1.0) + 0.25) / 3.0,
    "arrays": lambda x: gru()(x * np.linspace(0.5, 2.0, IN)) - np.arange(H),
    "slices": lambda x: ops.concatenate([gru()(x[..., 1:4]), x[:, :, :2]], axis=-1),
    "last step": lambda x: L.Dense(2)(gru()(x)[:, -1]),
    "parts": lambda x: ops.concatenate(ops.split(gru(6)(x), 3, axis=-1)[::-1], axis=-1),
    "sum": lambda x: ops.add(gru(IN)(x), x),
    "axes": lambda x: ops.squeeze(ops.swapaxes(ops.moveaxis(ops.expand_dims(gru()(x), 1), 1, 3), 2, 3), 2),
    "activations": lambda x: ops.tanh(L.Dense(4)(ops.relu(L.Dense(H)(gru()(x))))),
    "norms": lambda x: ops.normalize(gru()(x)) - ops.mean(gru()(x), axis=-1, keepdims=True),
    "extremes": lambda x: ops.max(gru()(x), axis=-1, keepdims=True) + ops.min(gru()(x), axis=-1, keepdims=True),
    "powers": lambda x: ops.sqrt(gru()(x) ** 2 + 1.0) + ops.rsqrt(ops.square(gru()(x)) + 1.0),
    "quotient": lambda x: 1.0 / (2.0 + gru()(x)) - abs(gru()(x)),
    "limits": lambda x: ops.clip(ops.maximum(ops.exp(gru()(x)), 0.7), 0.1, 1.2),
    "gate": lambda x: ops.sigmoid(L.Dense(H)(x)) * gru()(x),
    "units": lambda x: ops.stack(ops.unstack(gru()(x), axis=-1)[::-1], axis=-1),
    "chosen units": lambda x: L.Dense(2)(ops.take(gru()(x), [2, 0], axis=-1)),
    "matrix": lambda x: ops.matmul(gru()(x), np.linspace(-1, 1, H * 2).reshape(H, 2)),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_between_layers(tmp_path: Path, case: str) -> None:
    assert_equal_to_keras(randomized(functional(FUNCTIONS[case])), tmp_path, streamed=False)


def test_unknown_functions_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"cannot read the Einsum 'einsum': edge_rnn has no counterpart of it"):
        from_keras(functional(lambda x: ops.einsum("abc,cd->abd", gru()(x), np.eye(H))))


def test_convolution_over_one_step_is_a_dense(tmp_path: Path) -> None:
    read = assert_equal_to_keras(randomized(sequential(L.Conv1D(4, 1, activation="relu"), gru())), tmp_path)
    assert [layer.kind for layer in read.layers] == ["Dense", "GRU"]


def test_rescaling(tmp_path: Path) -> None:
    assert_equal_to_keras(randomized(sequential(L.Rescaling(1 / 255.0, offset=-0.5), gru())), tmp_path)


def test_masks_between_layers(tmp_path: Path) -> None:
    """Keras 3 writes the making of the mask into a functional model, and hands it to the layers behind."""

    def make(x: Any) -> Any:
        return L.Dense(2)(L.LSTM(H)(L.GRU(4, return_sequences=True)(L.Masking()(x))))

    model = randomized(functional(make))
    with pytest.raises(UnsupportedError, match=r"unpadded=True"):
        from_keras(model)
    assert_equal_to_keras(model, tmp_path, unpadded=True)
