"""One door for files from elsewhere: what kind a file is, its reader, and how far off what was read is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn.spelling import counted
from edge_rnn.storage.file_kind import MODEL_FILE, kind_of

__all__ = ["KINDS", "OPTIONS", "Imported", "import_file"]

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PyTorch state_dict": (".pt", ".pth", ".safetensors"),
        "JSON": (".json", ".nam", ".aidax"),
        "TFLite": (".tflite",),
        "Keras": (".keras", ".h5", ".hdf5"),
        "ONNX": (".onnx",),
    }
)
"""What is read, and the endings of file names that say so."""

OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "PyTorch state_dict": {
            "modules": "--modules",
            "activations": "--activation",
            "ignore": "--ignore",
            "standardize": "--mean and --scale",
        },
        "TFLite": {"upto": "--upto", "after": "--after"},
        "Keras": {"unpadded": "--unpadded"},
        "ONNX": {"upto": "--upto"},
    }
)
"""Options that some readers have and others have not, as they are typed."""


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """A network that was read.

    Parameters
    ----------
    model
        The network.
    kind
        One of :data:`KINDS`.
    checked
        What it was compared with, in words, and how far it is off; empty where the file has nothing to compare with.
    unchecked
        Why it was not compared, in words, where it could have been; empty otherwise.
    """

    model: Model
    kind: str
    checked: str = ""
    unchecked: str = ""


def import_file(path: str | PathLike[str], **options: Any) -> Imported:
    """Read a network from a file, of a kind that its contents tell, or else the ending of its name.

    Parameters
    ----------
    options
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units`` of the Model; and those of
        :data:`OPTIONS`, for files of their kind.

    Raises
    ------
    InputError
        The kind is not known, or an option does not go with it.
    FileError
        The file is missing, or is something that holds no network.
    ModelError, UnsupportedError
        See the readers.
    """
    kind = _kind(Path(path))
    own = OPTIONS.get(kind, {})
    foreign = {option: typed for each in OPTIONS.values() for option, typed in each.items() if option not in own}
    for option, typed in foreign.items():
        if options.get(option):
            takers = " and ".join(other for other, each in OPTIONS.items() if option in each)
            raise InputError(f"import got {typed} with {path}: that goes with {takers} alone.")
    options = {option: value for option, value in options.items() if option not in foreign}
    return _READERS[kind](path, options)


def _kind(path: Path) -> str:
    """One of KINDS: by the first bytes of the file, or by its name where these say nothing."""
    found = kind_of(path)
    if found is MODEL_FILE:
        raise FileError(f"{path}: is a model file of edge_rnn already; edge-rnn inspect shows what is in it.")
    suffix = path.suffix.lower()
    kind = next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), "")
    if found is not None and found.reader:
        return found.reader
    if found is not None and found.sure:
        raise FileError(f"{path}: is {found.what}, expected a trained network: {', '.join(KINDS)}.")
    if not kind:
        known = ", ".join(each for endings in KINDS.values() for each in endings)
        what = f", which is {found.what}" if found else ""
        raise InputError(f"import got {path}{what}; expected a file whose name ends in one of {known}.")
    return kind


def _torch(path: str | PathLike[str], options: Mapping[str, Any]) -> Imported:
    from edge_rnn_export.readers.torch.reader import from_torch

    return Imported(from_torch(path, **options), "PyTorch state_dict")


def _json(path: str | PathLike[str], options: Mapping[str, Any]) -> Imported:
    from edge_rnn_export.readers.json.reader import read_json

    model, recording = read_json(path, **options)
    if recording is None:
        return Imported(model, "JSON")
    ys, _ = reference.run(model, recording.xs)
    error = float(np.abs(ys - recording.ys).max())
    steps = counted(len(ys), "step")
    return Imported(model, "JSON", f"the file's own recording of {steps}: {error:.1e} off at most")


def _tflite(path: str | PathLike[str], options: Mapping[str, Any]) -> Imported:
    from edge_rnn_export.readers.tflite.reader import from_tflite

    return Imported(from_tflite(path, **options), "TFLite")


def _keras(path: str | PathLike[str], options: Mapping[str, Any]) -> Imported:
    from edge_rnn_export.readers.keras.check import compare
    from edge_rnn_export.readers.keras.reader import from_keras

    model = from_keras(path, **options)
    checked, unchecked = compare(model, path)
    return Imported(model, "Keras", checked, unchecked)


def _onnx(path: str | PathLike[str], options: Mapping[str, Any]) -> Imported:
    from edge_rnn_export.readers.onnx.reader import reading_of

    reading = reading_of(path, **options)
    from edge_rnn_export.readers.onnx.check import compared  # needs onnx, as the line before has found to be there

    try:
        error, steps = compared(reading, path)
    except UnsupportedError as reason:
        return Imported(reading.model, "ONNX", unchecked=str(reason))
    return Imported(reading.model, "ONNX", f"onnxruntime over {steps} random steps: {error:.1e} off at most")


_READERS: dict[str, Callable[[str | PathLike[str], Mapping[str, Any]], Imported]] = {
    "PyTorch state_dict": _torch,
    "JSON": _json,
    "TFLite": _tflite,
    "Keras": _keras,
    "ONNX": _onnx,
}
