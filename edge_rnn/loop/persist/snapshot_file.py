"""The state of a loop in a file that is whole at every moment, with the one before it beside it.

A file is written aside, brought to the disk and renamed, and the folder brought to the disk too; the one that was
there is kept as ``NAME.previous``. Its layout is that of :data:`edge_rnn.storage.snapshot.LOOP`.
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
    """What a snapshot file holds."""

    steps: int
    """Steps of the network before it was taken, those of earlier runs among them."""
    at_s: float
    """Unix time at which it was taken."""
    state: bytes
    """As ``stream.snapshot()`` gave it."""


def encode(stream: Stream, steps: int, at_s: float) -> bytes:
    """The contents of a file for the stream as it is."""
    return snapshot.encode(snapshot.LOOP, bytes.fromhex(stream.model.fingerprint), stream.snapshot(), steps, at_s)


def previous(path: Path) -> Path:
    """Where the snapshot before the last one is."""
    return path.with_name(path.name + ".previous")


def write(path: Path, data: bytes) -> None:
    """Make ``data`` the snapshot, and the one that was there the previous one.

    Raises
    ------
    FileError
        The folder is missing, not writable or full. What was there is still there.
    """
    atomic.write(path, data, follow=False, previous=previous(path))


def read(path: Path, fingerprint: str) -> Saved:
    """Read a snapshot of the model with this fingerprint.

    Raises
    ------
    FileNotFoundError
        There is none.
    StateError
        It is damaged, of another version, or of another model.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe is not waited for
        with os.fdopen(descriptor, "rb") as file:
            # Not read(_MAX_BYTES): that sets all of it aside beforehand, which a small machine does not have.
            data = file.read() if os.fstat(file.fileno()).st_size <= _MAX_BYTES else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {reason_of(error)}.") from None
    owner, (steps, at_s), state = snapshot.decode(snapshot.LOOP, data, f"{path}:")
    if steps > _MOST_STEPS or not abs(at_s) <= _MOST_SECONDS:
        raise StateError(f"{path}: is damaged: it says {steps} steps, and {at_s:g} s as the time.")
    if owner.hex() != fingerprint:
        raise StateError(f"{path}: is of model {owner.hex()[:12]}…, expected one of {fingerprint[:12]}….")
    return Saved(steps, at_s, state)


def restore(stream: Stream, path: Path, tell: Callable[[str], None]) -> Saved | None:
    """Put the stream where the snapshot was taken, else where the previous one was; None if neither can be used.

    A file that is there and cannot be used is reported.
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
                tell(f"{each}: the state is taken from the snapshot before the last one.")
            return saved
    return None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other loops from writing the same snapshot: an advisory lock on ``NAME.lock``, gone with the process.

    The lock is a file of this user's alone; a link, a pipe or somebody else's file under its name is refused.

    Raises
    ------
    InputError
        Another loop has it.
    FileError
        The folder is missing or not writable; the path is a folder or a device itself; the lock is somebody else's.
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
            planted = f"its lock {lock.name} is a link, which is not followed; remove it"
            raise FileError(f"{path}: the snapshot cannot be written: {planted}.") from None
        raise file_error(error, path, "the snapshot cannot be written") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or (os.geteuid() and found.st_uid not in (os.geteuid(), 0)):
            raise FileError(
                f"{path}: the snapshot cannot be written: {lock.name} is not this user's file; keep snapshots in a "
                f"folder of your own."
            )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{path}: another loop keeps its snapshots there; give this one another file.") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)
