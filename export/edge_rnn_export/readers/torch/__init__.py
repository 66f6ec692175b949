"""Reader of PyTorch modules and state_dicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.errors import InputError
from edge_rnn_export.readers.registry import Option, Reader, names, numbers, pairs

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["READER"]


def _read(path: Path, *, mean: Any = None, scale: Any = None, **options: Any) -> Model:
    from edge_rnn_export.readers.torch.reader import from_torch

    if (mean is None) != (scale is None):
        raise InputError("import got one of --mean and --scale; expected both or neither.")
    return from_torch(path, standardize=None if mean is None else (mean, scale), **options)


_NUMBERS = "numbers with commas between them"

READER = Reader(
    kind="PyTorch state_dict",
    what="a PyTorch state_dict",
    suffixes=(".pt", ".pth", ".safetensors"),
    read=_read,
    options=(
        Option("modules", "--modules", "modules in order of use; default: the order in the file", "A,B", names),
        Option(
            "activations",
            "--activation",
            "activation after a Linear (tanh, sigmoid, relu, softmax, none) or of an RNN (relu); may be repeated",
            "MODULE=KIND",
            pairs,
            "MODULE=KIND such as head=softmax",
            repeated=True,
        ),
        Option("ignore", "--ignore", "parameters or modules that inference does not use", "A,B", names),
        Option(
            "mean", "--mean", "mean of each input, to take samples in the sensor's own units", "V,V", numbers, _NUMBERS
        ),
        Option("scale", "--scale", "scale of each input; goes with --mean", "V,V", numbers, _NUMBERS),
    ),
    examples=(
        "edge-rnn import wrist.pt -o wrist.safetensors --labels stand,walk,run",
        "edge-rnn import state.safetensors -o model.safetensors --modules rnn,fc1,fc2 --activation fc1=relu",
    ),
)
"""Entry of this reader for ``edge-rnn import``."""
