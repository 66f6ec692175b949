"""Read the bytes of untrusted files: regular files only, with a bound on their size."""

from __future__ import annotations

import stat
from pathlib import Path

from edge_rnn.errors import FileError, file_access, no_regular_file
from edge_rnn.storage.model_file import MAX_FILE_BYTES

__all__ = ["read_bytes", "size_of"]


def read_bytes(
    path: Path, most: int = MAX_FILE_BYTES, expected: str = "a file", *, offset: int = 0, count: int | None = None
) -> bytes:
    """Read a file, or ``count`` bytes of it.

    Parameters
    ----------
    path
        The file.
    most
        Largest accepted file size in bytes.
    expected
        Description of the expected file, for the message about a folder or a device.
    offset, count
        First byte and number of bytes; by default the whole file.

    Raises
    ------
    FileError
        The file cannot be read, is not a regular file, or is too long.
    """
    size = size_of(path, most, expected)
    with file_access(path), path.open("rb") as file:
        file.seek(offset)
        return file.read(size if count is None else count)  # not the bound: this many bytes are allocated beforehand


def size_of(path: Path, most: int = MAX_FILE_BYTES, expected: str = "a file") -> int:
    """Length of a file in bytes.

    Raises
    ------
    FileError
        See :func:`read_bytes`.
    """
    with file_access(path):
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise no_regular_file(f"{path}: is a folder or a device; expected {expected}.", path)
    if found.st_size > most:
        raise FileError(f"{path}: has {found.st_size} bytes, expected {most} at most.")
    return found.st_size
