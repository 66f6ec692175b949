"""Trust in files that will be executed: only those that no user but this one and root can have written.

A file is this user's own if this user or root owns it and no other user may write to it. The same must hold for every
folder and link on the way to it: anyone who may write to a folder can replace the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["distrusted", "is_own", "read_own"]

_MOST_LINKS = 40
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def distrusted(folder: Path) -> str:
    """Reason why files in a folder may have been written by another user; empty if they cannot.

    A missing folder will be made by this user, so only the folders above it count. These may be like ``/tmp``, where
    users can rename only their own files, or writable by a group whose only member is this user.

    Parameters
    ----------
    folder
        Absolute.

    Raises
    ------
    OSError
        The system does not say.
    """
    for place, found, is_last in _way(folder):
        if found.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user ({_user(found.st_uid)}), who could put code there"
        if stat.S_ISLNK(found.st_mode) or not found.st_mode & _OTHERS:
            continue
        if not is_last and (found.st_mode & stat.S_ISVTX or _is_private_group(found)):
            continue
        return f"others may write to {place} and could put code there; chmod go-w {place}"
    return ""


def read_own(path: Path) -> bytes | None:
    """Read a file in a folder that is not :func:`distrusted`; None if it is missing or not this user's own.

    A link is not followed, and ownership is checked on the open file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
        found = os.fstat(descriptor)
        if not is_own(found):
            return None
        try:
            return file.read()
        except OSError:
            return None


def is_own(found: os.stat_result) -> bool:
    """Return True for a regular file of this user or root that no other user may write to."""
    return stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid()) and not found.st_mode & _OTHERS


def _way(folder: Path) -> Iterator[tuple[Path, os.stat_result, bool]]:
    """Yield all folders and links on the way to a folder, as the kernel resolves it; True marks the folder itself."""
    left = list(reversed(folder.parts))
    place, links = Path(left.pop()), 0
    yield place, place.lstat(), not left
    while left:
        part = left.pop()
        if part == "..":
            place = place.parent
            continue
        try:
            found = (place / part).lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISLNK(found.st_mode):
            place /= part
            yield place, found, not left
            continue
        yield place / part, found, False
        links += 1
        if links > _MOST_LINKS:
            raise OSError(f"{folder}: too many links")
        target = (place / part).readlink()
        if target.is_absolute():
            place = Path(target.anchor)
        left += reversed(target.parts[target.is_absolute() :])


def _is_private_group(found: os.stat_result) -> bool:
    """Return True if only a group may write that has its owner's name and no other members."""
    import grp

    if found.st_mode & stat.S_IWOTH:
        return False
    try:
        group = grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    owner = _user(found.st_uid)
    return group.gr_name == owner and set(group.gr_mem) <= {owner}


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
