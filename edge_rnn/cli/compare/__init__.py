"""``edge-rnn compare``: networks that have learnt the same, side by side."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.options import add_rate_options
from edge_rnn.errors import InputError

if TYPE_CHECKING:
    from edge_rnn.cli.compare.view import Asked
    from edge_rnn.model import Model

__all__ = ["add"]

_EPILOG = """\
data, one of:
  a recording with labels: .npz with x (time, channels) and y (time,), the place of the right output; or samples as
  edge-rnn run takes them, and --labels. State is carried from the first sample to the last. The lag of an answer is
  how many samples have come since the label changed.
  texts of a grammar, .json, such as devices/reber/texts.json: at each symbol the likeliest ones, as many as may
  follow, have to be those that may follow. State is reset before each text. The lag of an answer is how many of the
  last symbols it takes to tell what may follow.

what is told:
  accuracy, also with all matrices as int8; parameters; multiply-adds of a step; bytes as a file stores them; memory
  at work: weights, and state for each stream; the least time of a step in a compiled loop, all in turn within one
  run; with --device an estimate of that on a board, see edge-rnn fit; accuracy by lag.

examples:
  edge-rnn compare elman.safetensors gru.safetensors lstm.safetensors --data recording.npz
  edge-rnn compare devices/reber/*.safetensors --data devices/reber/texts.json --report reber.html
  edge-rnn compare a.safetensors b.safetensors --data walk.csv --labels walk.txt --device raspberry_pi_zero_2w --json
"""


def add(subparsers: Any) -> None:
    """Add ``compare``."""
    parser = subparsers.add_parser(
        "compare",
        help="hold networks that have learnt the same against each other",
        description="Hold networks that have learnt the same against each other: how good each is, how far back it "
        "remembers, how large it is, how much memory it takes and how quick it is.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help="model files, .safetensors")
    parser.add_argument("--data", metavar="FILE", required=True, type=Path, help="what they have learnt: see below")
    parser.add_argument("--labels", metavar="FILE", type=Path, help="a label a line, by name or place; or .npy")
    add_rate_options(parser)
    parser.add_argument("--device", metavar="NAME", help="estimate a step on this board too, see edge-rnn devices")
    parser.add_argument("--report", metavar="FILE", help="write a page with plots, .html")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_compare)


def _compare(args: argparse.Namespace) -> int:
    from edge_rnn import boards
    from edge_rnn.analysis.comparison import compare
    from edge_rnn.cli.compare.view import as_json, show
    from edge_rnn.cli.shared.console import print_json, waiting
    from edge_rnn.storage.model_file import load

    if args.report:
        from edge_rnn.cli.report.page import check_target

        check_target(args.report)
    board = boards.load(args.device) if args.device else None
    models = dict(zip(_names(args.models), map(load, args.models), strict=True))
    asked = _asked(args, models)
    with waiting(f"asking {len(models)} networks"):
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
    """What to call the models: by their files, with the folder where two of them have the same name."""
    counts = Counter(Path(path).stem for path in paths)
    names = [Path(path).stem if counts[Path(path).stem] == 1 else path for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"compare got {max(names, key=names.count)} more than once; give each model once.")
    return names


def _asked(args: argparse.Namespace, models: dict[str, Model]) -> Asked:
    """What the data ask."""
    from edge_rnn.analysis.tasks import RecordingTask
    from edge_rnn.analysis.texts import holds_texts, read_texts
    from edge_rnn.cli.compare.view import Asked
    from edge_rnn.recordings.files import read_recording
    from edge_rnn.recordings.rate import check_rate

    if holds_texts(args.data):
        if args.labels:
            raise InputError(f"--labels goes with a recording; the texts in {args.data} have a grammar for that.")
        texts = read_texts(args.data)
        return Asked(texts.task, texts.name or args.data.stem, str(args.data))
    first = next(iter(models.values()))
    for name, model in models.items():
        if (model.labels, model.output_size) != (first.labels, first.output_size):
            raise InputError(f"compare got {name} with the outputs {_outputs(model)}, expected {_outputs(first)}.")
        if not args.any_rate and model.sample_rate_hz and first.sample_rate_hz:
            problem = check_rate(model.sample_rate_hz, first.sample_rate_hz, name, remedy="--any-rate compares them")
            if problem:
                raise InputError(problem)
    recording = read_recording(args.data, first, args.labels, any_rate=args.any_rate, resample=args.resample)
    if recording.labels is None:
        raise InputError(f"compare needs labels: y in {args.data}, or --labels FILE.")
    return Asked(RecordingTask(recording.xs, recording.labels), args.data.stem, str(args.data))


def _outputs(model: Model) -> str:
    return ", ".join(model.labels) or str(model.output_size)
