"""Readable errors for devices that cannot be opened: missing permission, device in use, no such device."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from edge_rnn.errors import reason_of

__all__ = ["device_problem", "listed"]

_MOST = 8


def device_problem(error: OSError, path: str, group: str, absent: str) -> str:
    """Describe why a device cannot be opened, and what to do.

    Parameters
    ----------
    error
        Error raised by the system.
    path
        Path of the device.
    group
        Group that usually owns such devices.
    absent
        What to do if the device does not exist.
    """
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: Permission denied; {_rights(path, group)}"
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"there is no {path}; {absent}"
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{path} is in use by another program; sudo fuser -v {path} shows which"
    return f"{path} cannot be opened: {reason_of(error)}"


def listed(what: str, names: Iterable[str]) -> str:
    """List what is available: ``serial ports here: /dev/ttyUSB0``."""
    found = list(names)
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f"{what} here: {', '.join(found[:_MOST]) or 'none'}{more}"


def _rights(path: str, group: str) -> str:
    """Describe who may open the device, and how to give the user access."""
    import grp
    import pwd

    try:
        owner = grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        owner = group
    owner = group if owner == "root" else owner  # never suggest joining the group root
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return f"sudo usermod -aG {owner} {user}, and log in again (a service: SupplementaryGroups={owner})"
