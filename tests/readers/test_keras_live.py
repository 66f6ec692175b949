"""``from_keras`` against Keras itself: live models, and files written by Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.cli import main
from edge_rnn.errors import UnsupportedError
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


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", ["SimpleRNN", "GRU", "GRU-before", "LSTM"])
def test_cells(tmp_path: Path, cell: str, bias: bool, sequences: bool) -> None:
    options = {"reset_after": cell == "GRU"} if cell.startswith("GRU") else {}
    make = getattr(L, cell.partition("-")[0])
    layers = [make(H, use_bias=bias, return_sequences=True, **options)]
    layers += [make(H - 1, use_bias=bias, return_sequences=sequences, dropout=0.2, **options), L.Dense(OUT)]
    assert_equal_to_keras(randomized(sequential(*layers)), tmp_path)


def gru() -> Any:
    return L.GRU(H, return_sequences=True)


ACTIVATIONS = ["linear", "relu", "tanh", "sigmoid", "hard_sigmoid", "elu", "softplus", "softsign", "leaky_relu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(tmp_path: Path, activation: str) -> None:
    layers = [L.Dense(H, activation=activation)]
    layers += [L.LSTM(H, return_sequences=True, activation="softsign", recurrent_activation="hard_sigmoid")]
    layers += [L.GRU(H, return_sequences=True, recurrent_activation="hard_sigmoid", activation="elu")]
    layers += [L.SimpleRNN(H, return_sequences=True, activation="hard_sigmoid"), L.Activation(activation)]
    assert_equal_to_keras(randomized(sequential(*layers)), tmp_path, endings=("keras",), streamed=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.ReLU(),
        lambda: L.ReLU(negative_slope=0.25),
        lambda: L.LeakyReLU(),
        lambda: L.LeakyReLU(negative_slope=0.07),
        lambda: L.ELU(alpha=0.6),
        lambda: L.Softmax(),
        lambda: L.Activation("softmax"),
        lambda: L.Activation(L.LeakyReLU(negative_slope=0.4)),
    ],
)
def test_activation_layers(tmp_path: Path, make: Callable[[], Any]) -> None:
    """Behind a Dense it becomes the Dense's own; behind a cell, or where something else reads the Dense, it cannot."""
    read = assert_equal_to_keras(
        randomized(sequential(L.GRU(H, return_sequences=True), L.Dense(OUT), make())), tmp_path, streamed=False
    )
    assert [layer.kind for layer in read.layers] == ["GRU", "Dense"]
    read = assert_equal_to_keras(
        randomized(sequential(L.GRU(H, return_sequences=True), make())), tmp_path, endings=(), streamed=False
    )
    assert [layer.kind for layer in read.layers] == ["GRU", "Cell"]

    def twice(x: Any) -> Any:
        dense = L.Dense(OUT)(x)
        return L.Concatenate()([make()(dense), dense])

    read = assert_equal_to_keras(randomized(functional(twice)), tmp_path, endings=(), streamed=False)
    assert [layer.kind for layer in read.layers] == ["Dense", "Cell"]


BATCH_NORMS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "into the Dense before": (lambda: [L.Dense(H), L.BatchNormalization(), L.ReLU()], ["Dense"]),
    "without bias": (lambda: [L.Dense(H, use_bias=False), L.BatchNormalization(scale=False)], ["Dense"]),
    "into the Dense behind": (lambda: [gru(), L.BatchNormalization(), L.Dense(2)], ["GRU", "Dense"]),
    "into the cell behind": (lambda: [L.BatchNormalization(), L.LSTM(H, use_bias=False)], ["LSTM"]),
    "reset before": (lambda: [L.BatchNormalization(center=False), L.GRU(H, reset_after=False)], ["GRU"]),
    "twice": (lambda: [L.BatchNormalization(), L.Dropout(0.5), L.BatchNormalization(), L.SimpleRNN(H)], ["Elman"]),
    "alone at the end": (lambda: [L.GRU(H), L.BatchNormalization()], ["GRU", "Cell"]),
    "before an activation": (lambda: [L.GRU(H), L.BatchNormalization(), L.ReLU()], ["GRU", "Cell"]),
    "behind an activation": (
        lambda: [L.Dense(H, activation="relu"), L.BatchNormalization(), L.Dense(2)],
        ["Dense", "Dense"],
    ),
    "alone": (lambda: [L.BatchNormalization(epsilon=0.1)], ["Cell"]),
}


@pytest.mark.parametrize("case", BATCH_NORMS)
def test_batch_normalization_is_folded(tmp_path: Path, case: str) -> None:
    make, kinds = BATCH_NORMS[case]
    read = assert_equal_to_keras(randomized(sequential(*make())), tmp_path)
    assert [layer.kind for layer in read.layers] == kinds


