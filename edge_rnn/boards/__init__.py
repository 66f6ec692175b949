"""Profiles of boards: which there are, and which of them this machine is."""

from __future__ import annotations

import difflib

from edge_rnn.boards.here import recognise
from edge_rnn.boards.profile import Device, Figure, read
from edge_rnn.errors import InputError
from edge_rnn.shipped import data_folder

__all__ = ["Device", "Figure", "here", "load", "names"]

_PROFILE = "device.toml"


def names() -> tuple[str, ...]:
    """Names of the devices that have a profile, in alphabetical order; a folder of recordings alone has none."""
    return tuple(sorted(path.parent.name for path in data_folder().glob(f"*/{_PROFILE}")))


def load(name: str) -> Device:
    """The profile of a device.

    Parameters
    ----------
    name
        Name of its folder: ``"raspberry_pi_4"``. Capitals, blanks and ``-`` are taken as well.

    Raises
    ------
    InputError
        There is no such device.
    FileError
        Its profile is damaged.
    """
    known = names()
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    if wanted not in known:
        close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}."
        raise InputError(f"no device is called {name!r}; {hint} edge-rnn devices lists all.")
    return read(data_folder() / wanted / _PROFILE)


def here() -> Device | None:
    """The device that this machine is, by what Linux tells of processor and board; None for an unknown one."""
    return recognise(map(load, names()))
