"""``edge-rnn run``: read samples, write results, line by line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edge_rnn.cli.run.loop import run_loop
from edge_rnn.cli.run.options import RunOptions, add_loop_options
from edge_rnn.cli.shared.console import reading, warn
from edge_rnn.cli.shared.options import columns
from edge_rnn.errors import FileError, InputError, reason_of
from edge_rnn.recordings.elapsed import Elapsed
from edge_rnn.recordings.sample_lines import LineParser
from edge_rnn.recordings.samples import FORMATS, Sample, read_samples

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["add"]

_EPILOG = """\
input, one sample per line:
  CSV          numbers separated by commas, semicolons, tabs or spaces. A first line without numbers is a header: it
               must have all of the model's input names, in any order; other columns are ignored. If the names differ,
               --columns selects the columns. Lines that begin with # are comments
  JSON lines   [0.1, 0.2], or {{"x": [0.1, 0.2]}}, or {{"ax": 0.1, "ay": 0.2}} with the model's input names
  .npz, .npy   x (time, channels), and in .npz optionally y (time,), for which the accuracy is printed on stderr,
               sample_rate_hz, and times t_s (time,). In a loop also sound (.wav, .flac, .ogg)
  The sample rate is measured from a time column whose name contains its unit (t_s, time_ms, timestamp …), or from
  --time. If it is more than 5 % off the model's rate, the run ends with an error unless --resample or --any-rate is
  given. Empty fields, null and NaN are missing values, handled by --on-nonfinite. Blank lines are ignored. The time
  since the last sample, for a model that reads it as elapsed, follows from the time column if it has no own.

output, one line per sample, unbuffered:
  csv          t,label,OUTPUT,…  with a header; the outputs are named by the model's labels, else y0, y1, …
  json         {{"t": 0, "label": "walking", "y": [0.02, 0.98]}}
  t counts the input's samples from 0, including skipped ones, so a gap in t shows them. label is the output with the
  largest value; only models with two or more labels have it.

as a loop that runs for months, with any of --source, --sink, --rate, --snapshot, --status:
  sources    {sources}
  sinks      {sinks}      default: stdout, in the format of --output
  --sources  lists their forms and options. A source that fails or stalls is reported and retried; bad samples are
  skipped and missing values held, unless --on-bad and --on-nonfinite say otherwise. SIGTERM, SIGINT and SIGHUP save the
  state and exit with code 0; SIGUSR1 prints all counters. If the source ends and results were lost, the exit code is 1.
  Results have the time t_s in seconds in place of t.

examples:
  edge-rnn run wrist.safetensors recording.csv > results.csv
  sensor | edge-rnn run wrist.safetensors --on-bad skip --on-nonfinite hold --output json | dashboard
  edge-rnn run wrist.safetensors --source 'mpu6050:1?range_g=4&si=1' --rate 50 --resample --sink mqtt://broker/wrist \\
      --snapshot wrist.state --status /run/wrist.json