def test_batch_normalization_with_a_gain_of_zero(tmp_path: Path) -> None:
    model = randomized(sequential(L.GRU(H, return_sequences=True), L.BatchNormalization(), L.GRU(H)))
    weights = model.layers[1].get_weights()
    model.layers[1].set_weights([np.zeros(H), *weights[1:]])
    assert_equal_to_keras(model, tmp_path)


def test_normalization(tmp_path: Path) -> None:
    mean, variance = np.linspace(-2, 9, IN), np.linspace(0.01, 30, IN)
    given = L.Normalization(mean=mean, variance=variance)
    read = assert_equal_to_keras(randomized(sequential(given, L.GRU(H))), tmp_path)
    assert [layer.kind for layer in read.layers] == ["Standardize", "GRU"]
    assert_equal_to_keras(
        randomized(sequential(L.Normalization(axis=None, mean=0.5, variance=4.0), L.GRU(H))), tmp_path
    )
    assert_equal_to_keras(randomized(sequential(L.Normalization(invert=True, mean=mean, variance=variance))), tmp_path)
    adapted = L.Normalization()
    adapted.adapt(np.random.default_rng(1).normal(3.0, 2.0, (50, 4, IN)).astype(np.float32))
    model = sequential(adapted, L.BatchNormalization(), L.Normalization(mean=mean, variance=variance), L.LSTM(H))
    assert_equal_to_keras(model, tmp_path)


def test_embedding(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((None,)), L.Embedding(11, 4), L.GRU(H, return_sequences=True), L.Dense(11)])
    symbols = np.array([1, 10, 3, 3, 7, 2, 5])
    assert_equal_to_keras(randomized(model), tmp_path, symbols.reshape(-1, 1))
    padded = keras.Sequential([keras.Input((None,)), L.Embedding(11, 4, mask_zero=True), L.LSTM(H), L.Dense(2)])
    with pytest.raises(UnsupportedError, match=r"unpadded=True"):
        from_keras(padded)
    assert_equal_to_keras(randomized(padded), tmp_path, symbols.reshape(-1, 1), unpadded=True)


def test_masking(tmp_path: Path) -> None:
    model = randomized(sequential(L.Masking(), L.GRU(H, return_sequences=True), L.Dense(2)))
    with pytest.raises(UnsupportedError, match=r"the Masking 'masking\w*': it skips padding steps"):
        from_keras(model)
    assert_equal_to_keras(model, tmp_path, unpadded=True)


def test_time_distributed_and_glue(tmp_path: Path) -> None:
    layers = [L.TimeDistributed(L.Dense(H, activation="tanh")), L.GaussianNoise(0.1), L.Reshape((-1, H))]
    layers += [L.LSTM(H, return_sequences=True, recurrent_dropout=0.3), L.SpatialDropout1D(0.1), L.GRU(4)]
    layers += [L.Flatten(), L.Reshape((4,)), L.Dropout(0.5), L.TimeDistributed(L.Activation("tanh"))]
    assert_equal_to_keras(randomized(sequential(*layers[:-1], L.Dense(2))), tmp_path)
    assert_equal_to_keras(randomized(sequential(L.GRU(H, return_sequences=True), layers[-1])), tmp_path)


def test_cells_in_an_rnn_layer(tmp_path: Path) -> None:
    cells = [L.SimpleRNNCell(H), L.GRUCell(H, reset_after=False), L.LSTMCell(H)]
    assert_equal_to_keras(randomized(sequential(*(L.RNN(cell, return_sequences=True) for cell in cells))), tmp_path)


def skips(x: Any) -> Any:
    first = L.Dense(H, activation="tanh")(x)
    second = L.GRU(H, return_sequences=True)(first)
    added = L.Add()([first, L.BatchNormalization()(second)])
    joined = L.Concatenate(axis=-1)([x, added, L.Dropout(0.3)(second)])
    third = L.LSTM(H, return_sequences=True)(L.BatchNormalization()(joined))
    return L.Concatenate()([L.Dense(2, activation="softmax")(third), third])


def test_skip_connections(tmp_path: Path) -> None:
    read = assert_equal_to_keras(randomized(functional(skips)), tmp_path)
    assert read.layers[-1].inputs == (read.layers[-2].name, read.layers[-3].name)
    assert_equal_to_keras(
        randomized(functional(lambda x: x + L.Dense(IN)(L.GRU(H, return_sequences=True)(x)))), tmp_path
    )
    model = functional(lambda x: L.Add()([L.GRU(H)(x), L.LSTM(H)(x), L.SimpleRNN(H)(x)]))
    assert_equal_to_keras(randomized(model), tmp_path)


