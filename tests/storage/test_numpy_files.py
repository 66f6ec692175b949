"""Untrusted NumPy files: read as NumPy reads them, or refused before they take memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import FileError
from edge_rnn.layers import Dense
from edge_rnn.model import Model
from edge_rnn.recordings.files import read_recording
from edge_rnn.storage.numpy_files import read_arrays


def header(shape: str, dtype: str = "<f4", order: bool = False) -> bytes:
    """Header of an ``.npy`` file, with any shape."""
    text = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}".encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def zeros_without_end() -> bytes:
    return packed({"x.npy": header(f"({2**26},)") + bytes(2**28)})


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "?", "<U3"])
def test_what_numpy_writes_is_read(tmp_path: Path, save: Callable[..., None], order: Any, dtype: str) -> None:
    x = np.arange(12).reshape(4, 3).astype(dtype, order=order)
    save(tmp_path / "a.npz", x=x, y=np.zeros(0), other=np.ones(9))
    np.save(tmp_path / "a.npy", x)
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == {"x", "y"}
    assert found["x"].dtype == x.dtype
    np.testing.assert_array_equal(found["x"], x)
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy")[""], x)


REFUSED: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "nothing": (b"", r"is damaged, or not a NumPy file"),
    "text": (b"1,2,3\n" * 99, r"is damaged, or not a NumPy file"),
    "half an archive": (packed({"x.npy": header("(1,)") + b"\0" * 4})[:-9], r"is damaged, or not a NumPy file"),
    "no array": (packed({"x.npy": b"text"}), r": x: is damaged, or not a NumPy file"),
    "zeros without end": (zeros_without_end,
                          r": x would take 536870912 bytes of memory, expected \d+ at most.*numpy\.savez"),
    "a header without end": (packed({"x.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 2**20}), r"is damaged"),
    "more than there is": (header("(1000000, 1000)") + b"\0" * 8, r"is damaged: its shape \(1000000, 1000\) takes"),
    "less than there was": (header("(8,)") + b"\0" * 28, r"shape \(8,\) takes 32 bytes, and the file has 28"),
    "a negative length": (header("(-1,)") + b"\0" * 28, r"expected an array of numbers"),
    "objects": (header("(1,)", "|O") + b"\0" * 8, r"holds object of shape \(1,\), expected an array of numbers"),
    "no type": (header("(1,)", "what") + b"\0" * 8, r"is damaged, or not a NumPy file"),
    "deep brackets": (header("[" * 99 + "]" * 99), r"is damaged, or not a NumPy file"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_damaged_is_refused_in_little_memory(tmp_path: Path, case: str) -> None:
    data, message = REFUSED[case]
    path = tmp_path / "given.npz"
    path.write_bytes(data() if callable(data) else data)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=message):
            read_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "is a folder or a device"),
        (tmp_path / "none", "No such file"),
        (Path("\0"), "cannot be read"),
    ):
        with pytest.raises(FileError, match=message):
            read_arrays(path)


@pytest.mark.parametrize("labels", [[0, 1, 5], [-1, 0, 1], np.array([0, 1, 2**63], np.uint64)])
def test_labels_that_are_no_outputs_are_refused(tmp_path: Path, labels: Any) -> None:
    np.savez(tmp_path / "walk.npz", x=np.ones((3, 2), np.float32), y=labels)
    model = Model([Dense(np.ones((4, 2)))])
    with pytest.raises(FileError, match=r"walk\.npz: has labels from -?\d to \d+, expected indices of .* 0 to 3"):
        read_recording(tmp_path / "walk.npz", model)
    np.savez(tmp_path / "walk.npz", x=np.ones((3, 2), np.float32), y=[0, 3, 1])
    found = read_recording(tmp_path / "walk.npz", model)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 3, 1]