"""


def add(subparsers: Any) -> None:
    """Add ``run``."""
    parser = subparsers.add_parser(
        "run",
        help="run a model on samples from a file, pipe or sensor",
        description="Run a model on samples from a file or a pipe, and write one result line per sample.",
        epilog=_epilog,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors, or hf://user/model")
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="samples (default: -, stdin)")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="input format (default: by the first line)")
    parser.add_argument(
        "--columns", metavar="NAME,NAME", type=columns, default=(), help="columns of FILE to read, in the model's order"
    )
    parser.add_argument("--time", metavar="NAME[,UNIT]", default="", help="time column of FILE; s, ms, us, ns")
    parser.add_argument("--output", choices=("csv", "json"), default="csv", help="output format (default: csv)")
    parser.add_argument("--no-header", action="store_true", help="omit the header line of CSV results")
    parser.add_argument(
        "--on-bad",
        choices=("raise", "skip", "hold"),
        help="malformed line: raise ends the run (default), skip reports and skips it (default of a loop), hold "
        "repeats the last sample (loop only)",
    )
    parser.add_argument(
        "--on-nonfinite",
        choices=("raise", "hold", "skip"),
        help="missing or infinite value: raise ends the run (default), hold repeats the channel's last value (default "
        "of a loop), skip repeats the last result",
    )
    add_loop_options(parser)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show input, output, deadlines and latencies live on stderr; no results unless --sink is given",
    )
    parser.set_defaults(func=_run)


def _epilog() -> str:
    from edge_rnn.loop.schemes import SINKS, SOURCES

    forms = {"sources": SOURCES, "sinks": SINKS}
    return _EPILOG.format(**{name: " ".join(f"{each}:" for each in forms[name].names()) for name in forms})


def _run(args: argparse.Namespace) -> int:
    from edge_rnn.loop.sources.wav import SUFFIXES
    from edge_rnn.recordings.files import read_recording
    from edge_rnn.storage.model_file import load

    model = load(args.model)
    if args.source and (args.columns or args.time):
        raise InputError("--columns and --time are for FILE; put them in the source's URL instead: ?columns=…")
    suffix = Path(args.file).suffix.lower()
    stored = suffix in (".npz", ".npy") and not args.source
    if RunOptions.of(args).wants_loop(but="resample" if stored else "") or suffix in SUFFIXES:
        _tell_unkept(model)
        return run_loop(model, args)
    if args.on_bad == "hold":
        raise InputError("--on-bad hold is for a loop: give --source or --rate.")
    args.on_bad, args.on_nonfinite = args.on_bad or "raise", args.on_nonfinite or "raise"
    if stored:
        recording = read_recording(Path(args.file), model, any_rate=args.any_rate, resample=args.resample)
        rows = (Sample(place, values) for place, values in enumerate(recording.xs.tolist(), 1))
        return _follow(model, rows, args, _Place(args.file, "sample"), recording.labels)
    parse = LineParser(
        model.input_size,
        model.input_names,
        args.format,
        units=model.input_units,
        columns=args.columns,
        time=args.time,
    )
    with _opened(args.file) as (source, name):
        return _follow(model, read_samples(source, parse), args, _Place(name, "line"))


@dataclass(frozen=True, slots=True)
class _Place:
    """Name of a position in the input."""

    name: str
    kind: str

    def __call__(self, sample: Sample) -> str:
        return f"{self.name}, {self.kind} {sample.line}"


def _follow(
    model: Model, samples: Iterable[Sample], args: argparse.Namespace, place: _Place, labels: Any = None
) -> int:
    import numpy as np

    from edge_rnn.recordings.range_watch import RangeMonitor
    from edge_rnn.recordings.result_lines import csv_header, csv_results, json_results
    from edge_rnn.streams.stream import Stream

    stream = Stream(model, on_nonfinite=args.on_nonfinite)
    _tell_unkept(model)
    if args.output == "csv" and not args.no_header:
        _write(csv_header(model, "t"), 0)
    result = csv_results(model) if args.output == "csv" else json_results(model, "t")
    x = np.empty(model.input_size, np.float32)
    rate = _Rate(model, place.name, args.any_rate)
    monitor, elapsed = RangeMonitor(model), Elapsed.of(model)
    left_out = steps = right = 0
    with np.errstate(over="ignore"):  # values beyond float32 become infinite; the policy handles them
        for t, sample in enumerate(samples):
            if sample.problem:
                if args.on_bad == "raise" or sample.final:
                    remedy = "" if sample.final else " --on-bad skip skips it."
                    raise InputError(f"{place(sample)}: {sample.problem}.{remedy}")
                warn(f"{place(sample)} skipped: {sample.problem}.")
                left_out += 1
                continue
            rate.add(sample.t_s)
            x[:] = sample.values
            t_s = sample.t_s if elapsed is None else _filled(elapsed, x, sample, place)
            if monitor.active:
                _warn(place.name, monitor.add(x))
            rejected = stream.rejected_samples
            try:
                y = stream.step(x)
            except InputError:
                raise InputError(_refusal(place(sample), model, x)) from None
            if elapsed is not None and (stream.rejected_samples == rejected or args.on_nonfinite == "hold"):
                elapsed.keep(t_s)
            _write(result(t, y), t)
            steps += 1
            right += labels is not None and int(labels[t]) == int(y.argmax())
    rate.finish()
    _warn(place.name, monitor.finish())
    if labels is not None and steps:
        warn(f"{place.name}: accuracy {right / steps:.2%} ({right:,} of {steps:,} samples).")
    notes = [f"{left_out} skipped as malformed"] * bool(left_out)
    notes += [f"{stream.rejected_samples} not finite ({args.on_nonfinite})"] * bool(stream.rejected_samples)
    if notes:
        warn(f"{place.name}: samples {' and '.join(notes)}.")
    return 0


def _filled(elapsed: Elapsed, x: Any, sample: Sample, place: _Place) -> float:
    """Set the time since the last sample, if it is missing; return the time of the sample."""
    try:
        return elapsed.fill(x, sample.t_s)
    except InputError as error:
        raise InputError(f"{place(sample)}: {error}") from None


def _write(text: str, t: int) -> None:
    """Write the result of sample ``t``, unbuffered."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileError(
            f"stdout cannot be written: {reason_of(error)}; the results from sample {t} on are lost."
        ) from None


