"""Read untrusted HDF5 files: plain arrays and strings from them, in bounded memory and time."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.typing import AnyArray
from edge_rnn_export.limits.process import Limits, Worker

__all__ = ["Hdf5", "by_stem"]


SECONDS = 3.0
"""CPU time in s for reading, more for a large file; a thousand arrays take 0.1 s."""

_BYTES_PER_SECOND = 2**24
_JOB = "edge_rnn_export.readers.keras.hdf5_child"
_SUFFIX = re.compile(r"(_\d+)?(:\d+)?")


class Hdf5:
    """Weights and texts of an HDF5 file, as :mod:`edge_rnn_export.readers.keras.hdf5_child` finds them.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    FileError
        The data are not HDF5, or are damaged.
    UnsupportedError
        The package ``h5py`` is not installed, or no child process can be started.
    """

    def __init__(self, data: bytes) -> None:
        found = _dumped(data)
        self._groups = set(found["groups"])
        self._texts: dict[str, str] = found["texts"]
        self._refusals: dict[str, list[str]] = found["refusals"]
        self._arrays: dict[str, AnyArray] = found["arrays"]

    def text(self, name: str, *path: str) -> str | None:
        """Text attribute of the file or of a group in it; None if missing."""
        return self._texts.get(f"{'/'.join(path)}@{name}")

    def has(self, *path: str) -> bool:
        """True if a group exists at this path."""
        return "/".join(path) in self._groups

    def names(self, *path: str) -> list[str]:
        """Names of a group's members, in order; empty if the group does not exist."""
        start = "/".join((*path, ""))
        inside = (each[len(start) :] for each in self._all() if each.startswith(start))
        return sorted(name for name in inside if "/" not in name)

    def array(self, *path: str) -> AnyArray:
        """An array of floating-point numbers.

        Raises
        ------
        FileError
            The array is missing or damaged.
        UnsupportedError
            Its storage layout or type is not supported.
        """
        key = "/".join(path)
        if key in self._refusals:
            kind, reason = self._refusals[key]
            raise (UnsupportedError if kind == "unsupported" else FileError)(f"{reprlib.repr(key)} {reason}.")
        if key not in self._arrays:
            raise FileError(f"there is no array {reprlib.repr(key)}.")
        return self._arrays[key]

    def below(self, *path: str) -> list[tuple[str, ...]]:
        """Paths of all arrays below a group."""
        start = "/".join((*path, ""))
        return [tuple(key.split("/")) for key in (*self._arrays, *self._refusals) if key.startswith(start)]

    def _all(self) -> tuple[str, ...]:
        return (*self._groups, *self._arrays, *self._refusals)


def by_stem(paths: Sequence[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Paths of arrays by the last part of their names: ``"kernel"`` for ``"kernel_1:0"``.

    Raises
    ------
    FileError
        Two arrays have the same name.
    """
    found: dict[str, tuple[str, ...]] = {}
    for path in paths:
        stem = next(path[-1][:end] for end in range(1, len(path[-1]) + 1) if _SUFFIX.fullmatch(path[-1][end:]))
        if stem in found:
            raise FileError(f"{reprlib.repr('/'.join(path[:-1]))} holds two arrays called {reprlib.repr(stem)}.")
        found[stem] = path
    return found


def _dumped(data: bytes) -> dict[str, Any]:
    """Return ``groups``, ``texts``, ``refusals`` and ``arrays`` from the child process."""
    if find_spec("h5py") is None:
        raise UnsupportedError("Keras's weights are read with h5py, which is not installed; pip install h5py.")
    limits = Limits(SECONDS + len(data) / _BYTES_PER_SECOND, 2**26 + 8 * len(data))
    with Worker(_JOB, "HDF5's library", limits) as worker:
        about, arrays = worker.call("read", {"data": np.frombuffer(data, np.uint8)})
    return {**about, "arrays": arrays}
