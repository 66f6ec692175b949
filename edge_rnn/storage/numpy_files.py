"""Read untrusted ``.npy`` and ``.npz`` files, without allocating more than their stored bytes justify."""

from __future__ import annotations

import io
import math
import stat
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edge_rnn.errors import FileError, file_access, no_regular_file, reason_of
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray

__all__ = ["MAX_FILE_BYTES", "RATE_NAMES", "RECORDED", "TIME_NAME", "read_arrays"]

MAX_FILE_BYTES = 2**31
"""Largest file that is read, in bytes."""

RATE_NAMES = ("sample_rate_hz", "rate_hz", "sample_rate", "sampling_rate", "fs")
"""Names of arrays that hold the sample rate of ``x`` in Hz."""

TIME_NAME = "t_s"
"""Name of the array that holds the times of ``x`` in s."""

RECORDED = ("x", "y", TIME_NAME, *RATE_NAMES)
"""Names of the arrays of a recording."""

_FLOOR = 2**26
_REMEDY = "save it uncompressed, with numpy.savez, or only a part of it"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MAX_DIMENSIONS = 32
_LONGEST_HEADER = 2**16
_LAST_LETTER = 0x10FFFF


def read_arrays(path: Path, names: Collection[str] | None = RECORDED) -> dict[str, AnyArray]:
    """Read arrays of an ``.npz``, those of these names that are present; or the one of an ``.npy``, as ``""``.

    Parameters
    ----------
    path
        The file.
    names
        Names of the arrays, by default those of a recording; None for all.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, holds Python objects, or needs memory out of proportion to its length.
    """
    with file_access(path):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise no_regular_file(f"{path}: is a folder or a device, expected an .npz or .npy file.", path)
        if found.st_size > MAX_FILE_BYTES:
            raise FileError(f"{path}: has more than {MAX_FILE_BYTES} bytes; pass a part of it.")
        with path.open("rb") as file:
            budget = Budget.of_file(found.st_size, floor=_FLOOR, remedy=_REMEDY)
            start = file.read(4)
            file.seek(0)
            if start in _ZIP:
                return _archive(path, file, budget, names)
            return {"": _array(str(path), file, found.st_size, budget)}


def _archive(path: Path, file: BinaryIO, budget: Budget, names: Collection[str] | None) -> dict[str, AnyArray]:
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # zipfile raises exceptions of several modules
        raise _damaged(str(path), error) from None
    with archive:
        found = {}
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if (names is None or name in names) and name not in found:
                title = f"{path}: {name[:256]}"
                try:
                    member = archive.open(entry)
                except Exception as error:  # likewise
                    raise _damaged(title, error) from None
                with member:
                    found[name] = _array(title, member, entry.file_size, budget)  # type: ignore[arg-type]
        return found


def _array(title: str, file: BinaryIO, size: int, budget: Budget) -> AnyArray:
    """Read an array of ``size`` bytes, header included, after checking its shape against them."""
    try:
        start = io.BytesIO(file.read(_LONGEST_HEADER))
        version = np.lib.format.read_magic(start)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(start)
    except Exception as error:  # NumPy parses the header as Python, which has exceptions of its own
        raise _damaged(title, error) from None
    if dtype.hasobject or dtype.itemsize < 1 or len(shape) > _MAX_DIMENSIONS or min(shape, default=0) < 0:
        raise FileError(f"{title}: holds {str(dtype)[:80]} of shape {str(shape)[:80]}, expected an array of numbers.")
    count = math.prod(shape) * dtype.itemsize
    if count > size:
        raise FileError(
            f"{title}: is damaged: its shape {str(shape)[:80]} takes {count} bytes, and the file has {size}."
        )
    budget.take(title, count + 4 * math.prod(shape))  # also as float32
    try:
        data = bytearray(count)
        with memoryview(data) as view:
            done = start.readinto(view)
            while done < count and (part := file.read(min(count - done, 2**20))):
                view[done : done + len(part)] = part
                done += len(part)
    except Exception as error:  # from zipfile and zlib, as above
        raise _damaged(title, error) from None
    if done < count:
        raise FileError(
            f"{title}: is truncated: its shape {str(shape)[:80]} takes {count} bytes, and the file has {done}."
        )
    letters = np.frombuffer(data, np.dtype("u4").newbyteorder(dtype.byteorder)) if dtype.kind == "U" else np.empty(0)
    if letters.max(initial=0) > _LAST_LETTER:
        raise FileError(f"{title} is damaged: it holds text with invalid Unicode characters.")
    found: AnyArray = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return found


def _damaged(title: str, error: Exception) -> FileError:
    return FileError(f"{title}: is damaged, or not a NumPy file: {reason_of(error).splitlines()[0][:200]}.")