def test_a_shared_dense_stays_as_it_is(tmp_path: Path) -> None:
    """Two layers read the Dense, one through an identity: its BatchNormalization must not be folded."""

    def make(x: Any) -> Any:
        dense = L.Dense(H)(x)
        return L.Add()([L.BatchNormalization()(L.Dropout(0.1)(dense)), L.Dropout(0.2)(dense)])

    assert_equal_to_keras(randomized(functional(make)), tmp_path)


def test_stateful_and_one_step(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input(batch_shape=(1, 1, IN)), L.GRU(H, stateful=True), L.Flatten(), L.Dense(2)])
    read = from_keras(randomized(model))
    xs = np.random.default_rng(5).standard_normal((STEPS, IN)).astype(np.float32)
    expected = [np.asarray(keras.ops.convert_to_numpy(model(x.reshape(1, 1, IN))))[0] for x in xs]
    np.testing.assert_allclose(reference.run(read, xs)[0], expected, rtol=0, atol=TOLERANCE)
    rows = keras.Sequential([keras.Input((IN,)), L.Dense(4, activation="relu"), L.Reshape((1, 4)), L.LSTM(H)])
    read = from_keras(randomized(rows))
    expected = np.asarray(keras.ops.convert_to_numpy(rows(xs[:1])))[0]
    np.testing.assert_allclose(reference.run(read, xs[:1])[0][0], expected, rtol=0, atol=TOLERANCE)


def test_names_and_about() -> None:
    model = keras.Sequential([keras.Input((None, 2)), L.GRU(3, name="input"), L.Dense(2, name="a b")], name="wrist")
    read = from_keras(model, labels=("x", "y"), sample_rate_hz=50, input_names=("u", "v"))
    assert [layer.name for layer in read.layers] == ["input_2", "a_b"]
    assert (read.name, read.labels, read.sample_rate_hz, read.input_names) == ("wrist", ("x", "y"), 50.0, ("u", "v"))
    assert from_keras(model, name="other").name == "other"


class Own(keras.Model):  # type: ignore[name-defined, misc]
    pass


class OwnGRU(keras.layers.GRU):  # type: ignore[name-defined, misc]
    pass


def own_function(x: Any) -> Any:
    return x


LIVE_REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "class": (Own, r"has no readable configuration|is a 'Own'"),
    "cell": (lambda: sequential(OwnGRU(H)), r"cannot read the OwnGRU '\w+': it is not Keras's own"),
    "function": (lambda: sequential(L.GRU(H, activation=own_function)), r"activation is the function 'own_function'"),
    "initial": (
        lambda: functional(lambda x: L.GRU(IN)(x, initial_state=L.GRU(IN)(x))),
        r"the GRU 'gru\w*': its initial_h is computed from samples",
    ),
    "training": (lambda: functional(lambda x: L.Dropout(0.5)(L.GRU(H)(x), training=True)), r"called with 'training'"),
    "attention": (
        lambda: functional(lambda x: L.Dot(axes=(2, 2))([x, x])),
        r"cannot read the Dot 'dot\w*': it mixes the steps of a sequence",
    ),
    "unbuilt": (lambda: keras.Sequential([L.GRU(H)]), r"saved before it was built"),
    "both ways": (lambda: sequential(L.Bidirectional(L.GRU(H))), r"the backward half needs samples"),
    "convolution": (lambda: sequential(L.Conv1D(H, 3)), r"the Conv1D 'conv1d\w*': its kernel_size is \[3\]"),
    "pooling": (
        lambda: sequential(L.GRU(H, return_sequences=True, name="rnn"), L.GlobalAveragePooling1D(), L.Dense(2)),
        r"the GlobalAveragePooling1D .*: it mixes the steps of a sequence.* before it is read by upto='rnn'",
    ),
}


@pytest.mark.parametrize("case", LIVE_REFUSED)
def test_live_models_that_are_refused(case: str) -> None:
    make, message = LIVE_REFUSED[case]
    with pytest.raises(UnsupportedError, match=message):
        from_keras(make())


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_import_is_compared_with_keras(tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    models = [sequential(L.GRU(H), L.Dense(2)), sequential(L.GRU(H, return_sequences=True, stateful=False), steps=9)]
    models += [keras.Sequential([keras.Input((None,)), L.Embedding(5, 3), L.LSTM(2)])]
    for model, steps in zip(models, (32, 9, 32), strict=True):
        path = tmp_path / f"net.{ending}"
        randomized(model).save(path)
        assert main(["import", str(path), "-o", str(tmp_path / "out.safetensors")]) == 0
        told = capsys.readouterr().out.splitlines()[1]
        start = f"compared     with Keras {keras.__version__} ({keras.config.backend()}) on {steps} random steps: "
        assert told.startswith(start)
        assert float(told.removeprefix(start).split()[0]) < TOLERANCE
