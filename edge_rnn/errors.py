"""Errors that edge_rnn raises: one hierarchy, in which every class also derives from a built-in exception.

A message names what is wrong in the user's own words, what it got, what it expected and what to do, in one or two
sentences. ``except EdgeRnnError`` catches all of them. The built-in exceptions are those that Python itself raises:
``TypeError`` for a wrong type, ``ValueError`` for a wrong value, ``FileNotFoundError`` for a missing file, and an
``OSError`` with ``errno`` and ``filename`` for each file that the system refuses to open, read or write.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_rnn.printable import printable

__all__ = [
    "CompileError",
    "EdgeRnnError",
    "FileAccessError",
    "FileError",
    "FilePermissionError",
    "FolderError",
    "InputError",
    "InputTypeError",
    "MissingFileError",
    "ModelError",
    "ModelTypeError",
    "ReadingWarning",
    "SampleWarning",
    "StateError",
    "StateTypeError",
    "UnsupportedError",
    "file_access",
    "file_error",
    "missing_folder",
    "no_regular_file",
    "of_wrong_type",
    "reason_of",
]


class _Plain:
    """Mixin: the text is one line of plain characters, even if it quotes a name or a message from a file.

    See :mod:`edge_rnn.printable`. ``args`` holds the original message.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class EdgeRnnError(_Plain, Exception):
    """Base of every error that edge_rnn and edge_rnn_export raise on purpose.

    Its text is one line of plain characters; ``args`` holds the original message.
    """


class ModelError(EdgeRnnError, ValueError):
    """A layer or a model does not fit together: shapes, names, values."""


class ModelTypeError(ModelError, TypeError):
    """An argument of a layer or a model has the wrong type."""


class InputError(EdgeRnnError, ValueError):
    """An argument is not what the call takes: a sample, an option, a recording."""


class InputTypeError(InputError, TypeError):
    """An argument has the wrong type."""


class StateError(EdgeRnnError, ValueError):
    """A snapshot does not belong to this model, or is damaged."""


class StateTypeError(StateError, TypeError):
    """A snapshot or state has the wrong type."""


class FileError(EdgeRnnError, ValueError):
    """A file is not what it claims to be: damaged, of an unknown version, or hostile; or it is a FileAccessError."""


class FileAccessError(FileError, OSError):
    """The system refuses to open, read or write a file.

    Parameters
    ----------
    message
        Text of the error.
    errno
        Number of the system's error, as in :mod:`errno`.
    filename
        The file, as the user named it.
    """

    def __init__(self, message: str, errno: int | None = None, filename: str | None = None) -> None:
        super().__init__(message)
        self.errno, self.filename = errno, filename
        self.strerror = None if errno is None else os.strerror(errno)

    def __str__(self) -> str:
        return printable(str(self.args[0]))  # OSError's own has number, reason and name

    def __reduce__(self) -> tuple[type[FileAccessError], tuple[str, int | None, str | None]]:
        return type(self), (self.args[0], self.errno, self.filename)


class MissingFileError(FileAccessError, FileNotFoundError):
    """There is no such file or folder."""


class FilePermissionError(FileAccessError, PermissionError):
    """The file's permissions do not allow it."""


class FolderError(FileAccessError, IsADirectoryError):
    """A folder stands where a file is expected."""


class UnsupportedError(EdgeRnnError, NotImplementedError):
    """A model or file is well formed, but edge_rnn cannot run or convert it."""


class CompileError(EdgeRnnError, RuntimeError):
    """A kernel could not be compiled or loaded on this machine."""


class SampleWarning(_Plain, UserWarning):
    """Samples do not fit the model: another rate or unit, or values far outside the range that it was trained on."""


class ReadingWarning(_Plain, UserWarning):
    """A network is read with assumptions that its file does not confirm, or with outputs of another scale."""


@contextmanager
def file_access(path: str | os.PathLike[str], problem: str = "cannot be read") -> Iterator[None]:
    """Turn the system's errors in the block below into a :class:`FileError` that names the file.

    Converted are :class:`OSError`, and the :class:`ValueError` that Python raises for a zero byte in a name; errors of
    edge_rnn and of text encodings pass.

    Parameters
    ----------
    path
        The file, as the user named it.
    problem
        Predicate of the message, with the file as its subject: ``"cannot be written"``.

    Raises
    ------
    FileError
        As :func:`file_error` makes it: a FileAccessError where the system refused.
    """
    try:
        yield
    except (EdgeRnnError, UnicodeError):
        raise
    except (OSError, ValueError) as error:
        raise file_error(error, path, problem) from None


def file_error(error: BaseException, path: str | os.PathLike[str], problem: str = "cannot be read") -> FileError:
    """Make a :class:`FileError` from the system's error: "m.safetensors: cannot be read: Permission denied".

    For an :class:`OSError` it is a :class:`FileAccessError` of the same built-in kind.
    """
    message = f"{path}: {problem}: {reason_of(error)}."
    if not isinstance(error, OSError):
        return FileError(message)
    kind = next((own for each, own in _OF_THE_SYSTEM.items() if isinstance(error, each)), FileAccessError)
    return kind(message, error.errno, os.fspath(path))


def missing_folder(message: str, path: str | os.PathLike[str]) -> MissingFileError:
    """Make the error for a file whose folder is missing."""
    return MissingFileError(message, errno.ENOENT, os.fspath(path))


def no_regular_file(message: str, path: str | os.PathLike[str]) -> FileError:
    """Make the error for a path that is not a regular file: a :class:`FolderError` if it is a folder."""
    try:
        is_folder = stat.S_ISDIR(Path(path).stat().st_mode)
    except OSError:
        is_folder = False
    return FolderError(message, errno.EISDIR, os.fspath(path)) if is_folder else FileError(message)


def of_wrong_type(kind: type[EdgeRnnError]) -> type[EdgeRnnError]:
    """Class for a wrong type that belongs to ``kind``, the class for a wrong value: InputTypeError for InputError."""
    return _OF_WRONG_TYPE.get(kind, kind)


def reason_of(error: BaseException) -> str:
    """Reason of the system's error, without its number and without the path."""
    says = error.strerror if isinstance(error, OSError) and not isinstance(error, EdgeRnnError) else ""
    return says or str(error) or type(error).__name__


_OF_WRONG_TYPE: dict[type[EdgeRnnError], type[EdgeRnnError]] = {
    InputError: InputTypeError,
    ModelError: ModelTypeError,
    StateError: StateTypeError,
}
_OF_THE_SYSTEM: dict[type[OSError], type[FileAccessError]] = {
    FileNotFoundError: MissingFileError,
    PermissionError: FilePermissionError,
    IsADirectoryError: FolderError,
}
