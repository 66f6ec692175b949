"""``edge-rnn run``: samples in, results out, line by line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edge_rnn.cli.console import reading, warn
from edge_rnn.cli.run_loop import add_loop_options, run_loop, wants_loop
from edge_rnn.cli.samples import FORMATS, read_samples
from edge_rnn.errors import FileError, InputError

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["add"]

_EPILOG = """\
input, one sample a line:
  CSV          numbers separated by commas, semicolons, tabs or spaces. A first line without numbers is a header:
               if it has all of the model's input names, columns are found by name and others are ignored
  JSON lines   [0.1, 0.2], or {"x": [0.1, 0.2]}, or {"ax": 0.1, "ay": 0.2} with the model's input names
  An empty field, null and NaN are missing values; --on-nonfinite says what becomes of them. Blank lines are ignored.

output, one line for each sample, written at once:
  csv          t,label,OUTPUT,…  with a header; the outputs are called after the model's labels, else y0, y1, …
  json         {"t": 0, "label": "walking", "y": [0.02, 0.98]}
  t counts the input's samples from 0, also those that were left out, so a gap in t shows them. label is the output
  with the largest value; only models with two or more labels have it.

as a loop that runs for months, with any of --source, --sink, --rate, --snapshot, --status:
  sources    csv:FILE jsonl:FILE serial:PORT mqtt://HOST/TOPIC proc: mpu6050:BUS wav:FILE mic:
  sinks      csv:FILE jsonl:FILE mqtt://HOST/TOPIC null:      by default stdout, as --output says
  --sources  tells their options. A source that fails or is silent is reported and tried again; bad samples are left
  out and missing values held, unless --on-bad and --on-nonfinite say otherwise. SIGTERM, SIGINT and SIGHUP save the
  state and leave with 0; SIGUSR1 prints all counters. A source that ends while results were lost leaves with 1.
  Results have the time t_s in seconds in place of t.

examples:
  edge-rnn run wrist.safetensors recording.csv > results.csv
  sensor | edge-rnn run wrist.safetensors --on-bad skip --on-nonfinite hold --output json | dashboard
  edge-rnn run wrist.safetensors --source 'mpu6050:1?range_g=4' --rate 50 --sink mqtt://broker/wrist \\
      --snapshot wrist.state --status /run/wrist.json
"""


def add(subparsers: Any) -> None:
    """Add ``run``."""
    parser = subparsers.add_parser(
        "run",
        help="follow samples from a file or a sensor's pipe",
        description="Run a model over samples from a file or a pipe, one result line for each sample at once.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors")
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="samples; - or nothing for stdin")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="of the input (default: by its first line)")
    parser.add_argument("--output", choices=("csv", "json"), default="csv", help="format of the results (default: csv)")
    parser.add_argument("--no-header", action="store_true", help="no header line before CSV results")
    parser.add_argument(
        "--on-bad",
        choices=("raise", "skip", "hold"),
        help="a malformed line ends the run (default), or is reported and left out (default of a loop); in a loop "
        "also: the last sample takes its place",
    )
    parser.add_argument(
        "--on-nonfinite",
        choices=("raise", "hold", "skip"),
        help="a missing or infinite value ends the run (default), is replaced by the channel's last one (default of a "
        "loop), or the last result is repeated",
    )
    add_loop_options(parser)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show input, output, deadlines and latencies live on stderr, and no results unless --sink takes them",
    )
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    from edge_rnn.files import load

    model = load(args.model)
    if wants_loop(args):
        _tell_unkept(model)
        return run_loop(model, args)
    if args.on_bad == "hold":
        raise InputError("--on-bad hold is for a loop: give --source or --rate.")
    args.on_bad, args.on_nonfinite = args.on_bad or "raise", args.on_nonfinite or "raise"
    with _opened(args.file) as (source, name):
        return _follow(model, source, name, args)


def _follow(model: Model, source: BinaryIO, name: str, args: argparse.Namespace) -> int:
    import numpy as np

    from edge_rnn.result_lines import csv_header, csv_results, json_results
    from edge_rnn.stream import Stream

    stream = Stream(model, on_nonfinite=args.on_nonfinite)
    _tell_unkept(model)
    if args.output == "csv" and not args.no_header:
        _write(csv_header(model, "t"), 0)
    result = csv_results(model) if args.output == "csv" else json_results(model, "t")
    x = np.empty(model.input_size, np.float32)
    left_out = 0
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the policy is for
        for t, sample in enumerate(read_samples(source, model.input_size, model.input_names, args.format)):
            if sample.problem:
                if args.on_bad == "raise":
                    raise InputError(f"{name}, line {sample.line}: {sample.problem}. --on-bad skip leaves it out.")
                warn(f"{name}, line {sample.line} left out: {sample.problem}.")
                left_out += 1
                continue
            x[:] = sample.values
            try:
                y = stream.step(x)
            except InputError:
                raise InputError(_refusal(f"{name}, line {sample.line}", model, x)) from None
            _write(result(t, y), t)
    notes = [f"{left_out} left out as malformed"] * bool(left_out)
    notes += [f"{stream.refused} not finite ({args.on_nonfinite})"] * bool(stream.refused)
    if notes:
        warn(f"{name}: samples {' and '.join(notes)}.")
    return 0


def _write(text: str, t: int) -> None:
    """Write the result of sample ``t`` at once."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileError(
            f"stdout cannot be written: {error.strerror or error}; the result of sample {t} and all after it are lost."
        ) from None


def _tell_unkept(model: Model) -> None:
    """Say it where every start compiles anew, since nothing can be kept: a service would do so unseen."""
    from edge_rnn.kernels import library
    from edge_rnn.plan import plan_of

    directory = library.cache_directory()
    if directory.writable or all(library.load(name).cached for name in plan_of(model).operations):
        return
    warn(
        f"kernels were compiled and cannot be kept: {directory.reason}. {library.CACHE_VARIABLE} names another folder."
    )


def _refusal(where: str, model: Model, x: Any) -> str:
    import numpy as np

    bad = np.flatnonzero(~np.isfinite(x)).tolist()
    if not bad:
        return f"{where}: the output is not finite. --on-nonfinite skip repeats the last result instead."
    channel = model.input_names[bad[0]] if model.input_names else f"channel {bad[0] + 1}"
    what = "is missing or NaN" if np.isnan(x[bad[0]]) else "is infinite in float32"
    return f"{where}: {channel} {what}. --on-nonfinite hold or skip carries on."


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, str]]:
    """The input, and what to call it."""
    if file == "-":
        yield sys.stdin.buffer, "stdin"
    else:
        path = Path(file)
        with path.open("rb") as source, reading(source, path) as shown:
            yield shown, file
