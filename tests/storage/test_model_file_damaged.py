"""Model files that are truncated, damaged, or larger than they say."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rnn.errors import FileError
from edge_rnn.model import Model
from edge_rnn.printable import printable
from edge_rnn.storage import model_file
from edge_rnn.storage.model_file import load, save
from model_file_parts import (
    REFUSED,
    pack,
    refusal,
    take_apart,
)
from model_files import (
    assert_same,
    plain,
)


def attempt(data: bytes, folder: Path, model: Model) -> None:
    """Load a file that may be damaged: FileError, or the same model."""
    path = folder / "maybe.safetensors"
    path.write_bytes(data)
    try:
        loaded = load(path)
    except FileError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert_same(loaded, model)


@pytest.fixture(scope="session")
def good_model(good: bytes, folder: Path) -> Model:
    return load(folder / "good.safetensors")


def test_every_truncation_is_found(good: bytes, folder: Path) -> None:
    for length in range(0, len(good), 7):
        refusal(good[:length], folder)


def test_every_flipped_bit_of_the_data_is_found(good: bytes, folder: Path) -> None:
    start = len(good) - len(take_apart(good).data)
    for place in range(start, len(good), 5):
        damaged = bytearray(good)
        damaged[place] ^= 1 << place % 8
        refusal(bytes(damaged), folder)


@given(data=st.data())
def test_damaged_bytes(data: st.DataObject, good: bytes, good_model: Model, folder: Path) -> None:
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    attempt(bytes(damaged), folder, good_model)


@given(data=st.data())
def test_pieces_cut_out_or_repeated(data: st.DataObject, good: bytes, good_model: Model, folder: Path) -> None:
    begin = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(begin, len(good)))
    attempt(good[:begin] + good[begin:end] * data.draw(st.sampled_from([0, 2])) + good[end:], folder, good_model)


@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes, folder: Path) -> None:
    refusal(data, folder)
    refusal(pack(data), folder)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way] * bool(way) + [place for key, inner in items for place in places(inner, (*way, key))]


@given(data=st.data())
def test_lies_with_a_fitting_checksum(data: st.DataObject, good: bytes, folder: Path) -> None:
    """Any value at any place of header or description, with a correct checksum: FileError, or a valid model."""
    parts = take_apart(good)
    whole = {"header": parts.header, "description": parts.description}
    way = data.draw(st.sampled_from([place for place in places(whole) if len(place) > 1]))
    target: Any = whole
    for key in way[:-1]:
        target = target[key]
    target[way[-1]] = data.draw(plain)
    path = folder / "lie.safetensors"
    path.write_bytes(parts.bytes())
    try:
        model = load(path)
    except FileError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        save(model, path)
        assert_same(load(path), model)


# Memory.


@pytest.mark.parametrize(
    "name",
    ["header max", "huge shape", "overflow", "far", "input_size huge", "wide sum", "overlap", "header beyond file"],
)
def test_a_lie_allocates_next_to_nothing(name: str, good: bytes, folder: Path) -> None:
    make = {row[0]: row[1] for row in REFUSED}[name]
    data = make(take_apart(good))
    refusal(data, folder)  # imports and caches of a first call
    tracemalloc.start()
    try:
        refusal(data, folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("name", ["nested lists", "many empty", "endless number", "metadata nested"])
@pytest.mark.sampled(1)
def test_a_full_header_allocates_megabytes_at_most(name: str, good: bytes, folder: Path) -> None:
    """A header of 1 MiB, the bound, costs Python objects for each of its characters at worst."""
    data = {row[0]: row[1] for row in REFUSED}[name](take_apart(good))
    tracemalloc.start()
    try:
        refusal(data, folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 * model_file.MAX_HEADER_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_lies_within_a_limit_that_the_system_holds(good: bytes, tmp_path: Path) -> None:
    """The same for memory that tracemalloc does not see: loading may map 64 MB more."""
    for name, make, _ in REFUSED:
        (tmp_path / f"{name}.safetensors").write_bytes(make(take_apart(good)))
    code = """
import pathlib, resource, sys
from edge_rnn.errors import FileError
from edge_rnn.storage.model_file import load
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20, used + 64 * 2**20))
refused = 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        load(path)
    except FileError:
        refused += 1
print(refused)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(model_file.__file__).parents[2]), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert int(done.stdout) == len(list(tmp_path.iterdir()))


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.truncate(model_file.MAX_FILE_BYTES + 1)
    with pytest.raises(FileError, match="it has 1073741825 bytes, expected 8 to 1073741824"):
        load(path)


# Paths.


def test_load_of_what_is_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, message in [
        (tmp_path, "is a folder or a device; expected a .safetensors file"),
        (fifo, "is a folder or a device"),
        (tmp_path / "none.safetensors", "cannot be read: No such file or directory"),
        (fifo / "m.safetensors", "cannot be read: Not a directory"),
        (f"{tmp_path}/a\0b", "cannot be read: "),
        (tmp_path / ("n" * 300), "cannot be read: File name too long"),
    ]:
        with pytest.raises(FileError) as caught:
            load(path)
        assert str(caught.value).startswith(printable(f"{path}: {message}"))
        assert ("embedded null" in str(caught.value)) == ("\0" in str(path))


def test_load_of_what_may_not_be_read(good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(good)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(FileError, match=r"m\.safetensors: cannot be read: Permission denied\.$"):
        load(path)
