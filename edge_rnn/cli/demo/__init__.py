"""``edge-rnn demo``: run a network on a recording from a smart watch, and show accuracy, latency and memory."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.console import say, warn
from edge_rnn.cli.shared.options import positive_int
from edge_rnn.errors import UnsupportedError
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from edge_rnn.cli.demo.play import Played, Recording
    from edge_rnn.model import Model
    from edge_rnn.streams.stream import Stream
    from edge_rnn.timing import Latency
    from edge_rnn.typing import F32

__all__ = ["add"]

_DEVICE = "smart_watch"
_FASTER = 100  # speed of the live view without --realtime: 400 s of recording in 4 s
_TIMED_STEPS = 20_000
_EPILOG = """\
The recording shows people who stand, walk, run and play badminton: six channels of a smart watch at 10 Hz. Its source
is given in devices/smart_watch/README.md. The network reads it sample by sample and keeps its state throughout.

examples:
  edge-rnn demo
  edge-rnn demo --cell lstm --realtime
  edge-rnn demo --json --plot wrist.png
"""


def add(subparsers: Any) -> None:
    """Add ``demo``."""
    parser = subparsers.add_parser(
        "demo",
        help="run a network on a recording from a smart watch",
        description="Stream a recording from a smart watch through a network, sample by sample; then report accuracy, "
        "latency, memory, and a comparison with ONNX.",
        epilog=_EPILOG,
    )
    parser.add_argument("--cell", choices=("gru", "lstm", "elman"), default="gru", help="network to run (default: gru)")
    parser.add_argument("--realtime", action="store_true", help="play at the recording's rate of 10 Hz")
    parser.add_argument("--samples", metavar="N", type=positive_int, help="only the first N samples")
    parser.add_argument("--plot", metavar="FILE", help="plot the timeline, .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(func=_demo)


def _demo(args: argparse.Namespace) -> int:
    import numpy as np

    from edge_rnn.cli.demo.play import Played, load_recording, score
    from edge_rnn.cli.shared.console import waiting
    from edge_rnn.shipped import data_path
    from edge_rnn.storage.model_file import load
    from edge_rnn.streams.stream import Stream
    from edge_rnn.timing import time_steps

    if args.plot:
        from edge_rnn.cli.report.style import check_target

        check_target(args.plot)
    model = load(data_path(f"{_DEVICE}/{args.cell}.safetensors"))
    recording = load_recording(data_path(f"{_DEVICE}/recording.npz"), args.samples)
    with waiting("preparing kernels for this processor …"):
        stream = Stream(model)
    outputs = np.zeros((len(recording), model.output_size), np.float32)
    played, interrupted = Played(), False
    try:
        _play(args, stream, recording, outputs, played)
    except KeyboardInterrupt:
        if not played.samples:
            raise
        interrupted, recording, outputs = True, recording.first(played.samples), outputs[: played.samples]

    predicted = outputs.argmax(1)
    parts = score(recording, predicted)
    with waiting("exporting to ONNX and comparing …"):
        onnx, missing = _onnx_side(model, recording.x)
        steps = {"edge_rnn": Stream(model).step} | ({"onnxruntime": onnx["step"]} if onnx else {})
    latency = time_steps(steps, recording.x, passes=-(-_TIMED_STEPS // len(recording)))
    result: dict[str, Any] = {
        "cell": args.cell,
        "model": model.name,
        "steps": len(recording),
        "frame_accuracy": float(np.mean(predicted == recording.y)),
        "recordings": len(parts),
        "recording_accuracy": float(np.mean([part.majority == part.truth for part in parts])),
        **latency["edge_rnn"].as_json("step_ns"),
        "timed_steps": latency["edge_rnn"].steps,
        "clock_ns": round(latency["edge_rnn"].clock, 1),
        "onnxruntime_ns_p50": None,
        "onnx_max_abs_error": None,
        "weight_bytes": stream.memory.weights,
        "state_bytes": stream.memory.state,
    }
    if onnx:
        result |= latency["onnxruntime"].as_json("onnxruntime_ns")
        result["onnx_max_abs_error"] = onnx["max_abs_error"]
        result |= {f"onnx_{key}": value for key, value in onnx.items() if "_vs_" in key or key == "tolerance"}
        result["onnxruntime"] = onnx["runtime"]
    else:
        result["onnx_missing"] = missing
    if args.plot:
        from edge_rnn.cli.demo.plot import draw

        draw(args.plot, model, recording, outputs, result)
    if interrupted:
        warn(f"interrupted after {counted(len(recording), 'sample')}; the summary is of these.")
    _report(args, result, latency, missing)
    return 1 if interrupted else 0


def _play(args: argparse.Namespace, stream: Stream, recording: Recording, outputs: F32, played: Played) -> None:
    from edge_rnn.cli.demo.play import play
    from edge_rnn.cli.demo.view import show_lines, show_live
    from edge_rnn.cli.shared.console import make_console

    model = stream.model
    rate_hz = model.sample_rate_hz or 10.0
    pace = rate_hz if args.realtime else None
    if args.json:
        for _ in played.follow(play(stream, recording.x, outputs, pace)):
            pass
        return
    console = make_console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:  # rich can be forced to treat a pipe as a terminal
        show_lines(model.labels, recording, outputs, played.follow(play(stream, recording.x, outputs, pace)))
        return
    speed = "in real time" if args.realtime else f"{_FASTER} times real time"
    title = f"{model.name}: {rate_hz:g} samples per second, {speed}"
    done = played.follow(play(stream, recording.x, outputs, pace or _FASTER * rate_hz))
    show_live(console, title, model.labels, recording, outputs, done)


def _onnx_side(model: Model, xs: F32) -> tuple[dict[str, Any] | None, str]:
    """Run the exported ONNX model; None and the reason if the export package is not installed."""
    from edge_rnn import plugins

    onnx_side, missing = plugins.load_first(plugins.DEMO)
    if onnx_side is None:
        return None, missing
    try:
        return onnx_side(model, xs), ""
    except (UnsupportedError, ImportError) as error:
        return None, str(error).rstrip(".")


def _report(args: argparse.Namespace, result: dict[str, Any], latency: dict[str, Latency], missing: str) -> None:
    from edge_rnn.cli.shared.console import make_console, print_facts, print_json, spell_bytes
    from edge_rnn.cli.shared.latency import spell_clock, spell_latency

    if args.json:
        print_json(result)
        return

    ours = latency["edge_rnn"]
    followed = round(result["recording_accuracy"] * result["recordings"])
    facts = {
        "accuracy": f"{result['frame_accuracy']:.1%} of samples; {followed} of "
        f"{counted(result['recordings'], 'recording')} by "
        f"majority vote",
        "step": spell_latency(ours),
    }
    if "onnxruntime" in latency:
        theirs = latency["onnxruntime"]
        facts["onnxruntime"] = f"{spell_latency(theirs)}; {theirs.p50 / max(ours.p50, 1):.0f} times our p50"
        facts["ONNX export"] = (
            f"equivalent: maximum difference {result['onnx_reference_vs_stream']:.1e} between reference and stream, "
            f"{result['onnx_reference_vs_onnx']:.1e} between reference and ONNX, "
            f"{result['onnx_stream_vs_onnx']:.1e} between stream and ONNX"
        )
    else:
        facts["ONNX"] = f"not compared: {missing}"
    facts["memory"] = f"{spell_bytes(result['weight_bytes'])} of weights, {spell_bytes(result['state_bytes'])} of state"
    if args.plot:
        facts["picture"] = args.plot
    facts["measured"] = (
        f"{ours.steps:,} calls from Python, clock overhead of {spell_clock(ours)} subtracted, garbage collector off"
        + (f"; {result['onnxruntime']}" if "onnxruntime" in result else "")
    )
    say()
    print_facts(make_console(), facts)
