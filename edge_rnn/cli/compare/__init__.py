"""``edge-rnn compare``: compare networks trained for the same task."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_rnn.cli.shared.options import add_rate_options
from edge_rnn.errors import InputError

__all__ = ["add"]

_EPILOG = """\
data, one of:
  a labelled recording: .npz with x (time, channels) and y (time,), the index of the true output; or samples as for
  edge-rnn run, with --labels. State is carried from the first sample to the last. The lag of an answer is the number
  of samples since the label changed.
  texts of a grammar, .json, such as devices/reber/texts.json: after each symbol, the most likely symbols, as many as
  the grammar allows next, must be exactly the allowed ones. State is reset before each text. The lag of an answer is
  the number of preceding symbols needed to determine which symbols are allowed.

reported:
  accuracy, also with all matrices as int8; parameters; multiply-adds per step; bytes as stored in a file; memory at
  run time: weights, and state per stream; minimum step time in a compiled loop, networks timed in turn within one run;
  with --device an estimated step time on that board, see edge-rnn fit; accuracy by lag.

examples:
  edge-rnn compare elman.safetensors gru.safetensors lstm.safetensors --data recording.npz
  edge-rnn compare devices/reber/*.safetensors --data devices/reber/texts.json --report reber.html
  edge-rnn compare a.safetensors b.safetensors --data walk.csv --labels walk.txt --device raspberry_pi_zero_2w --json
"""


def add(subparsers: Any) -> None:
    """Add ``compare``."""
    parser = subparsers.add_parser(
        "compare",
        help="compare networks trained for the same task",
        description="Compare networks trained for the same task: accuracy, memory span, size, memory at run time and "
        "step time.",
        epilog=_EPILOG,
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help="model files, .safetensors, or hf://user/model")
    parser.add_argument(
        "--data", metavar="FILE", required=True, type=Path, help="labelled recording or texts, see below"
    )
    parser.add_argument("--labels", metavar="FILE", type=Path, help="one label per line, by name or index; or .npy")
    add_rate_options(parser)
    parser.add_argument(
        "--device", metavar="NAME", help="also estimate the step time on this board, see edge-rnn devices"
    )
    parser.add_argument("--report", metavar="FILE", help="write an HTML page with plots, .html")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_compare)


def _compare(args: argparse.Namespace) -> int:
    from edge_rnn import boards
    from edge_rnn.analysis.comparison import compare
    from edge_rnn.cli.compare.task import read_task
    from edge_rnn.cli.compare.view import as_json, show
    from edge_rnn.cli.shared.console import print_json, waiting
    from edge_rnn.storage.model_file import load

    if args.report:
        from edge_rnn.cli.report.page import check_target

        check_target(args.report)
    board = boards.load(args.device) if args.device else None
    models = dict(zip(_names(args.models), map(load, args.models), strict=True))
    asked = read_task("compare", args.data, args.labels, models, any_rate=args.any_rate, resample=args.resample)
    with waiting(f"evaluating {len(models)} networks"):
        found = compare(models, asked.task, device=board)
    if args.report:
        from edge_rnn.cli.compare.page import write_page

        write_page(args.report, found, asked, args.models)
    if args.json:
        print_json(as_json(found, asked, args.models))
    else:
        show(found, asked, args.report)
    return 0


def _names(paths: Sequence[str]) -> list[str]:
    """Return display names: the file names, with the folder if two are the same."""
    from edge_rnn.storage.hub import named_after

    stems = [named_after(path).stem for path in paths]
    counts = Counter(stems)
    names = [stem if counts[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]
    if len(set(names)) < len(names):
        raise InputError(f"compare got {max(names, key=names.count)} more than once; give each model once.")
    return names
