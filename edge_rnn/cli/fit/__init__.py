"""``edge-rnn fit``: check if a model fits a board."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.options import positive_float

if TYPE_CHECKING:
    from edge_rnn.boards.fitting import Fit
    from edge_rnn.model import Model

__all__ = ["add"]

_EPILOG = """\
The step time is an estimate, not a measurement. With llvm-mca and llvm-objdump (apt install llvm), unicorn and
pyelftools (pip install 'edge-rnn[fit]') the board's code runs once in an emulator, and a model of the processor's
pipeline times its instructions; otherwise the estimate is computed from the board's figures. The verdict uses the worst
case of the estimate, and leaves half of the time between two samples and half of the memory to other programs.

Exit codes: 0 fits, 1 does not fit or MODEL cannot be read, 2 cannot be determined.

examples:
  edge-rnn fit wrist.safetensors --device raspberry_pi_zero_2w
  edge-rnn fit wrist.safetensors --device pico_2 --rate 100
  edge-rnn fit wrist.safetensors --device cortex_m4f --json | jq .step.ns
"""


def add(subparsers: Any) -> None:
    """Add ``fit``."""
    parser = subparsers.add_parser(
        "fit",
        help="check if a model fits a board",
        description="Check if a model fits a board: weights, state, code and process against its memory, the estimated "
        "step time against the sample rate; and report what would make it fit.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("--device", metavar="NAME", required=True, help="board; edge-rnn devices lists the names")
    parser.add_argument("--rate", metavar="HZ", type=positive_float, help="sample rate (default: the model's)")
    parser.add_argument("--formats", action="store_true", help="list smaller formats even if the model fits")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_fit)


def _fit(args: argparse.Namespace) -> int:
    from edge_rnn.cli.shared.console import warn
    from edge_rnn.errors import EdgeRnnError
    from edge_rnn.storage.model_file import load

    model = load(args.model)
    try:
        return _judge(args, model)
    except (EdgeRnnError, OSError) as error:
        if getattr(args, "debug", False):
            raise
        warn(str(error), "edge-rnn fit")
        return 2


def _judge(args: argparse.Namespace, model: Model) -> int:
    from edge_rnn import boards
    from edge_rnn.boards.fitting import fit, remedies
    from edge_rnn.cli.fit.view import as_json, show
    from edge_rnn.cli.shared.console import print_json, waiting

    board = boards.load(args.device)
    with waiting(f"compiling for {board.name}"):
        found = fit(model, board, args.rate)
        smaller: tuple[Fit, ...] = ()
        if args.formats or not found.fits:
            smaller = remedies(model, board, args.rate)
    if args.json:
        print_json({"file": args.model, **as_json(found, smaller)})
    else:
        show(model, found, smaller)
    return 0 if found.fits else 1
