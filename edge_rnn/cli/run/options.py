"""Options of a sensor loop, shared by ``run``, ``serve`` and ``setup``."""

from __future__ import annotations

import argparse
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Literal

from edge_rnn.cli.shared.options import add_rate_options, cpus, positive_float, positive_int

__all__ = ["RunOptions", "add_loop_options", "tell"]

_TRIGGERS = ("source", "sink", "rate", "snapshot", "status", "watch", "resample")

Answer = Literal["raise", "skip", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Values of the options that make a loop, under the names that the command line has for them.

    Parameters
    ----------
    rate
        Steps a second, in Hz.
    every, reset_after, stall_after
        Seconds.
    on_bad, on_nonfinite
        None: the default of the command.
    """

    source: str | None
    sink: str | None
    rate: float | None
    any_rate: bool
    resample: bool
    policy: Literal["catch_up", "drop", "hold"]
    on_bad: Answer | None
    on_nonfinite: Answer | None
    snapshot: str | None
    every: float
    status: str | None
    reset_after: float | None
    stall_after: float | None
    priority: int | None
    cpus: tuple[int, ...] | None
    lock_memory: bool
    watch: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> RunOptions:
        """Take the options of a loop from a parsed command line."""
        given = vars(args)
        return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})

    def wants_loop(self, but: str = "") -> bool:
        """True if an option that makes a loop was given, other than ``but``."""
        return any(getattr(self, name) for name in _TRIGGERS if name != but)

    def words(self, without: Container[str]) -> list[str]:
        """Command-line words of the options of a loop that differ from their defaults, except ``without``."""
        parser = argparse.ArgumentParser(add_help=False)
        add_loop_options(parser)
        words: list[str] = []
        for action in parser._actions:
            value = getattr(self, action.dest, None)
            if action.dest in without or value in (None, action.default):
                continue
            words.append(action.option_strings[-1])
            if action.nargs != 0:
                words.append(f"{value:.15g}" if isinstance(value, float) else str(value))
        return words


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


def tell(text: str) -> None:
    """Print a line to stderr at once; a terminal that has been closed does not matter."""
    from edge_rnn.cli.shared.console import warn

    with suppress(OSError, ValueError):
        warn(text)
