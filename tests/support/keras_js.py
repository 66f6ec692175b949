"""Layers of Keras 2.0 that keras-js came with, as HDF5 files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_files import Spec, hdf5, sequential

__all__ = ["KINDS", "KerasJsLayer", "layers"]

KINDS = ("SimpleRNN", "GRU", "LSTM")


class KerasJsLayer(NamedTuple):
    """A layer, and its output for one sequence."""

    title: str
    data: bytes
    """The file; ``forward`` with ``go_backwards`` off."""
    forward: bytes
    backwards: bool
    stateful: bool
    """True if ``ys`` are those of a second call with the same samples."""
    xs: np.ndarray
    """In the order in which the layer reads them."""
    ys: np.ndarray
    """All steps, or the last one, ``(O,)``."""


def layers(models: Path, kind: str) -> Iterator[KerasJsLayer]:
    """Yield the layers of a kind."""
    folder = models / "keras-js"
    attributes = json.loads((folder / "attributes.json").read_text())[kind]
    cases = json.loads((folder / f"{kind}.json").read_text())
    for config, (title, case) in zip(attributes, cases.items(), strict=True):
        arrays = [np.reshape(each["data"], each["shape"]).astype(np.float32) for each in case["weights"]]
        named = dict(zip(("kernel", "recurrent_kernel", "bias"), arrays, strict=False))
        first = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [1, *config["input_shape"]]}}
        options = {key: value for key, value in config.items() if key != "input_shape"}
        specs = [Spec(kind, {**options, "go_backwards": each}, named) for each in (config["go_backwards"], False)]
        data, forward = (hdf5([spec], sequential(spec, first=first), version="2.0.4") for spec in specs)
        xs, ys = (np.reshape(case[key]["data"], case[key]["shape"]) for key in ("input", "expected"))
        backwards = config["go_backwards"]
        yield KerasJsLayer(title, data, forward, backwards, config["stateful"], xs[::-1] if backwards else xs, ys)
