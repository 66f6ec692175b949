"""What a loop tells about itself, as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_rnn import atomic

__all__ = ["as_text", "write_status"]


def as_text(status: dict[str, Any]) -> str:
    """The object as one line of JSON."""
    return json.dumps(status, allow_nan=False)


def write_status(path: Path, status: dict[str, Any]) -> None:
    """Put the object into a file that is whole whenever somebody reads it.

    It is renamed into place, but not brought to the disk at once: nobody needs it after a loss of power, and a memory
    card would be written to each time.

    Raises
    ------
    FileError
        The folder is missing, not writable or full; or the path is a folder or a device itself.
    """
    text = json.dumps(status, allow_nan=False, indent=1) + "\n"  # in ASCII: names in it steer no terminal
    atomic.write(path, text.encode(), follow=False, durable=False)
