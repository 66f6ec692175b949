"""``edge-rnn run`` as a sensor loop: its options, and what it says."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.run.troubles import spell_troubles
from edge_rnn.cli.shared.options import add_rate_options, cpus, positive_float, positive_int
from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from edge_rnn.loop import Counters, SensorLoop
    from edge_rnn.loop.schedule import Kind
    from edge_rnn.model import Model

__all__ = [
    "add_loop_options",
    "check_source",
    "follow",
    "loop_words",
    "make_loop",
    "own_rate",
    "run_loop",
    "tell",
    "wants_loop",
]

_TRIGGERS = ("source", "sink", "rate", "snapshot", "status", "watch", "resample")


def add_loop_options(parser: argparse.ArgumentParser) -> None:
    """Add what makes a run a loop."""
    group = parser.add_argument_group("as a loop")
    group.add_argument("--source", metavar="URL", help="where samples come from, instead of FILE")
    group.add_argument("--sink", metavar="URL", help="where results go (default: stdout, as --output says)")
    group.add_argument("--sources", action=_Forms, nargs=0, help="tell all forms of sources and sinks, and leave")
    group.add_argument(
        "--rate", metavar="HZ", type=positive_float, help="steps a second (default: a step as each sample comes)"
    )
    add_rate_options(group)
    group.add_argument(
        "--policy",
        choices=("catch_up", "drop", "hold"),
        default="catch_up",
        help="when a deadline has passed or a sample is late: all samples, however late (default); the newest or none; "
        "or as many steps as deadlines, with the last sample once more",
    )
    group.add_argument("--snapshot", metavar="FILE", help="keep the state here, and go on from it at the next start")
    group.add_argument(
        "--every", metavar="S", type=positive_float, default=60.0, help="seconds between snapshots (default: 60)"
    )
    group.add_argument("--status", metavar="FILE", help="keep counters and latencies here, as JSON, every 5 s")
    group.add_argument(
        "--reset-after", metavar="S", type=positive_float, help="a longer pause starts the state anew (default: never)"
    )
    group.add_argument(
        "--stall-after",
        metavar="S",
        type=positive_float,
        help="a source that is silent for longer is opened again, where that is possible (default: it is reported "
        "after ten of its usual pauses, and stays open)",
    )
    group.add_argument("--priority", metavar="N", type=positive_int, help="SCHED_FIFO, 1 to 99, where it is allowed")
    group.add_argument("--cpus", metavar="LIST", type=cpus, help="processors to run on: 3, or 2,3")
    group.add_argument("--lock-memory", action="store_true", help="keep the process in memory, where it is allowed")


def loop_words(args: argparse.Namespace, without: Container[str]) -> list[str]:
    """Options of a loop that differ from their defaults, as words of a command line, but for those in ``without``."""
    parser = argparse.ArgumentParser(add_help=False)
    add_loop_options(parser)
    words: list[str] = []
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        if action.dest in without or value in (None, action.default):
            continue
        words.append(action.option_strings[-1])
        if action.nargs != 0:
            words.append(f"{value:.15g}" if isinstance(value, float) else str(value))
    return words


def wants_loop(args: argparse.Namespace, but: str = "") -> bool:
    """True if one of the options that make a loop was given, other than ``but``."""
    return any(getattr(args, name, None) for name in _TRIGGERS if name != but)


class _Forms(argparse.Action):
    """``--sources``: tell what ``--source`` and ``--sink`` take, and leave."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from edge_rnn.cli.shared.console import make_console, print_facts, say
        from edge_rnn.loop.schemes import SINKS, SOURCES

        console = make_console()
        for title, schemes in {"sources": SOURCES, "sinks": SINKS}.items():
            say(f"{title}:")
            print_facts(console, {scheme.form: scheme.help for scheme in schemes.unique()})
            for fault in schemes.contents().faults:
                tell(fault)
        parser.exit()