class _Rate:
    """Check that the times of samples match the model's rate."""

    def __init__(self, model: Model, name: str, any_rate: bool) -> None:
        from edge_rnn.recordings.rate import RateMeter

        self._meter = RateMeter(model.sample_rate_hz)
        self._meter.done = any_rate or model.sample_rate_hz is None
        self._model = model
        self._name = name

    def add(self, t_s: float) -> None:
        if self._meter.add(t_s):
            self._check()

    def finish(self) -> None:
        if self._meter.finish():
            self._check()

    def _check(self) -> None:
        from edge_rnn.recordings.rate import check_rate

        assert self._meter.rate_hz is not None
        fits = self._meter.unit_that_fits("s")
        more = f" (it would match if times are in {fits}: --time COLUMN,{fits})" if fits else ""
        problem = check_rate(self._meter.rate_hz, self._model.sample_rate_hz, "the samples, measured from times,", more)
        if problem:
            raise InputError(f"{self._name}: {problem}")


def _warn(name: str, text: str) -> None:
    if text:
        warn(f"{name}: {text}")


def _tell_unkept(model: Model) -> None:
    """Warn if kernels cannot be cached, so that every start compiles again, unnoticed in a service."""
    from edge_rnn.kernels.entry import object_cache
    from edge_rnn.streams.planner import plan_of

    directory = object_cache.cache_directory()
    if directory.writable or all(object_cache.load(name).cached for name in plan_of(model).operations):
        return
    warn(f"compiled kernels cannot be cached: {directory.reason}. Set {object_cache.CACHE_VARIABLE} to another folder.")


def _refusal(where: str, model: Model, x: Any) -> str:
    import numpy as np

    bad = np.flatnonzero(~np.isfinite(x)).tolist()
    if not bad:
        return f"{where}: the output is not finite. --on-nonfinite skip repeats the last result instead."
    channel = model.input_names[bad[0]] if model.input_names else f"channel {bad[0] + 1}"
    what = "is missing or NaN" if np.isnan(x[bad[0]]) else "is infinite in float32"
    return f"{where}: {channel} {what}. Use --on-nonfinite hold or skip to continue."


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open the input; yield it with its display name."""
    if file == "-":
        yield sys.stdin.buffer, "stdin"
    else:
        from edge_rnn.storage.file_kind import check_samples

        path = Path(file)
        check_samples(path)
        with path.open("rb") as source, reading(source, path) as shown:
            yield shown, file
