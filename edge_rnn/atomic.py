"""Files that appear whole or not at all: written aside in the same folder, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_rnn.errors import FileError

__all__ = ["write", "written_aside"]


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Give ``path`` the contents ``data``, at once or not at all.

    Raises
    ------
    FileError
        The folder is missing, not writable or full; the path is a folder or a device.
    """
    with written_aside(path, data):
        pass


@contextmanager
def written_aside(path: str | os.PathLike[str], data: bytes) -> Iterator[Path]:
    """Write ``data`` beside ``path``; when the block ends without an error the file takes that name.

    A file that is there already is replaced at once, or left as it was where the block raises. A link stays a link, to
    the new file. Nobody can know the name beforehand and put a file or a link in its place, and two writers of one
    path do not meet: the later one's file remains.

    Yields
    ------
    pathlib.Path
        The file aside, complete and on the disk: for checks of what will appear.

    Raises
    ------
    FileError
        As for :func:`write`.
    """
    try:
        target = Path(path).resolve()
        if not target.parent.is_dir():
            raise FileError(f"{path}: cannot be written: there is no folder {str(target.parent)!r}; make it first.")
        if target.exists() and not target.is_file():
            raise FileError(f"{path}: cannot be written: it is a folder or a device; expected the name of a file.")
        aside = target.with_name(f".edge_rnn-{secrets.token_hex(8)}.tmp")
        file = aside.open("xb")
    except FileError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # the last two: a loop of links, a zero byte in the name
        raise _refusal(path, error) from None
    try:
        try:
            with file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _refusal(path, error) from None
        yield aside
        try:
            aside.replace(target)
        except OSError as error:
            raise _refusal(path, error) from None
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def _refusal(path: str | os.PathLike[str], error: Exception) -> FileError:
    """Say why the system refused, without its number and without the path again."""
    reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return FileError(f"{path}: cannot be written: {reason}.")
