"""Files of the cache: one directory, checksums, and trust in what lies there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_rnn import atomic
from edge_rnn.digest import sha256
from edge_rnn.errors import FileError
from edge_rnn.own_files import distrusted, read_own

__all__ = ["CACHE_VARIABLE", "CacheDirectory", "cache_directory", "read", "write"]

CACHE_VARIABLE = "EDGE_RNN_CACHE_DIR"
"""Environment variable that names the cache directory."""


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """Directory of images.

    Parameters
    ----------
    path
        The directory; it need not exist.
    writable
        True if new files can be written there.
    reason
        Reason why not; empty if writable.
    trusted
        True if no other user can have written files there; otherwise nothing is read from it or written to it.
    """

    path: Path
    writable: bool
    reason: str
    trusted: bool = True


def cache_directory() -> CacheDirectory:
    """Directory of images: ``EDGE_RNN_CACHE_DIR``, else ``edge_rnn`` in the user's cache directory."""
    given = os.environ.get(CACHE_VARIABLE)
    path = Path(given) if given else Path(os.devnull, "edge_rnn")  # never in the current directory
    try:
        path = path.expanduser()
        if not given:
            base = os.environ.get("XDG_CACHE_HOME")
            path = (Path(base) if base else Path("~/.cache").expanduser()) / "edge_rnn"
        path = path.absolute()
        existing = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
        if not existing.is_dir():
            return CacheDirectory(path, False, f"{existing} is not a directory")
        if reason := distrusted(path):
            return CacheDirectory(path, False, reason, trusted=False)
        if not os.access(existing, os.W_OK | os.X_OK):
            return CacheDirectory(path, False, f"{existing} is not writable")
    except (OSError, RuntimeError) as error:  # not searchable, a name too long; no home directory
        return CacheDirectory(path, False, str(error), trusted=False)
    return CacheDirectory(path, True, "")


def read(path: Path) -> bytes | None:
    """Read data from a cache file; None if the file is missing, damaged, or not this user's own."""
    data = read_own(path)
    if data is None:
        return None
    code, checksum = data[:-32], data[-32:]
    return code if code and sha256(code).digest() == checksum else None


def write(path: Path, code: bytes) -> None:
    """Write data to the cache if possible; a cache that cannot be written is not an error."""
    try:
        for folder in reversed([each for each in (path.parent, *path.parent.parents) if not each.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        atomic.write(path, code + sha256(code).digest(), mode=0o600, follow=False)
    except (OSError, FileError):
        return