def run_loop(model: Model, args: argparse.Namespace) -> int:
    """Run the loop until it ends; 0 for an end that was asked for, and of the source."""
    from edge_rnn.cli.run.watch import watching
    from edge_rnn.cli.shared.console import make_console
    from edge_rnn.loop import open_source

    if args.source and args.file != "-":
        raise InputError(f"run got both {args.file!r} and --source; give one of them.")
    source = open_source(args.source, model) if args.source else _of_file(model, args)
    stdout = "null:" if args.watch else "jsonl:-" if args.output == "json" else "csv:-"
    loop = make_loop(model, args, source, args.rate or own_rate(source, model), stdout, header=not args.no_header)
    return follow(loop, lambda: watching(loop, make_console(stderr=True)) if args.watch else nullcontext())


def make_loop(
    model: Model, args: argparse.Namespace, source: Any, rate_hz: float | None, sink: str, *, header: bool = True
) -> SensorLoop:
    """The loop that the options ask for; ``sink`` is where results go where they ask for none."""
    from edge_rnn.loop import Realtime, SensorLoop, open_sink
    from edge_rnn.streams.stream import Stream

    return SensorLoop(
        Stream(model, on_nonfinite=args.on_nonfinite or "hold"),
        source,
        open_sink(args.sink or sink, model, header=header),
        rate_hz,
        policy=args.policy,
        on_bad=args.on_bad or "skip",
        stall_after_s=args.stall_after,
        reset_after_s=args.reset_after,
        snapshot=args.snapshot,
        snapshot_every_s=args.every,
        status=args.status,
        realtime=Realtime(args.priority, args.cpus, args.lock_memory),
        report=tell,
        on_mismatch="raise",
        any_rate=args.any_rate,
        resample=args.resample,
    )


def check_source(model: Model, args: argparse.Namespace, source: Any) -> None:
    """Say what of a source is not the model's, without making a loop; nothing of one that cannot be made here."""
    from edge_rnn.loop.input.checks import Checks

    if callable(source):
        try:
            source = source()
        except (UnsupportedError, FileError):
            return
    kind: Kind = "stored" if not getattr(source, "live", True) else "arriving" if source.blocks else "polled"
    Checks(model, source, kind, args.rate, "raise", args.any_rate, args.resample, tell)


def follow(loop: SensorLoop, shown: Callable[[], AbstractContextManager[object]]) -> int:
    """Run a loop inside of what shows it, and sum it up.

    Returns
    -------
    The exit code: 1 where the source came to its end and results of it were lost; what was asked to stop ends with 0.
    """
    try:
        with shown():
            loop.run()
    finally:
        _sum_up(loop.counters)
    lost = loop.counters.unwritten
    if not lost or loop.status()["stopped_by"]:
        return 0
    tell(f"{counted(lost, 'result is', 'results are')} lost for good: the sink did not take what the source gave.")
    return 1


def _of_file(model: Model, args: argparse.Namespace) -> Any:
    from edge_rnn.loop import Timed, sources
    from edge_rnn.loop.sources.wav import SUFFIXES

    path = Path(args.file)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return sources.Wav(path, model.input_size)
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
    """The model's rate, for a source that has none; None for one that has a pace of its own, and for a recording."""
    polled = not getattr(source, "blocks", True) and getattr(source, "live", True)
    if not polled and not callable(source):
        return None
    made = source() if callable(source) else source
    if getattr(made, "blocks", True) or not getattr(made, "live", True):
        return None
    if model.sample_rate_hz is None:
        raise InputError("the source has no pace of its own, and the model tells no sample rate; give --rate.")
    tell(f"a step at {model.sample_rate_hz:g} Hz, the model's rate.")
    return model.sample_rate_hz


def tell(text: str) -> None:
    """Say something on stderr, at once; a terminal that has been closed does not matter."""
    from edge_rnn.cli.shared.console import warn

    with suppress(OSError, ValueError):
        warn(text)


def _sum_up(counters: Counters) -> None:
    """Say what was not as it should be, if anything."""
    found = counters.as_json()
    if troubles := spell_troubles(found):
        tell(f"{counted(found['steps'], 'step')}; {troubles}.")
