"""``edge-rnn bench``: how long a step takes on this machine."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.options import positive_int

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_rnn.cli.latency import Latency, LoopTime
    from edge_rnn.model import Model

__all__ = ["add"]

_ROWS = 1000
_EPILOG = """\
From Python: each call of stream.step by itself, with time.perf_counter_ns, the clock's own cost taken off and the
garbage collector off. In compiled code: stream.run over many short batches.

examples:
  edge-rnn bench wrist.safetensors
  edge-rnn bench wrist.safetensors --steps 100000 --json
"""


def add(subparsers: Any) -> None:
    """Add ``bench``."""
    parser = subparsers.add_parser(
        "bench",
        help="measure a model's step on this machine",
        description="Measure how long a step takes, called from Python and inside compiled code.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, .safetensors")
    parser.add_argument("--steps", metavar="N", type=positive_int, default=20_000, help="calls to time, default 20000")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_bench)


def _bench(args: argparse.Namespace) -> int:
    from edge_rnn.cli.console import waiting
    from edge_rnn.cli.latency import time_loop, time_steps
    from edge_rnn.files import load
    from edge_rnn.stream import Stream

    model = load(args.model)
    with waiting("preparing kernels for this processor …"):
        stream = Stream(model)
    xs = _samples(model, min(_ROWS, args.steps))
    called = time_steps({"step": stream.step}, xs, passes=-(-args.steps // len(xs)))["step"]
    loop = time_loop(stream, xs)
    result = _result(args.model, stream.nbytes, model, called, loop)
    _report(args, result, called, loop)
    return 0


def _samples(model: Model, count: int) -> NDArray[np.float32]:
    """``(count, input_size)`` float32 samples: normally distributed as the model's scaling expects them."""
    import numpy as np

    from edge_rnn.layers import Standardize

    samples = np.random.default_rng(0).standard_normal((count, model.input_size))
    for layer, reads in zip(model.layers, model.sources, strict=True):
        if isinstance(layer, Standardize) and reads == (-1,):
            samples = layer.mean + layer.scale * samples
            break
    return samples.astype(np.float32)


def _result(path: str, nbytes: Any, model: Model, called: Latency, loop: LoopTime) -> dict[str, Any]:
    from edge_rnn import __version__
    from edge_rnn.cli import machine

    rate = model.sample_rate_hz
    return {
        "model": path,
        "name": model.name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "processor": machine.processor(),
        "python": machine.python(),
        "packages": {name: version for name, version in machine.packages().items() if version},
        "plain_calls_reason": machine.calls(),
        "timed_steps": called.steps,
        **called.as_json("step_ns"),
        "clock_ns": round(called.clock, 1),
        "loop_batches": loop.batches,
        "loop_batch_steps": loop.batch_steps,
        "loop_ns_min": round(loop.min, 2),
        "loop_ns_p50": round(loop.p50, 2),
        "sample_rate_hz": rate,
        "times_real_time": round(1e9 / (rate * max(loop.p50, 1e-3)), 1) if rate else None,
        "multiply_adds": model.multiply_adds,
        "weight_bytes": nbytes.weights,
        "state_bytes": nbytes.state,
    }


def _report(args: argparse.Namespace, result: dict[str, Any], called: Latency, loop: LoopTime) -> None:
    from edge_rnn.cli.console import make_console, print_facts, print_json, spell_bytes, spell_ns
    from edge_rnn.cli.latency import spell_clock, spell_latency

    if args.json:
        print_json(result)
        return
    facts = {
        "model": f"{result['name'] or result['model']}, {result['multiply_adds']:,} multiply-adds a step",
        "from Python": spell_latency(called),
        "compiled loop": f"{spell_ns(loop.p50)} p50, {spell_ns(loop.min)} least",
    }
    if result["sample_rate_hz"]:
        facts["real time"] = f"{result['times_real_time']:,.0f} times, at {result['sample_rate_hz']:g} samples a second"
    facts["memory"] = f"{spell_bytes(result['weight_bytes'])} of weights, {spell_bytes(result['state_bytes'])} of state"
    packages = result["packages"]
    facts["measured"] = (
        f"{called.steps:,} calls, the clock's own {spell_clock(called)} taken off, garbage collector off; "
        f"{loop.batches} batches of {loop.batch_steps:,} steps. {result['processor']}, {result['python']}, numba "
        f"{packages.get('numba', 'none')}, numpy {packages.get('numpy', 'none')}"
    )
    if result["plain_calls_reason"]:
        facts["note"] = f"calls from Python take the plain path: {result['plain_calls_reason']}"
    print_facts(make_console(), facts)
