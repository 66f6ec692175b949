"""``edge-rnn run`` as a sensor loop."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.run.options import RunOptions, tell
from edge_rnn.cli.run.troubles import spell_troubles
from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from edge_rnn.loop import Counters, SensorLoop
    from edge_rnn.loop.schedule import Kind
    from edge_rnn.model import Model

__all__ = ["check_source", "follow", "make_loop", "own_rate", "run_loop"]


def run_loop(model: Model, args: argparse.Namespace) -> int:
    """Run the loop until it ends; return 0 if the source ended or a stop was requested."""
    from edge_rnn.cli.run.watch import watching
    from edge_rnn.cli.shared.console import make_console
    from edge_rnn.loop import open_source

    if args.source and args.file != "-":
        raise InputError(f"run got both {args.file!r} and --source; give one of them.")
    options = RunOptions.of(args)
    source = open_source(options.source, model) if options.source else _of_file(model, args)
    stdout = "null:" if options.watch else "jsonl:-" if args.output == "json" else "csv:-"
    rate_hz = options.rate or own_rate(source, model)
    loop = make_loop(model, options, source, rate_hz, stdout, header=not args.no_header)
    return follow(loop, lambda: watching(loop, make_console(stderr=True)) if options.watch else nullcontext())


def make_loop(
    model: Model, options: RunOptions, source: Any, rate_hz: float | None, sink: str, *, header: bool = True
) -> SensorLoop:
    """Create the loop from the options; ``sink`` is the default sink."""
    from edge_rnn.loop import Realtime, SensorLoop, open_sink
    from edge_rnn.streams.stream import Stream

    return SensorLoop(
        Stream(model, on_nonfinite=options.on_nonfinite or "hold"),
        source,
        open_sink(options.sink or sink, model, header=header),
        rate_hz,
        policy=options.policy,
        on_bad=options.on_bad or "skip",
        stall_after_s=options.stall_after,
        reset_after_s=options.reset_after,
        snapshot=options.snapshot,
        snapshot_every_s=options.every,
        status=options.status,
        realtime=Realtime(options.priority, options.cpus, options.lock_memory),
        report=tell,
        on_mismatch="raise",
        any_rate=options.any_rate,
        resample=options.resample,
    )


def check_source(model: Model, options: RunOptions, source: Any) -> None:
    """Report mismatches of a source without creating a loop; skip a source that cannot be created on this machine."""
    from edge_rnn.loop.input.checks import Checks

    if callable(source):
        try:
            source = source()
        except (UnsupportedError, FileError):
            return
    kind: Kind = "stored" if not getattr(source, "live", True) else "arriving" if source.blocks else "polled"
    Checks(model, source, kind, options.rate, "raise", options.any_rate, options.resample, tell)


def follow(loop: SensorLoop, shown: Callable[[], AbstractContextManager[object]]) -> int:
    """Run a loop inside its display, and print a summary.

    Returns
    -------
    The exit code: 1 if the source ended and results were lost; 0 if a stop was requested.
    """
    try:
        with shown():
            loop.run()
    finally:
        _sum_up(loop.counters)
    lost = loop.counters.unwritten
    if not lost or loop.status()["stopped_by"]:
        return 0
    tell(f"{counted(lost, 'result is', 'results are')} lost: the sink did not accept them before the source ended.")
    return 1


def _of_file(model: Model, args: argparse.Namespace) -> Any:
    from edge_rnn.loop import Timed, sources
    from edge_rnn.loop.sources.wav import SUFFIXES
    from edge_rnn.recordings.elapsed import measured_size

    path = Path(args.file)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return sources.Wav(path, measured_size(model))
    if suffix not in (".npz", ".npy"):
        return sources.Lines(
            args.file,
            model.input_size,
            model.input_names,
            kind=args.format,
            time=args.time,
            columns=args.columns,
            units=model.input_units,
        )
    from edge_rnn.recordings.files import read_recording

    found = read_recording(path, model, any_rate=True)
    rate_hz = found.sample_rate_hz
    if rate_hz is None:
        rows = iter(found.xs)
        return sources.Call(lambda: next(rows, None), live=False)
    timed = (Timed(x, t / rate_hz) for t, x in enumerate(found.xs))
    return sources.Call(lambda: next(timed, None), live=False, sample_rate_hz=rate_hz)


def own_rate(source: Any, model: Model) -> float | None:
    """Return the model's rate for a source without its own pace; None for other sources and for a recording."""
    polled = not getattr(source, "blocks", True) and getattr(source, "live", True)
    if not polled and not callable(source):
        return None
    made = source() if callable(source) else source
    if getattr(made, "blocks", True) or not getattr(made, "live", True):
        return None
    if model.sample_rate_hz is None:
        raise InputError("the source has no pace of its own, and the model has no sample rate; give --rate.")
    tell(f"stepping at {model.sample_rate_hz:g} Hz, the model's rate.")
    return model.sample_rate_hz


def _sum_up(counters: Counters) -> None:
    """Print the number of steps and all troubles, if there are any."""
    found = counters.as_json()
    if troubles := spell_troubles(found):
        tell(f"{counted(found['steps'], 'step')}; {troubles}.")
