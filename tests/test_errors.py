"""Errors belong to edge_rnn's hierarchy and to the built-in exception that Python itself raises in such cases."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Dense, Elman, Model, Stream, errors
from edge_rnn.boards import profile
from edge_rnn.errors import EdgeRnnError, FileAccessError, FileError, FilePermissionError, FolderError, MissingFileError
from edge_rnn.frontend import parse
from edge_rnn.loop import SensorLoop, sinks, sources
from edge_rnn.sampling import beam_search, generate
from edge_rnn.storage.file_kind import kind_of
from edge_rnn.storage.numpy_files import read_arrays
from edge_rnn.streams import StreamBank, WindowedStream

CLASSES = [
    value for name in errors.__all__ if isinstance(value := getattr(errors, name), type) and name[-7:] != "Warning"
]
MODEL = Model([Elman([[1.0]], [[0.5]]), Dense([[2.0]])])
READS: dict[str, Callable[[Path], object]] = {
    "load": edge_rnn.load,
    "kind_of": kind_of,
    "read_arrays": read_arrays,
    "profile": profile.read,
    "lines": lambda path: sources.Lines(path, 1).read(),
}
WRITES: dict[str, Callable[[Path], object]] = {
    "save": lambda path: edge_rnn.save(MODEL, path),
    "snapshot": lambda path: loop(snapshot=path),
    "status": lambda path: loop(status=path),
}
WRONG_TYPES: dict[str, tuple[Callable[[], object], type[EdgeRnnError]]] = {
    "a stream of a number": (lambda: Stream(3), errors.InputError),  # type: ignore[arg-type]
    "a policy that is a number": (lambda: Stream(MODEL, on_nonfinite=3), errors.InputError),  # type: ignore[arg-type]
    "a sample of text": (lambda: Stream(MODEL).step("0.5"), errors.InputError),
    "a sample of objects": (lambda: Stream(MODEL).step([None]), errors.InputError),
    "a snapshot that is a text": (lambda: Stream(MODEL).restore("x"), errors.StateError),  # type: ignore[arg-type]
    "states in a list": (lambda: Stream(MODEL).set_state([1.0]), errors.StateError),  # type: ignore[arg-type]
    "a bank of 2.5": (lambda: StreamBank(MODEL, 2.5), errors.InputError),  # type: ignore[arg-type]
    "a window of text": (lambda: WindowedStream(MODEL, window="8", hop=1), errors.InputError),  # type: ignore[arg-type]
    "a model of a layer": (lambda: Model(Dense([[1.0]])), errors.ModelError),  # type: ignore[arg-type]
    "a model of text": (lambda: Model(["gru"]), errors.ModelError),  # type: ignore[list-item]
    "a rate of text": (lambda: Model([Dense([[1.0]])], sample_rate_hz="9"), errors.ModelError),  # type: ignore[arg-type]
    "labels in a set": (lambda: Model([Dense([[1.0]])], labels={"a"}), errors.ModelError),  # type: ignore[arg-type]
    "a weight of text": (lambda: Dense([["a"]]), errors.ModelError),  # type: ignore[list-item]
    "a name of a layer": (lambda: Dense([[1.0]], name=1), errors.ModelError),  # type: ignore[arg-type]
    "save of a path": (lambda: edge_rnn.save("m", MODEL), errors.InputError),  # type: ignore[arg-type]
    "load of a number": (lambda: edge_rnn.load(1.5), errors.InputError),  # type: ignore[arg-type]
    "quantize to 8": (lambda: edge_rnn.quantize(MODEL, 8), errors.InputError),  # type: ignore[arg-type]
    "data_path of None": (lambda: edge_rnn.data_path(None), errors.InputError),  # type: ignore[arg-type]
    "generate from a model": (lambda: generate(MODEL, [0], max_length=1), errors.InputError),  # type: ignore[arg-type]
    "beam_search from a model": (lambda: beam_search(MODEL, [0], width=1, max_length=1), errors.InputError),  # type: ignore[arg-type]
    "a front end of 3": (lambda: parse(3), errors.InputError),  # type: ignore[arg-type]
}


def loop(**options: Any) -> object:
    source, sink = sources.Call(lambda: None, live=False), sinks.Call(lambda y, t_s: None)
    return SensorLoop(Stream(MODEL), source, sink, rate_hz=100, **options).run()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_of_the_project_and_of_a_built_in_kind(kind: type[EdgeRnnError]) -> None:
    assert issubclass(kind, EdgeRnnError)
    built_in = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert kind is EdgeRnnError or built_in[0] not in (Exception, BaseException, object)
    error = kind("a text")
    assert (str(error), error.args) == ("a text", ("a text",))


@pytest.mark.parametrize("read", READS)
def test_missing_file_is_a_file_not_found_error(read: str, tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    with pytest.raises(FileNotFoundError) as caught:
        READS[read](path)
    assert isinstance(caught.value, MissingFileError)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(path))
    assert caught.value.strerror == os.strerror(errno.ENOENT)
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory."


@pytest.mark.parametrize("read", READS)
def test_folder_in_place_of_a_file_is_an_is_a_directory_error(read: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        READS[read](tmp_path)
    assert isinstance(caught.value, FolderError)
    assert (caught.value.errno, caught.value.filename) == (errno.EISDIR, str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}: ")


@pytest.mark.parametrize("write", WRITES)
def test_missing_folder_is_a_file_not_found_error(write: str, tmp_path: Path) -> None:
    path = tmp_path / "none" / "m.safetensors"
    with pytest.raises(FileNotFoundError, match="cannot be written: ") as caught:
        WRITES[write](path)
    assert isinstance(caught.value, MissingFileError)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(path))


@pytest.mark.parametrize("write", WRITES)
def test_folder_under_the_name_of_a_new_file_is_an_is_a_directory_error(write: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="cannot be written: ") as caught:
        WRITES[write](tmp_path)
    assert isinstance(caught.value, FolderError)


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EACCES, PermissionError), (errno.EPERM, PermissionError), (errno.EIO, OSError)]
)
def test_file_that_the_system_refuses_is_an_os_error(
    code: int, kind: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    edge_rnn.save(MODEL, path)

    def refuse(*_: object, **__: object) -> object:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "open", refuse)  # root may read regardless of permissions
    with pytest.raises(kind) as caught:
        edge_rnn.load(path)
    assert isinstance(caught.value, FileAccessError)
    assert isinstance(caught.value, FilePermissionError) == (kind is PermissionError)
    assert (caught.value.errno, caught.value.filename) == (code, str(path))
    assert str(caught.value) == f"{path}: cannot be read: {os.strerror(code)}."


def test_damaged_file_is_a_value_error_and_none_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"\x10" + bytes(30))
    with pytest.raises(FileError) as caught:
        edge_rnn.load(path)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize("kind", [FileAccessError, MissingFileError, FilePermissionError, FolderError])
def test_file_error_survives_pickling_with_its_number_and_name(kind: type[FileAccessError]) -> None:
    error = kind("m: cannot be read: \x1b[2J.", errno.ENOENT, "m")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.args, again.errno, again.filename) == (error.args, errno.ENOENT, "m")
    assert str(again) == str(error) == "m: cannot be read: \\x1b[2J."


@pytest.mark.parametrize("case", WRONG_TYPES)
def test_wrong_type_is_a_type_error_and_of_the_class_of_its_wrong_values(case: str) -> None:
    call, kind = WRONG_TYPES[case]
    with pytest.raises(TypeError) as caught:
        call()
    assert type(caught.value) is errors.of_wrong_type(kind)
    assert isinstance(caught.value, kind)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Stream(MODEL, on_nonfinite="ignore"),
        lambda: Stream(MODEL).step(np.ones(3, np.float32)),
        lambda: StreamBank(MODEL, 0),
        lambda: Model([]),
        lambda: Model([Dense([[1.0]])], sample_rate_hz=-1),
        lambda: Stream(MODEL).restore(b"x"),
        lambda: edge_rnn.quantize(MODEL, "int3"),
        lambda: edge_rnn.data_path("/etc"),
    ],
)
def test_wrong_value_is_no_type_error(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    assert isinstance(caught.value, EdgeRnnError)
    assert not isinstance(caught.value, TypeError)
