"""Plugins of the command line: subcommands of other packages, and the part of the demo that needs edge_rnn_export.

They are found by entry points, so a checkout has to be installed (``pip install -e .``). For sources, sinks and readers
of other packages, see :mod:`edge_rnn.registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

__all__ = ["COMMANDS", "DEMO", "add_commands", "load_first"]

COMMANDS = "edge_rnn.commands"
"""Group of entry points ``add(subparsers)``, one per subcommand, with the same name."""

DEMO = "edge_rnn.demo"
"""Group of entry points ``onnx_side(model, xs) -> dict``; see :mod:`edge_rnn.cli.demo`."""

_INSTALL = "pip install 'edge-rnn[export]'"
_HOST_SIDE = {
    "import": "turn a PyTorch state_dict into a model file",
    "export": "write a model as an ONNX graph of one step",
    "verify": "compare an ONNX graph with its model; exit code 1 if they differ",
}


def add_commands(subparsers: Any) -> dict[str, str]:
    """Add the subcommands of other packages.

    Returns
    -------
    Messages for subcommands that are missing, by name.
    """
    missing = {}
    found = _entry_points(COMMANDS)
    for name in dict.fromkeys((*_HOST_SIDE, *found)):
        add, reason = _load(found.get(name))
        if add is not None:
            add(subparsers)
            continue
        missing[name] = f"the command {name!r} is unavailable: {reason}; {_INSTALL} installs what it needs."
        subparsers.add_parser(name, help=f"{_HOST_SIDE.get(name, '')} (missing here: {_INSTALL})".strip())
    return missing


def load_first(group: str) -> tuple[Callable[..., Any] | None, str]:
    """Load the first entry point of a group that can be loaded; None and the reason if there is none."""
    reason = "edge_rnn_export is not installed"
    for entry_point in _entry_points(group).values():
        loaded, reason = _load(entry_point)
        if loaded is not None:
            return loaded, ""
    return None, f"{reason}; {_INSTALL}"


def _load(entry_point: metadata.EntryPoint | None) -> tuple[Callable[..., Any] | None, str]:
    if entry_point is None:
        return None, "edge_rnn_export is not installed"
    try:
        return entry_point.load(), ""
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed"
    except (ImportError, AttributeError) as error:
        return None, str(error)


def _entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    return {each.name: each for each in metadata.entry_points(group=group)}
