"""Atomic writes: a temporary file in the same folder, then renamed, so that a file appears whole or not at all.

The temporary file has a random name, is always new (``O_EXCL``), accessible to its owner alone, and locked for as long
as its writer lives. So a link planted under that name is not followed, and left-overs of a writer that was killed can
be distinguished from files in use: the next writer in the folder removes them.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from edge_rnn.digest import sha256
from edge_rnn.errors import FileError, file_access, file_error, missing_folder, no_regular_file

__all__ = ["refuse_planted_link", "remove_left_overs", "write", "written_aside"]

_ASIDE = re.compile(r"\.edge_rnn-(?:([0-9a-f]{8})-)?[0-9a-f]{16}\.tmp")
_DAY_S = 86400.0
_SWEEP_EVERY_S = 60.0
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_swept_s: dict[Path, float] = {}


def write(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    mode: int | None = None,
    follow: bool = True,
    durable: bool = True,
    previous: str | os.PathLike[str] | None = None,
) -> None:
    """Write ``data`` to ``path`` atomically.

    Parameters
    ----------
    path
        The file.
    data
        Its contents.
    mode
        Its permissions; by default those of the file that is replaced, or 0o666 less the process's umask for a new one.
    follow
        If ``path`` is a link: True to replace the file that it leads to, False to replace the link.
    durable
        True to flush file and folder to disk, so that they survive a loss of power.
    previous
        Name in the same folder for the file that is replaced, which is kept then.

    Raises
    ------
    FileError
        The folder is missing, not writable or full; or the path is a folder, a device, or a link of another user.
    """
    with _written(path, data, mode, follow, durable, previous):
        pass


@contextmanager
def written_aside(path: str | os.PathLike[str], data: bytes) -> Iterator[Path]:
    """Write ``data`` to a temporary file, which is renamed to ``path`` when the block ends without an error.

    An existing file is replaced atomically, or left unchanged if the block raises. A link stays a link, to the new
    file. The temporary name cannot be predicted, so no other user can put a file or a link in its place. Two writers of
    one path do not conflict: the later file remains.

    Yields
    ------
    pathlib.Path
        The temporary file, complete and on disk, to check before it appears.

    Raises
    ------
    FileError
        As for :func:`write`.
    """
    with _written(path, data, None, True, True, None) as aside:
        yield aside


@contextmanager
def _written(
    path: str | os.PathLike[str],
    data: bytes,
    mode: int | None,
    follow: bool,
    durable: bool,
    previous: str | os.PathLike[str] | None,
) -> Iterator[Path]:
    try:
        target = _target(Path(path), follow)
        if durable or _is_due(target.parent):
            remove_left_overs(target.parent)
        aside, descriptor, mode = _made(target, mode)
    except FileError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # the last two: a loop of links, a zero byte in the name
        raise file_error(error, path, "cannot be written") from None
    try:  # the descriptor stays open, and the file locked, until it has its name
        with file_access(path, "cannot be written"):
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            if durable:
                os.fsync(descriptor)
        yield aside
        with file_access(path, "cannot be written"):
            os.fchmod(descriptor, mode)
            if previous is not None:
                _keep(target, Path(previous))
            aside.replace(target)
            if durable:
                _sync(target.parent)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    finally:
        os.close(descriptor)


def remove_left_overs(folder: Path) -> None:
    """Remove temporary files whose writers were killed: those that this user owns and no process has locked.

    A file that was made by another machine, or before this one was booted, is kept for a day, because locks are not
    visible on every file system.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if entry.name.startswith(".edge_rnn-")]:
            found = _ASIDE.fullmatch(name)
            if found is not None:
                with suppress(OSError):
                    _remove_left_over(folder / name, 0.0 if found[1] == _boot() else _DAY_S)


def _is_due(folder: Path) -> bool:
    """Return True if frequent writes that need not be durable should look for left-overs: once a minute per folder."""
    now_s = time.monotonic()
    is_due = now_s - _swept_s.get(folder, -math.inf) >= _SWEEP_EVERY_S
    if is_due:
        _swept_s[folder] = now_s
    return is_due


def _remove_left_over(path: Path, least_age_s: float) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            return
        if time.time() - found.st_mtime < least_age_s:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if its writer is alive
        if os.path.samestat(os.lstat(path), found):  # false if its writer has renamed it meanwhile
            path.unlink()
    finally:
        os.close(descriptor)


def refuse_planted_link(path: Path) -> None:
    """Refuse a link of another user in a folder that several users can write to, by Linux's rule for ``/tmp``.

    Raises
    ------
    FileError
        The path is such a link.
    OSError
        The system does not say.
    """
    if path.is_symlink():
        link, folder = path.lstat(), path.parent.stat()
        if folder.st_mode & _OTHERS and link.st_uid not in (os.geteuid(), folder.st_uid):
            raise FileError(
                f"{path}: cannot be written: it is a link that another user made; remove it, or write elsewhere."
            )


def _target(path: Path, follow: bool) -> Path:
    """Check that a file can be written, and return its path, with links resolved if they are followed."""
    if follow:
        refuse_planted_link(path)
    target = path.resolve() if follow else path.parent.resolve() / path.name
    if follow and target.is_symlink():  # Python before 3.13 raises RuntimeError for a loop of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    if not target.parent.is_dir():
        raise missing_folder(
            f"{path}: cannot be written: there is no folder {str(target.parent)!r}; make it first.", path
        )
    if target.exists() and not target.is_file():
        message = f"{path}: cannot be written: it is a folder or a device; expected the name of a file."
        raise no_regular_file(message, path)
    return target


def _made(target: Path, mode: int | None) -> tuple[Path, int, int]:
    """Make an empty, private and locked temporary file; return it with its descriptor and its final permissions."""
    while True:
        aside = target.with_name(f".edge_rnn-{_boot()}-{os.urandom(8).hex()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileNotFoundError):
            old = target.lstat()
            if mode is None and stat.S_ISREG(old.st_mode):
                mode = stat.S_IMODE(old.st_mode) & 0o777
        # Created with the permissions that the umask leaves: no other way to query the umask is safe among threads.
        descriptor = os.open(aside, flags, 0o666 if mode is None else 0o600)
        try:
            if mode is None:
                mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            os.fchmod(descriptor, 0o600)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # zero if another writer removed it as a left-over before it was locked
                return aside, descriptor, mode
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            os.close(descriptor)
            raise
        os.close(descriptor)


def _keep(target: Path, previous: Path) -> None:
    """Give the existing file a second name, so that it has a name at every moment."""
    second = target.with_name(f".edge_rnn-{_boot()}-{os.urandom(8).hex()}.tmp")
    try:
        os.link(target, second, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError:  # a file system without hard links
        with suppress(FileNotFoundError):
            os.replace(target, previous)
        return
    try:
        with suppress(FileNotFoundError):  # another writer of the same name was faster
            os.replace(second, previous)  # does nothing if both are the same file already
    finally:
        second.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Flush the names in a folder to disk, if its file system supports that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder may be writable but not readable
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@cache
def _boot() -> str:
    """Eight hexadecimal digits that differ between machines, and between boots of one machine."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        text = os.uname().nodename
    return sha256(text.encode()).hexdigest()[:8]
