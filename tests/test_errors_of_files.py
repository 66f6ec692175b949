"""Readers and writers of the host side raise Python's exceptions for missing files, folders and wrong types."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edge_rnn_export
from edge_rnn import Dense, Elman, Model
from edge_rnn.errors import FolderError, InputTypeError, MissingFileError

MODEL = Model([Elman([[1.0]], [[0.5]]), Dense([[2.0]])])
READERS: dict[str, Callable[[Any], object]] = {
    "m.json": edge_rnn_export.from_json,
    "m.keras": edge_rnn_export.from_keras,
    "m.h5": edge_rnn_export.from_keras,
    "m.onnx": edge_rnn_export.from_onnx,
    "m.tflite": edge_rnn_export.from_tflite,
    "m.safetensors": edge_rnn_export.from_torch,
    "m.pt": edge_rnn_export.from_torch,
    "step.onnx": edge_rnn_export.OrtStream,
}


@pytest.mark.parametrize("name", READERS)
def test_missing_file_is_a_file_not_found_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(FileNotFoundError, match="No such file or directory") as caught:
        READERS[name](path)
    assert isinstance(caught.value, MissingFileError)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(path))


@pytest.mark.parametrize("name", READERS)
def test_folder_is_an_is_a_directory_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder or a device") as caught:
        READERS[name](path)
    assert isinstance(caught.value, FolderError)
    assert (caught.value.errno, caught.value.filename) == (errno.EISDIR, str(path))


@pytest.mark.parametrize("name", READERS)
def test_source_of_a_wrong_type_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=r"got int\b.*, expected ") as caught:
        READERS[name](3)
    assert isinstance(caught.value, InputTypeError)


@pytest.mark.parametrize("write", [edge_rnn_export.to_onnx, edge_rnn_export.to_ort], ids=lambda write: write.__name__)
def test_missing_folder_is_a_file_not_found_error(write: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "none" / "m.ort"
    with pytest.raises(FileNotFoundError, match="there is no folder") as caught:
        write(MODEL, path)
    assert caught.value.errno == errno.ENOENT
    assert Path(caught.value.filename).parent == path.parent


@pytest.mark.parametrize("write", [edge_rnn_export.to_onnx, edge_rnn_export.to_ort], ids=lambda write: write.__name__)
def test_path_and_model_of_a_wrong_type_are_type_errors(write: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="path") as caught:
        write(MODEL, 3)
    assert isinstance(caught.value, InputTypeError)
    with pytest.raises(TypeError, match="got str, expected a Model") as caught:
        write("m.safetensors", tmp_path / "m.ort")
    assert isinstance(caught.value, InputTypeError)
