"""Style of figures, and saving them to a file."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_rnn import atomic
from edge_rnn.errors import InputError, UnsupportedError

__all__ = ["STYLE", "check_target", "write_figure"]

_KINDS = (".png", ".svg", ".pdf")
_INK, _FAINT = "#222222", "#8a8a8a"

STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # dollar signs in labels are literal
    "text.usetex": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.hashsalt": "edge_rnn",
}


def check_target(target: str) -> None:
    """Check up front that a figure can be written to ``target``.

    Raises
    ------
    UnsupportedError
        Matplotlib is not installed.
    InputError
        The file type is unknown, or the folder is missing.
    """
    if find_spec("matplotlib") is None:
        raise UnsupportedError("--plot needs matplotlib, which is not installed: pip install 'edge-rnn[plot]'.")
    path = Path(target)
    if path.suffix.lower() not in _KINDS:
        raise InputError(f"--plot got {target!r}, expected a name that ends in one of {', '.join(_KINDS)}.")
    if not path.parent.is_dir():
        raise InputError(f"--plot got {target!r}, but there is no folder {str(path.parent)!r}; make it first.")


def write_figure(figure: Any, target: str) -> None:
    """Write a figure atomically, in the format given by the file extension."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=Path(target).suffix[1:].lower())
    atomic.write(target, drawn.getvalue())
