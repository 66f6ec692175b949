"""Snapshot file of a loop: replaced atomically, with the previous snapshot kept next to it.

A new file is written under a temporary name, synced to disk and renamed, and the folder is synced as well; the file it
replaces is kept as ``NAME.previous``. The layout is :data:`edge_rnn.storage.snapshot.LOOP`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_rnn import atomic
from edge_rnn.errors import FileError, InputError, StateError, file_error, no_regular_file, reason_of
from edge_rnn.storage import snapshot
from edge_rnn.streams.stream import Stream

__all__ = ["Saved", "encode", "locked", "previous", "read", "restore", "write"]

_MAX_BYTES = 2**30
_MOST_STEPS = 2**62
_MOST_SECONDS = 1e11


@dataclass(frozen=True, slots=True)
class Saved:
    """Contents of a snapshot file."""

    steps: int
    """Network steps before the snapshot, including those of earlier runs."""
    at_s: float
    """Unix time of the snapshot in seconds."""
    state: bytes
    """Bytes returned by ``stream.snapshot()``."""


def encode(stream: Stream, steps: int, at_s: float) -> bytes:
    """Encode the stream's current state as file contents."""
    return snapshot.encode(snapshot.LOOP, bytes.fromhex(stream.model.fingerprint), stream.snapshot(), steps, at_s)


def previous(path: Path) -> Path:
    """Path of the previous snapshot."""
    return path.with_name(path.name + ".previous")


def write(path: Path, data: bytes) -> None:
    """Write ``data`` as the new snapshot, and keep the old one as the previous snapshot.

    Raises
    ------
    FileError
        The folder is missing, not writable or full. The old snapshot is then unchanged.
    """
    atomic.write(path, data, follow=False, previous=previous(path))


def read(path: Path, fingerprint: str) -> Saved:
    """Read a snapshot of the model with this fingerprint.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    StateError
        The file is damaged, or of another version or model.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # do not block on a pipe
        with os.fdopen(descriptor, "rb") as file:
            # Not read(_MAX_BYTES): that would allocate the whole size first, too much for a small machine.
            data = file.read() if os.fstat(file.fileno()).st_size <= _MAX_BYTES else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {reason_of(error)}.") from None
    owner, (steps, at_s), state = snapshot.decode(snapshot.LOOP, data, f"{path}:")
    if steps > _MOST_STEPS or not abs(at_s) <= _MOST_SECONDS:
        raise StateError(f"{path}: the file is damaged: it contains {steps} steps and the time {at_s:g} s.")
    if owner.hex() != fingerprint:
        raise StateError(f"{path}: the snapshot is of model {owner.hex()[:12]}…, expected model {fingerprint[:12]}….")
    return Saved(steps, at_s, state)


def restore(stream: Stream, path: Path, tell: Callable[[str], None]) -> Saved | None:
    """Restore the stream from the snapshot, else from the previous one; return None if neither can be used.

    A file that exists but cannot be used is reported.
    """
    for each in (path, previous(path)):
        try:
            saved = read(each, stream.model.fingerprint)
            stream.restore(saved.state)
        except FileNotFoundError:
            continue
        except StateError as error:
            tell(str(error))
        else:
            if each == previous(path):
                tell(f"{each}: restored the previous snapshot instead.")
            return saved
    return None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock on ``NAME.lock``, so that no other loop writes the same snapshot; released on process exit.

    The lock file must be a regular file of this user; a link, a pipe or another user's file of that name is rejected.

    Raises
    ------
    InputError
        Another loop holds the lock.
    FileError
        The folder is missing or not writable; the path is a folder or a device; the lock file is another user's.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        if path.exists() and not path.is_file():
            message = f"{path}: the snapshot cannot be written: it is a folder or a device, not a file."
            raise no_regular_file(message, path)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(lock, flags, 0o600)
    except FileError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            planted = f"its lock {lock.name} is a link, and links are not followed; remove it"
            raise FileError(f"{path}: the snapshot cannot be written: {planted}.") from None
        raise file_error(error, path, "the snapshot cannot be written") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or (os.geteuid() and found.st_uid not in (os.geteuid(), 0)):
            raise FileError(
                f"{path}: the snapshot cannot be written: {lock.name} belongs to another user; keep snapshots in a "
                f"folder of your own."
            )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{path}: in use by another loop; choose another snapshot file.") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)
