"""The errors that edge_rnn raises: one tree, and each is also a built-in kind.

A message names what is wrong in the user's own words, what it got, what it expected and what to do, in one or two
sentences. ``except EdgeRnnError`` catches all of them; ``except ValueError`` goes on working for those who write that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from edge_rnn.printable import printable

__all__ = [
    "CompileError",
    "EdgeRnnError",
    "FileError",
    "InputError",
    "ModelError",
    "SampleWarning",
    "StateError",
    "UnsupportedError",
    "file_access",
    "file_error",
    "reason_of",
]


class _Plain:
    """Text of one line of plain characters, whatever name or message out of a file it repeats.

    See :mod:`edge_rnn.printable`. ``args`` holds the message as it was given.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class EdgeRnnError(_Plain, Exception):
    """Base of every error that edge_rnn and edge_rnn_export raise on purpose.

    Its text is one line of plain characters; ``args`` holds the message as it was given.
    """


class ModelError(EdgeRnnError, ValueError):
    """A layer or a model does not fit together: shapes, names, values."""


class InputError(EdgeRnnError, ValueError):
    """What was handed to a call is not what it takes: a sample, an option, a recording."""


class StateError(EdgeRnnError, ValueError):
    """A snapshot does not belong to this model, or is damaged."""


class FileError(EdgeRnnError, ValueError):
    """A file is not what it claims to be: damaged, of an unknown version, or hostile."""


class UnsupportedError(EdgeRnnError, NotImplementedError):
    """Something is well formed, but edge_rnn cannot run or convert it."""


class CompileError(EdgeRnnError, RuntimeError):
    """A kernel could not be compiled or loaded on this machine."""


class SampleWarning(_Plain, UserWarning):
    """Samples are not what the model is for: another rate or unit, or far outside of what it was trained on."""


@contextmanager
def file_access(path: str | os.PathLike[str], problem: str = "cannot be read") -> Iterator[None]:
    """Turn what the system says of a file into a :class:`FileError` that names the file, in the block below.

    An :class:`OSError`, and the :class:`ValueError` that Python raises for a zero byte in a name, are turned; errors of
    edge_rnn and of text encodings pass.

    Parameters
    ----------
    path
        The file, as the user named it.
    problem
        What the block could not do, with the file as its subject: ``"cannot be written"``.

    Raises
    ------
    FileError
        As :func:`file_error` makes it.
    """
    try:
        yield
    except (EdgeRnnError, UnicodeError):
        raise
    except (OSError, ValueError) as error:
        raise file_error(error, path, problem) from None


def file_error(error: BaseException, path: str | os.PathLike[str], problem: str = "cannot be read") -> FileError:
    """Make a :class:`FileError` of what the system says: "m.safetensors: cannot be read: Permission denied"."""
    return FileError(f"{path}: {problem}: {reason_of(error)}.")


def reason_of(error: BaseException) -> str:
    """Say why the system refused, without the number of the error and without the path again."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
