"""Devices that cannot be opened, in words that say what to do: rights, other programs, names that are not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from edge_rnn.errors import reason_of

__all__ = ["device_problem", "listed"]

_MOST = 8


def device_problem(error: OSError, path: str, group: str, absent: str) -> str:
    """Write in words why a device cannot be opened, and what to do.

    Parameters
    ----------
    error
        What the system answered.
    path
        Of the device.
    group
        That such devices usually belong to.
    absent
        What to do where there is no such device.
    """
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: Permission denied; {_rights(path, group)}"
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"there is no {path}; {absent}"
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{path} is in use by another program; sudo fuser -v {path} names it"
    return f"{path} cannot be opened: {reason_of(error)}"


def listed(what: str, names: Iterable[str]) -> str:
    """Write in words which there are: ``serial ports here: /dev/ttyUSB0``."""
    found = list(names)
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f"{what} here: {', '.join(found[:_MOST]) or 'none'}{more}"


def _rights(path: str, group: str) -> str:
    """Who may open it, and how the user becomes one of them."""
    import grp
    import pwd

    try:
        owner = grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        owner = group
    owner = group if owner == "root" else owner  # nobody should become a member of that
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return f"sudo usermod -aG {owner} {user}, and log in again (a service: SupplementaryGroups={owner})"
