"""Board profiles: list them, load them, and recognize this machine among them."""

from __future__ import annotations

import difflib

from edge_rnn.boards.here import recognise
from edge_rnn.boards.profile import Device, Figure, read
from edge_rnn.errors import InputError
from edge_rnn.shipped import data_folder

__all__ = ["Device", "Figure", "here", "load", "names"]

_PROFILE = "device.toml"


def names() -> tuple[str, ...]:
    """Names of the devices with a profile, sorted; a folder with recordings only has none."""
    return tuple(sorted(path.parent.name for path in data_folder().glob(f"*/{_PROFILE}")))


def load(name: str) -> Device:
    """Load the profile of a device.

    Parameters
    ----------
    name
        Name of its folder, such as ``"raspberry_pi_4"``. Case is ignored; spaces and ``-`` count as ``_``.

    Raises
    ------
    InputError
        The device is unknown.
    FileError
        The profile is damaged.
    """
    known = names()
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    if wanted not in known:
        close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known devices are {', '.join(known)}."
        raise InputError(f"unknown device {name!r}; {hint} edge-rnn devices lists all.")
    return read(data_folder() / wanted / _PROFILE)


def here() -> Device | None:
    """Profile of this machine, identified by what Linux reports about processor and board; None if it is unknown."""
    return recognise(map(load, names()))
