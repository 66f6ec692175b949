"""What other packages add to the command line: the host side's subcommands, and its part of the demo.

They come through entry points, so a checkout has to be installed (``pip install -e .``). Sources, sinks and readers of
other packages are the business of :mod:`edge_rnn.registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

__all__ = ["COMMANDS", "DEMO", "add_commands", "load_first"]

COMMANDS = "edge_rnn.commands"
"""Group of entry points ``add(subparsers)``, one for each subcommand, named as it is."""

DEMO = "edge_rnn.demo"
"""Group of entry points ``onnx_side(model, xs) -> dict``; see :mod:`edge_rnn.cli.demo`."""

_INSTALL = "pip install 'edge-rnn[export]'"
_HOST_SIDE = {
    "import": "turn a PyTorch state_dict into a model file",
    "export": "write a model as an ONNX graph of one step",
    "verify": "compare an ONNX graph with its model; exit code 1 where it is off",
}


def add_commands(subparsers: Any) -> dict[str, str]:
    """Add the subcommands of other packages.

    Returns
    -------
    What to say to a user who asks for one that is not there, by its name.
    """
    missing = {}
    found = _entry_points(COMMANDS)
    for name in dict.fromkeys((*_HOST_SIDE, *found)):
        add, reason = _load(found.get(name))
        if add is not None:
            add(subparsers)
            continue
        missing[name] = f"the command {name!r} cannot be used here: {reason}; {_INSTALL} adds what it needs."
        subparsers.add_parser(name, help=f"{_HOST_SIDE.get(name, '')} (missing here: {_INSTALL})".strip())
    return missing


def load_first(group: str) -> tuple[Callable[..., Any] | None, str]:
    """Load the first thing that can be loaded of a group; None and the reason where there is none."""
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
