"""Files that ship with edge_rnn: networks, recordings and profiles of boards, one folder each."""

from __future__ import annotations

import errno
from os import PathLike, fspath
from pathlib import Path, PurePosixPath

from edge_rnn.errors import InputError, InputTypeError, MissingFileError

__all__ = ["data_folder", "data_path"]


def data_path(name: str | PathLike[str]) -> Path:
    """Path of a file or folder that ships with edge_rnn.

    Parameters
    ----------
    name
        Folder and file with ``/`` between them, ``"smart_watch/gru.safetensors"``, or a folder alone, ``"reber"``.

    Returns
    -------
    pathlib.Path
        Absolute, of a file or folder that exists.

    Raises
    ------
    InputError
        ``name`` is not a string or path, is empty, or leads out of the folder.
    FileError
        The file is missing; the message lists those that exist. Or the whole folder is missing.

    Examples
    --------
    >>> import edge_rnn
    >>> edge_rnn.data_path("smart_watch/gru.safetensors").name
    'gru.safetensors'
    """
    if not isinstance(name, (str, PathLike)):
        raise InputTypeError(
            f"data_path got {type(name).__name__}, expected a name such as 'smart_watch/gru.safetensors'."
        )
    wanted = PurePosixPath(fspath(name))
    if not wanted.parts or wanted.is_absolute() or ".." in wanted.parts or "\0" in str(wanted):
        raise InputError(f"data_path got {fspath(name)!r}, expected a name such as 'smart_watch/gru.safetensors'.")
    path = folder = data_folder()
    for part in wanted.parts:
        folder, path = path, path / part
        if not path.exists():
            raise MissingFileError(_missing(str(wanted), part, folder), errno.ENOENT, str(path))
    return path


def data_folder() -> Path:
    """Folder of all files that ship: ``devices/`` of a checkout, ``edge_rnn/_devices`` of an installed wheel.

    Returns
    -------
    pathlib.Path
        Absolute; it holds one folder per device, such as ``smart_watch``.

    Raises
    ------
    FileError
        Neither folder exists.
    """
    package = Path(__file__).resolve().parent
    installed, checkout = package / "_devices", package.parent / "devices"
    if installed.is_dir():
        return installed
    # Next to an installed package, "devices" may be an unrelated package.
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    raise MissingFileError(
        f"the device files of edge_rnn are missing: expected the folder {str(installed)!r} of an installed wheel or "
        f"{str(checkout)!r} of a checkout; reinstall edge-rnn.",
        errno.ENOENT,
        str(installed),
    )


def _missing(wanted: str, part: str, folder: Path) -> str:
    root = data_folder()
    if folder.is_file():
        return f"edge_rnn ships no {wanted!r}: {folder.relative_to(root).as_posix()!r} is a file."
    there = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith((".", "__")))
    from difflib import get_close_matches

    close = get_close_matches(part, there, n=1, cutoff=0.5)
    inside = "" if folder == root else folder.relative_to(root).as_posix() + "/"
    hint = f"did you mean {inside + close[0]!r}? There are " if close else "expected one of "
    return f"edge_rnn ships no {wanted!r}; {hint}{', '.join(inside + name for name in there)}."
