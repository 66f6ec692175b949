"""``edge-rnn shrink``: find the smallest model that is accurate enough."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.options import add_rate_options, positive_float, positive_int
from edge_rnn.errors import InputError

if TYPE_CHECKING:
    from edge_rnn.model import Model
    from edge_rnn.recordings.files import LabelledRecording

__all__ = ["add"]

_DEFAULT_ERROR = 0.01
_DEFAULT_LOSS = 0.5
_EPILOG = """\
recording:
  .npz with x (time, channels) and optionally y (time,), the index of the true output; .npy; or lines of CSV or JSON as
  for edge-rnn run. It is used for calibration and for all measurements: record a few minutes of realistic input.

bounds, one or more; by default --max-loss 0.5 with labels, else --max-error 0.01:
  error: RMS deviation of the outputs from the float32 model's, relative to the RMS of those, over at least 10,000 steps
  with state carried over. Accuracy: share of samples whose largest output is their label.

formats:
{formats}
  Smaller is not always faster: below about 48 units float32 is the fastest. The table shows both.

examples:
  edge-rnn shrink wrist.safetensors --data recording.npz -o small.safetensors
  edge-rnn shrink wrist.safetensors --data recording.csv --max-error 0.005 --report shrink.html
  edge-rnn shrink wrist.safetensors --data recording.npz --formats int8,float16 --prefer speed --json
"""


def add(subparsers: Any) -> None:
    """Add ``shrink``."""
    parser = subparsers.add_parser(
        "shrink",
        help="find the smallest matrix formats that are accurate enough",
        description="Try formats for each matrix of a model, measure size, error, accuracy and step time on this "
        "machine, and keep the cheapest model within a bound. Ctrl-C stops the search and keeps the best so far.",
        epilog=_epilog,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model; float32")
    parser.add_argument("--data", metavar="RECORDING", required=True, help="recording of typical input, see below")
    parser.add_argument("--labels", metavar="FILE", help="one label per line, by name or index; or .npy")
    add_rate_options(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the best model, .safetensors")
    parser.add_argument("--max-error", metavar="E", type=positive_float, help="maximum relative error")
    parser.add_argument("--min-accuracy", metavar="A", type=positive_float, help="minimum accuracy, 0 to 1")
    parser.add_argument("--max-loss", metavar="POINTS", type=positive_float, help="maximum loss in points of accuracy")
    parser.add_argument("--max-bytes", metavar="N", type=positive_int, help="maximum size of all arrays in bytes")
    parser.add_argument("--formats", metavar="F,F", help="formats to try, separated by commas")
    parser.add_argument("--prefer", choices=("size", "speed"), default="size", help="what to optimize")
    parser.add_argument("--report", metavar="FILE", help="write an HTML page with plots, .html")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_shrink)


def _epilog() -> str:
    from edge_rnn.formats import FORMATS

    told = (f"{spelling} ({each.about})" for each in FORMATS.values() for spelling in each.tried[:1])
    lines = textwrap.wrap("; ".join(told) + ".", 116)
    return _EPILOG.format(formats="\n".join(f"  {line}" for line in lines))


def _shrink(args: argparse.Namespace) -> int:
    from edge_rnn.cli.shrink.view import as_json, show, spell_bound
    from edge_rnn.quantization.search import FORMATS, shrink
    from edge_rnn.recordings.files import read_recording
    from edge_rnn.storage.model_file import load, save

    _check_targets(args)
    model = load(args.model)
    recording = read_recording(
        Path(args.data),
        model,
        Path(args.labels) if args.labels else None,
        any_rate=args.any_rate,
        resample=args.resample,
    )
    bound = _bound(args, model, recording)
    formats = tuple(each.strip() for each in args.formats.split(",")) if args.formats else FORMATS
    with _progress() as progress:
        found = shrink(
            model,
            recording.xs,
            labels=recording.labels,
            formats=formats,
            prefer=args.prefer,
            progress=progress,
            **bound,
        )
    if args.output:
        save(found.model, args.output)
    if args.report:
        from edge_rnn.cli.shrink.page import write_page

        facts = {"model": str(args.model), "recording": str(args.data), "bound": spell_bound(bound)}
        write_page(args.report, model, found, recording.xs, recording.labels, facts)
    if args.json:
        from edge_rnn.cli.shared.console import print_json

        print_json(as_json(found, bound, args.output))
    else:
        show(found, bound, args.output, args.report)
    return 0


def _check_targets(args: argparse.Namespace) -> None:
    """Check up front that the results can be written, as the search takes minutes."""
    if args.report:
        from edge_rnn.cli.report.page import check_target

        check_target(args.report)
    if args.output and not Path(args.output).parent.is_dir():
        raise InputError(f"-o got {args.output!r}, but there is no folder {str(Path(args.output).parent)!r}; make it.")


def _bound(args: argparse.Namespace, model: Model, recording: LabelledRecording) -> dict[str, Any]:
    """Return the bounds, as keyword arguments of :func:`edge_rnn.quantization.shrink`."""
    bound = {"max_error": args.max_error, "min_accuracy": args.min_accuracy, "max_bytes": args.max_bytes}
    loss = args.max_loss
    if loss is None and not any(bound.values()):
        if recording.labels is None:
            return bound | {"max_error": _DEFAULT_ERROR}
        loss = _DEFAULT_LOSS
    if loss is not None:
        if recording.labels is None:
            raise InputError(f"--max-loss needs labels: y in {args.data}, or --labels FILE.")
        if bound["min_accuracy"]:
            raise InputError("--max-loss and --min-accuracy both bound the accuracy; give only one.")
        bound["min_accuracy"] = max(_accuracy(model, recording) - loss / 100, 0.0)
    return bound


def _accuracy(model: Model, recording: LabelledRecording) -> float:
    import numpy as np

    from edge_rnn.streams.stream import Stream

    if not len(recording.xs) or not np.isfinite(recording.xs).all():
        return 0.0  # shrink itself reports the error
    return float(np.mean(Stream(model).run(recording.xs).argmax(axis=1) == recording.labels))


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """Show a progress bar for each part of the search, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from edge_rnn.cli.shared.console import make_console

    columns = (TextColumn("{task.description:<34}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=make_console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda what, done, of: bars.update(task, description=what, completed=done, total=of)
