"""``edge-rnn bench``: measure the step time on this machine."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_rnn.bench.networks import CELLS, SHAPES
from edge_rnn.cli.shared.options import positive_float, positive_int, shape
from edge_rnn.errors import InputError

if TYPE_CHECKING:
    from edge_rnn.bench.step import Rivals
    from edge_rnn.model import Model

__all__ = ["add"]

_EPILOG = """\
From Python: each call of stream.step is timed separately with time.perf_counter_ns; the clock overhead is subtracted,
and the garbage collector is off. Compiled loop: the loop inside stream.run. Minimum times are over many batches of
0.4 ms. A reference loop that reads 8 kB from the L1 cache runs before and after each batch; if it is slower than usual,
the batch is discarded. Roofline: the time of a compiled loop that only reads as many bytes as the weights have.

examples:
  edge-rnn bench wrist.safetensors
  edge-rnn bench wrist.safetensors --rate 1000 --any-rate --seconds 10 --plot jitter.png
  edge-rnn bench wrist.safetensors --rivals
  edge-rnn bench --table --cell lstm --rivals --json
  edge-rnn bench --startup
"""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def add(subparsers: Any) -> None:
    """Add ``bench``."""
    parser = subparsers.add_parser(
        "bench",
        help="measure a model's step time on this machine",
        description="Measure the step time, called from Python and inside compiled code, and compare it with the "
        "memory bandwidth, a sensor's rate, and other runtimes.",
        epilog=_EPILOG,
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="model file, .safetensors, or hf://user/model")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--table", action="store_true", help="measure eight shapes of Elman, GRU and LSTM with Dense")
    what.add_argument("--startup", action="store_true", help="measure time and memory from process start to first step")
    what.add_argument(
        "--denormals", action="store_true", help="measure steps from a state decayed to subnormal numbers"
    )
    parser.add_argument("--steps", metavar="N", type=positive_int, default=20_000, help="timed calls, default 20000")
    parser.add_argument(
        "--rate", metavar="HZ", type=positive_float, help="also run at this rate, count deadline misses"
    )
    parser.add_argument("--any-rate", action="store_true", help="allow a --rate that differs from the model's")
    parser.add_argument(
        "--seconds", metavar="S", type=positive_float, default=5.0, help="duration at --rate, default 5"
    )
    parser.add_argument("--rivals", action="store_true", help="also measure other runtimes that are installed")
    parser.add_argument("--litert", metavar="DIR", help="folder of .tflite files for --rivals: gru_16_64.tflite …")
    parser.add_argument("--cell", choices=CELLS, action="append", help="limit the table to this cell; may be repeated")
    parser.add_argument("--shape", metavar="I,H", type=shape, action="append", help="limit the table to this shape")
    parser.add_argument("--plot", metavar="FILE", help="plot the latency histogram, .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=partial(_bench, parser))


def _bench(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if not args.model and not (args.table or args.startup or args.denormals):
        parser.error("expected a MODEL, --table, --startup or --denormals")
    if args.model and (args.table or args.denormals):
        parser.error("--table and --denormals bring their own networks, and take no MODEL")
    if (args.rate or args.plot) and (args.table or args.startup or args.denormals):
        parser.error("--rate and --plot go with a MODEL")
    for name in _THREADS if args.rivals else ():  # NumPy's matrix products, if it is not loaded yet
        os.environ.setdefault(name, "1")
    if args.startup:
        return _startup(args)
    if args.denormals:
        return _denormals(args)
    return _table(args) if args.table else _one(args)


def _one(args: argparse.Namespace) -> int:
    from edge_rnn.bench.conditions import conditions
    from edge_rnn.bench.paced import paced
    from edge_rnn.bench.step import measure
    from edge_rnn.cli.bench.view import show_model
    from edge_rnn.cli.shared.console import print_json, waiting
    from edge_rnn.recordings.random_samples import random_samples
    from edge_rnn.recordings.rate import check_rate
    from edge_rnn.storage.model_file import load
    from edge_rnn.streams.stream import Stream

    if args.plot:
        from edge_rnn.cli.report.style import check_target

        check_target(args.plot)
    model = load(args.model)
    if args.rate and not args.any_rate:
        problem = check_rate(args.rate, model.sample_rate_hz, "--rate", remedy="--any-rate measures at that rate")
        if problem:
            raise InputError(problem)
    with waiting("measuring …"):
        result = {"model": args.model, **conditions(), **measure(model, args.steps, _rivals(args, model))}
    if args.rate:
        with waiting(f"running at {args.rate:g} samples per second for {args.seconds:g} s …"):
            result["paced"] = paced(Stream(model).step, list(random_samples(model, 64)), args.rate, args.seconds)
    if args.plot:
        from edge_rnn.cli.bench.plot import draw_histogram

        draw_histogram(args.plot, result)
    if args.json:
        print_json(result)
    else:
        show_model(result, args.plot)
    return 0


def _table(args: argparse.Namespace) -> int:
    from edge_rnn.bench.conditions import conditions
    from edge_rnn.bench.networks import table
    from edge_rnn.bench.step import measure
    from edge_rnn.cli.bench.view import show_table
    from edge_rnn.cli.shared.console import print_json, waiting

    rows = []
    found = conditions()
    for entry in table(args.cell or CELLS, args.shape or SHAPES):
        facts = {"cell": entry.cell, "input_size": entry.input_size, "hidden_size": entry.hidden_size}
        with waiting(f"measuring {entry.cell} ({entry.input_size}, {entry.hidden_size}) …"):
            rows.append(facts | measure(entry.model, args.steps, _rivals(args, entry.model)))
    if args.json:
        print_json({**found, "rows": rows})
    else:
        show_table(rows, found)
    return 0


def _rivals(args: argparse.Namespace, model: Model) -> Rivals | None:
    from edge_rnn.bench.step import set_up_rivals

    return set_up_rivals(model, args.litert) if args.rivals else None


def _startup(args: argparse.Namespace) -> int:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from edge_rnn.bench.conditions import conditions
    from edge_rnn.bench.networks import table
    from edge_rnn.bench.startup import measure_startup
    from edge_rnn.cli.bench.view import show_startup
    from edge_rnn.cli.shared.console import print_json, waiting
    from edge_rnn.storage.hub import local_file
    from edge_rnn.storage.model_file import load, save

    with TemporaryDirectory(prefix="edge_rnn-") as folder, waiting("starting processes …"):
        path = str(local_file(args.model) if args.model else Path(folder, "gru.safetensors"))
        if not args.model:
            save(next(table(["gru"], [(6, 32)])).model, path)
        model = load(path)
        result = {"model": args.model or "GRU (6, 32) and Dense 4", "name": model.name, **measure_startup(path)}
    if args.json:
        print_json({**conditions(), **result})
    else:
        show_startup(result)
    return 0


def _denormals(args: argparse.Namespace) -> int:
    from edge_rnn.bench import denormals
    from edge_rnn.bench.conditions import conditions
    from edge_rnn.cli.bench.view import show_denormals
    from edge_rnn.cli.shared.console import print_json, waiting

    with waiting("measuring …"):
        rows = denormals.measure_denormals(args.cell or CELLS, args.shape or denormals.SHAPES)
    if args.json:
        print_json({**conditions(), "rows": rows})
    else:
        show_denormals(rows)
    return 0
