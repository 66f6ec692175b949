"""Files that will be run: taken only where no other user, but root, can have written them.

A file is this user's own if this user or root owns it and no other may write to it. That says something only if the
same holds for every folder and link on the way to it: who may write to a folder can put another file under the name.
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
    """Why files in a folder may be another user's work; empty if they cannot be.

    A folder that is missing is made by this user, so what counts is where. On the way to it, folders like ``/tmp`` will
    do, in which users cannot rename what is not theirs, and those of a group that this user is alone in.

    Parameters
    ----------
    folder
        Absolute.

    Raises
    ------
    OSError
        It cannot be found out.
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
    """Contents of a file in a folder that is not :func:`distrusted`; None if there is none that is this user's own.

    A link is not followed, and what is looked at is the very file that is read.
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
    """True if it is a file of this user or root that no other user may write to."""
    return stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid()) and not found.st_mode & _OTHERS


def _way(folder: Path) -> Iterator[tuple[Path, os.stat_result, bool]]:
    """All folders and links that lead to a folder, as the kernel walks them; whether each is the folder itself."""
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
    """Whether the others who may write are a group that is called after its owner and has no other members."""
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
