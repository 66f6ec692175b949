"""Recurrent Keras networks as TensorFlow's converter writes them, and as ``from_tflite`` reads them.

The converter is not installed where tests run: the 24 files are those of ``tests/golden/keras_tflite.tar.xz``.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from edge_rnn.model import Model
from edge_rnn_export import from_tflite
from tests.readers.trials.judge import TOLERANCE, Run, Trial

__all__ = ["trial"]

ARCHIVE = Path(__file__).parents[2] / "golden" / "keras_tflite.tar.xz"


@cache
def _members() -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """Files by name, and the arrays of ``reference.npz``."""
    with tarfile.open(ARCHIVE) as archive:
        files = {each.name: archive.extractfile(each).read() for each in archive.getmembers()}  # type: ignore[union-attr]
    with np.load(io.BytesIO(files.pop("reference.npz"))) as arrays:
        return files, dict(arrays)


def trial(seed: int, number: int) -> Trial:
    """Return the trial of a file; there is one seed."""
    files, arrays = _members()
    name = sorted(files)[number].removesuffix(".tflite")
    wanted = arrays[name].astype(np.float64)
    tolerance = TOLERANCE
    if name.endswith("_int8"):  # LiteRT quantizes what the weights are multiplied with; as much again for the weights
        exact = arrays[name.replace("_int8", "_float")]
        tolerance = 2 * float(np.abs(wanted - exact).max() / np.abs(wanted).max())

    def read() -> Model:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.tflite")
            path.write_bytes(files[f"{name}.tflite"])
            return from_tflite(path)

    def runs() -> list[Run]:
        xs, ys = arrays["x"], wanted
        if "_stateful_" in name:
            xs, ys = xs.reshape(1, -1, xs.shape[-1]), ys.reshape(1, -1, ys.shape[-1])
        return [Run(x, slice(None), [y]) for x, y in zip(xs, ys, strict=True)]

    return Trial(f"# {name}.tflite, of tests/golden/make_keras_tflite.py", "", read, runs, tolerance=tolerance)
