"""Keras models for tests, live and saved, compared with what is read of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import needs
from edge_rnn import Stream, reference
from edge_rnn_export import from_keras

needs.package("torch")
needs.package("h5py")
os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = needs.package("keras")
L = keras.layers

STEPS, IN, H, OUT = 12, 5, 7, 3
# Keras computes in float32: sums of up to 32 terms, none much larger than 2, each addition half a last place off.
TOLERANCE = 64 * 2.0**-24


def sequential(*layers: Any, size: int = IN, steps: int | None = None) -> Any:
    return keras.Sequential([keras.Input((steps, size)), *layers])


def functional(make: Callable[[Any], Any], size: int = IN) -> Any:
    inputs = keras.Input((None, size))
    return keras.Model(inputs, make(inputs))


def randomized(model: Any) -> Any:
    """Randomize all weights of a model, including biases and variances."""
    rng = np.random.default_rng(3)
    for layer in model.layers:
        names = [variable.name for variable in layer.weights]
        values = []
        for name, array in zip(names, layer.get_weights(), strict=True):
            low = 0.3 if "variance" in name else -0.6
            value = np.asarray(rng.uniform(low, 0.9, np.shape(array)), np.float32)
            values.append(np.asarray(array) if name == "count" else value)
        layer.set_weights(values)
    return model


def assert_equal_to_keras(
    model: Any,
    tmp_path: Path,
    xs: np.ndarray | None = None,
    endings: tuple[str, ...] = ("keras", "h5"),
    streamed: bool = True,
    **options: Any,
) -> Any:
    """Check that a network gives the same Model live and from files, and that it computes what Keras does."""
    if xs is None:
        xs = np.random.default_rng(5).standard_normal((STEPS, model.input_shape[-1])).astype(np.float32)
        batch = xs[None]
    else:
        batch = xs.reshape(1, -1)
    read = from_keras(model, **options)
    for ending in endings:
        path = tmp_path / f"net.{ending}"
        model.save(path)
        assert from_keras(path, **options).fingerprint == read.fingerprint
    expected = np.asarray(keras.ops.convert_to_numpy(model(batch, training=False)))[0]
    ys, _ = reference.run(read, xs)
    np.testing.assert_allclose(ys if expected.ndim == 2 else ys[-1], expected, rtol=0, atol=TOLERANCE)
    if streamed:
        np.testing.assert_allclose(Stream(read).run(xs.astype(np.float32)), ys, rtol=0, atol=TOLERANCE)
    return read
