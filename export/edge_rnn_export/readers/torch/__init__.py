"""Reader of PyTorch modules and state_dicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn_export.readers.registry import Option, Reader, names, numbers, pairs

if TYPE_CHECKING:
    from edge_rnn_export.readers.torch.reader import Reading

__all__ = ["READER", "STATE"]


def _read(path: Path, *, mean: Any = None, scale: Any = None, **options: Any) -> Reading:
    from edge_rnn_export.readers.torch.reader import read_torch

    if (mean is None) != (scale is None):
        raise InputError("import got one of --mean and --scale; expected both or neither.")
    return read_torch(path, standardize=None if mean is None else (mean, scale), **options)


def _check(read: Reading, path: Path) -> str:
    assumed = f"; assumed: {read.assumed}" if read.assumed else ""
    if read.from_code:
        raise UnsupportedError(f"forward is read from the file, and not run{assumed}")
    raise UnsupportedError(f"a state_dict does not hold forward{assumed}")


_NUMBERS = "numbers with commas between them"

STATE = (
    Option("modules", "--modules", "modules in order of use; default: as the sizes determine", "A,B", names),
    Option(
        "activations",
        "--activation",
        "activation after a Linear (tanh, sigmoid, relu, softmax, none) or of an RNN (tanh, relu); may be repeated",
        "MODULE=KIND",
        pairs,
        "MODULE=KIND such as head=softmax",
        repeated=True,
    ),
    Option(
        "kinds",
        "--kind",
        "kind of a module with a two-dimensional weight alone (Embedding, Linear); may be repeated",
        "MODULE=KIND",
        pairs,
        "MODULE=KIND such as embedding=Embedding",
        repeated=True,
    ),
    Option("ignore", "--ignore", "parameters or modules that inference does not use", "A,B", names),
)
"""Options that state what a state_dict leaves open."""

READER = Reader(
    kind="PyTorch state_dict",
    what="a PyTorch state_dict",
    suffixes=(".pt", ".pth", ".ckpt", ".bin", ".pt2", ".safetensors", ".npz"),
    read=_read,
    check=_check,
    options=(
        Option(
            "state", "--state", "the state_dict that is meant, in a checkpoint with several: ema, model.ema", "NAME"
        ),
        Option(
            "names",
            "--array",
            "PyTorch's name of an array that the file spells otherwise; others are left out; may be repeated",
            "ARRAY=PARAMETER",
            pairs,
            "ARRAY=PARAMETER such as enc_w_ih=rnn.weight_ih_l0",
            repeated=True,
        ),
        *STATE,
        Option(
            "normalizer",
            "--normalizer",
            "running mean and variance in front of the network, in a checkpoint of rsl_rl, rl_games or skrl",
            "NAME",
        ),
        Option(
            "mean", "--mean", "mean of each input, to take samples in the sensor's own units", "V,V", numbers, _NUMBERS
        ),
        Option("scale", "--scale", "scale of each input; goes with --mean", "V,V", numbers, _NUMBERS),
    ),
    examples=(
        "edge-rnn import wrist.pt -o wrist.safetensors --activation head=softmax --labels stand,walk,run",
        "edge-rnn import last.ckpt -o model.safetensors --state ema",
        "edge-rnn import state.safetensors -o model.safetensors --modules rnn,fc1,fc2 --activation fc1=relu",
    ),
)
"""Entry of this reader for ``edge-rnn import``."""
