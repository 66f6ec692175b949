"""What a loop tells about itself, as one JSON object."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from edge_rnn.errors import FileError

__all__ = ["as_text", "write_status"]


def as_text(status: dict[str, Any]) -> str:
    """The object as one line of JSON."""
    return json.dumps(status, ensure_ascii=False, allow_nan=False)


def write_status(path: Path, status: dict[str, Any]) -> None:
    """Put the object into a file that is whole whenever somebody reads it.

    It is renamed into place, but not brought to the disk at once: nobody needs it after a loss of power, and a memory
    card would be written to each time.

    Raises
    ------
    FileError
        The folder is missing, not writable or full; or the path is a folder or a device itself.
    """
    aside = path.with_name(f".{path.name}.new")
    try:
        if path.exists() and not path.is_file():  # who is allowed to would put a file in the place of /dev/null
            raise FileError(f"{path}: the status cannot be written: it is a folder or a device, not a file.")
        aside.write_text(json.dumps(status, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise FileError(f"{path}: the status cannot be written: {error.strerror or error}.") from None
