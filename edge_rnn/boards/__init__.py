"""Devices: where their files are, which profiles there are, and which of them this machine is."""

from __future__ import annotations

import difflib
from pathlib import Path

from edge_rnn.boards.here import recognise
from edge_rnn.boards.profile import Device, Figure, read
from edge_rnn.errors import FileError, InputError

__all__ = ["Device", "Figure", "files", "here", "load", "names"]

_PROFILE = "device.toml"


def files() -> Path:
    """Folder of the device files: ``devices/`` of a checkout, ``edge_rnn/_devices`` of an installed wheel.

    Returns
    -------
    pathlib.Path
        Absolute; one folder inside for each device, such as ``smart_watch``.

    Raises
    ------
    FileError
        Neither folder is there.
    """
    package = Path(__file__).resolve().parents[1]
    installed, checkout = package / "_devices", package.parent / "devices"
    if installed.is_dir():
        return installed
    # Beside an installed package may lie somebody else's package of the name "devices".
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    raise FileError(
        f"the device files of edge_rnn are missing: expected the folder {str(installed)!r} of an installed wheel or "
        f"{str(checkout)!r} of a checkout; install edge-rnn anew."
    )


def names() -> tuple[str, ...]:
    """Names of the devices that have a profile, in alphabetical order; a folder of recordings alone has none."""
    return tuple(sorted(path.parent.name for path in files().glob(f"*/{_PROFILE}")))


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
    return read(files() / wanted / _PROFILE)


def here() -> Device | None:
    """The device that this machine is, by what Linux tells of processor and board; None for an unknown one."""
    return recognise(map(load, names()))
