"""Where the files for devices are: recordings, trained networks, board recipes."""

from __future__ import annotations

from pathlib import Path

from edge_rnn.errors import FileError

__all__ = ["files"]


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
    package = Path(__file__).resolve().parent
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
