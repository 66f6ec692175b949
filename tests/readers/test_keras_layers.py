"""``from_keras`` on layers of every kind against Keras itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn_export import from_keras
from keras_models import IN, TOLERANCE, H, L, assert_equal_to_keras, functional, keras, randomized, sequential

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


def gru(units: int = H, **options: Any) -> Any:
    return L.GRU(units, return_sequences=True, **options)


LAYERS: dict[str, Callable[[], Any]] = {
    "LayerNormalization": lambda: L.LayerNormalization(),
    "LayerNormalization without scale": lambda: L.LayerNormalization(scale=False, epsilon=0.01),
    "LayerNormalization without center": lambda: L.LayerNormalization(center=False),
    "RMSNormalization": lambda: L.RMSNormalization(epsilon=1e-3),
    "UnitNormalization": lambda: L.UnitNormalization(),
    "GroupNormalization": lambda: L.TimeDistributed(L.GroupNormalization(4, epsilon=0.01)),
    "BatchNormalization": lambda: L.BatchNormalization(),
    "Normalization inverted": lambda: L.Normalization(invert=True, mean=np.arange(8.0), variance=np.arange(1.0, 9.0)),
    "PReLU": lambda: L.PReLU(shared_axes=[1]),
    "ReLU with a maximum": lambda: L.ReLU(max_value=0.3),
    "ReLU with all": lambda: L.ReLU(max_value=0.5, negative_slope=0.2, threshold=0.1),
    "ReLU with a threshold": lambda: L.ReLU(threshold=0.2),
    "Permute twice": lambda: keras.Sequential([L.Permute((2, 1)), L.Permute((2, 1))]),
    "dropout": lambda: L.SpatialDropout1D(0.5),
    "Identity": lambda: L.Identity(),
}
ACTIVATIONS = (
    "selu",
    "silu",
    "swish",
    "mish",
    "hard_silu",
    "relu6",
    "celu",
    "log_softmax",
    "exponential",
    "log_sigmoid",
)
ACTIVATIONS += ("hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", "sparse_plus", "sparse_sigmoid")
MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: L.Add()([a, b, b]),
    "Subtract": lambda a, b: L.Subtract()([a, b]),
    "Multiply": lambda a, b: L.Multiply()([a, b, a]),
    "Average": lambda a, b: L.Average()([a, b, b]),
    "Maximum": lambda a, b: L.Maximum()([a, b]),
    "Minimum": lambda a, b: L.Minimum()([a, b, a]),
    "a gate": lambda a, b: L.Multiply()([L.Dense(IN, activation="sigmoid")(a), b]),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_between_a_cell_and_a_head(tmp_path: Path, case: str) -> None:
    model = randomized(sequential(gru(8), LAYERS[case](), L.Dense(2)))
    assert_equal_to_keras(model, tmp_path, endings=("keras",), streamed=False)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_a_dense(tmp_path: Path, activation: str) -> None:
    assert_equal_to_keras(
        randomized(sequential(gru(), L.Dense(4, activation=activation))), tmp_path, endings=("h5",), streamed=False
    )


@pytest.mark.parametrize("case", MERGES)
def test_layers_that_merge(tmp_path: Path, case: str) -> None:
    assert_equal_to_keras(
        randomized(functional(lambda x: MERGES[case](gru(IN)(x), x))), tmp_path, endings=("keras",), streamed=False
    )


CELLS: dict[str, Callable[[], Any]] = {
    "SimpleRNN": lambda: L.SimpleRNN(H, activation="silu", return_sequences=True),
    "LSTM": lambda: L.LSTM(H, activation="hard_silu", return_sequences=True),
    "LSTM with other gates": lambda: L.LSTM(H, recurrent_activation="relu6", return_sequences=True),
    "GRU": lambda: L.GRU(H, activation="mish", return_sequences=True),
    "GRU reset before": lambda: L.GRU(H, activation="relu6", reset_after=False, return_sequences=True),
    "GRU without bias": lambda: L.GRU(H, activation="silu", use_bias=False),
    "GRU of softmax": lambda: L.GRU(H, activation="softmax"),
    "stacked": lambda: L.RNN(
        [L.LSTMCell(H, activation="silu"), L.GRUCell(3, activation="silu")], return_sequences=True
    ),
}


@pytest.mark.parametrize("case", CELLS)
def test_cells_whose_activations_onnx_lacks(tmp_path: Path, case: str) -> None:
    read = assert_equal_to_keras(
        randomized(sequential(CELLS[case](), L.Dense(2))), tmp_path, endings=("keras",), streamed=False
    )
    assert {layer.kind for layer in read.layers} == {"Cell", "Dense"}


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_a_stateful_cell_whose_activation_onnx_lacks(kind: str, steps: int) -> None:
    """A single step from zeros shows no recurrence: its state has to come from outside."""
    cells = [getattr(L, kind)(H, activation="silu", stateful=True, return_sequences=True) for _ in range(2)]
    model = randomized(keras.Sequential([keras.Input(batch_shape=(1, steps, IN)), *cells, L.Dense(2)]))
    read = from_keras(model)
    assert [layer.kind for layer in read.layers] == ["Cell", "Cell", "Dense"]
    xs = np.random.default_rng(5).standard_normal((6, IN)).astype(np.float32)
    parts = [model(part[None]) for part in np.split(xs, 6 // steps)]
    expected = np.concatenate([np.asarray(keras.ops.convert_to_numpy(part))[0] for part in parts])
    np.testing.assert_allclose(reference.run(read, xs)[0], expected, rtol=1e-5, atol=TOLERANCE)


def test_states_of_a_cell_whose_activation_onnx_lacks() -> None:
    x, h = keras.Input((None, IN)), keras.Input((H,))
    y, new_h = L.SimpleRNN(H, activation="silu", return_sequences=True, return_state=True)(x, initial_state=h)
    model = randomized(keras.Model([x, h], [L.Dense(2)(y), new_h]))
    assert [layer.kind for layer in from_keras(model).layers] == ["Cell", "Dense"]


def test_normalization_over_steps_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"GroupNormalization .* over all steps .* TimeDistributed\(GroupNormal"):
        from_keras(sequential(gru(8), L.GroupNormalization(4)))
