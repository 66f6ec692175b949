"""Status of a loop as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_rnn import atomic

__all__ = ["as_text", "write_status"]


def as_text(status: dict[str, Any]) -> str:
    """Format the status as one line of JSON."""
    return json.dumps(status, allow_nan=False)


def write_status(path: Path, status: dict[str, Any]) -> None:
    """Replace the status file atomically.

    The file is renamed into place without syncing it to disk: it is useless after a power loss, and syncing would wear
    out a memory card.

    Raises
    ------
    FileError
        The folder is missing, not writable or full; or the path is a folder or a device.
    """
    text = json.dumps(status, allow_nan=False, indent=1) + "\n"  # ASCII: names cannot contain terminal escapes
    atomic.write(path, text.encode(), follow=False, durable=False)
