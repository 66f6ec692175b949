"""Recordings from files: samples, and what each belongs to where the file or another one tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.cli.samples import read_samples
from edge_rnn.errors import FileError
from edge_rnn.model import Model
from edge_rnn.numpy_files import read_arrays

__all__ = ["LabelledRecording", "read_recording"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRecording:
    """A recording as one sequence.

    Parameters
    ----------
    xs
        ``(time, input_size)`` float32, in the sensor's units.
    labels
        ``(time,)`` intp: the output that each sample belongs to; None where nobody tells.
    """

    xs: NDArray[np.float32]
    labels: NDArray[np.intp] | None


def read_recording(path: Path, model: Model, labels: Path | None = None) -> LabelledRecording:
    """Read a recording for a model.

    Parameters
    ----------
    path
        ``.npz`` with ``x`` ``(time, input_size)`` and perhaps ``y`` ``(time,)``, ``.npy``, or lines of CSV or JSON as
        ``edge-rnn run`` takes them.
    labels
        One label a line, in words or as the output's place; or ``.npy``. None: ``y`` of the recording, if it is there.

    Raises
    ------
    FileError
        A file cannot be read, or does not fit the model.
    """
    with np.errstate(over="ignore"):
        values, truth = _numpy(path) if path.suffix in (".npz", ".npy") else (_lines(path, model), None)
        xs = np.ascontiguousarray(values, np.float32)
    if labels is not None:
        truth = _numpy(labels)[0] if labels.suffix == ".npy" else _label_lines(labels)
    if xs.ndim != 2 or xs.shape[1] != model.input_size:
        raise FileError(f"{path}: has samples of shape {xs.shape}, expected (time, {model.input_size}).")
    return LabelledRecording(xs, None if truth is None else _places(labels or path, truth, model, len(xs)))


def _numpy(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Samples, and labels if there are some."""
    found = read_arrays(path)
    if "" in found:
        return _numbers(path, found[""]), None
    if "x" not in found:
        raise FileError(f"{path}: has no array 'x', expected x (time, channels) and perhaps y (time,).")
    return _numbers(path, found["x"]), found.get("y")


def _numbers(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "fiub":
        raise FileError(f"{path}: holds {array.dtype}, expected numbers.")
    return array


def _lines(path: Path, model: Model) -> NDArray[Any]:
    rows = []
    with path.open("rb") as file:
        for sample in read_samples(file, model.input_size, model.input_names):
            if sample.problem:
                raise FileError(f"{path}, line {sample.line}: {sample.problem}.")
            rows.append(sample.values)
    return np.array(rows, np.float64).reshape(len(rows), model.input_size)


def _label_lines(path: Path) -> NDArray[Any]:
    try:
        return np.array(path.read_text(encoding="utf-8").splitlines(), str)
    except UnicodeDecodeError:
        raise FileError(f"{path}: is not UTF-8 text, expected a label a line.") from None


def _places(path: Path, truth: NDArray[Any], model: Model, count: int) -> NDArray[np.intp]:
    """Labels as places of outputs: as numbers, or by the model's names for them."""
    if truth.shape != (count,):
        raise FileError(f"{path}: has {truth.shape} labels, expected ({count},), one for each sample.")
    if truth.dtype.kind in "iu":
        return truth.astype(np.intp)
    names = {label: place for place, label in enumerate(model.labels)}
    names |= {str(place): place for place in range(model.output_size)}
    unknown = sorted({str(each).strip() for each in truth} - names.keys())
    if unknown:
        raise FileError(f"{path}: has the label {unknown[0]!r}, expected one of {', '.join(names)}.")
    return np.array([names[str(each).strip()] for each in truth], np.intp)
