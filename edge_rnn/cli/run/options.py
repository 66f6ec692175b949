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
    """Values of the loop options, under their command-line names.

    Parameters
    ----------
    rate
        Steps per second, in Hz.
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
        """Extract the loop options from a parsed command line."""
        given = vars(args)
        return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})

    def wants_loop(self, but: str = "") -> bool:
        """Return True if an option that implies a loop was given, other than ``but``."""
        return any(getattr(self, name) for name in _TRIGGERS if name != but)

    def words(self, without: Container[str]) -> list[str]:
        """Return command-line words of the loop options that differ from their defaults, except ``without``."""
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
    """Add the loop options."""
    group = parser.add_argument_group("as a loop")
    group.add_argument("--source", metavar="URL", help="source of samples, instead of FILE")
    group.add_argument("--sink", metavar="URL", help="sink of results (default: stdout, in the format of --output)")
    group.add_argument("--sources", action=_Forms, nargs=0, help="list all forms of sources and sinks, and exit")
    group.add_argument(
        "--rate", metavar="HZ", type=positive_float, help="steps per second (default: one step per sample)"
    )
    add_rate_options(group)
    group.add_argument(
        "--policy",
        choices=("catch_up", "drop", "hold"),
        default="catch_up",
        help="after a deadline miss or without a new sample: catch_up processes every sample, however late (default); "
        "drop takes the newest, or skips the step; hold steps at every deadline, repeating the last sample",
    )
    group.add_argument("--snapshot", metavar="FILE", help="save the state here, and restore it at the next start")
    group.add_argument(
        "--every", metavar="S", type=positive_float, default=60.0, help="seconds between snapshots (default: 60)"
    )
    group.add_argument("--status", metavar="FILE", help="write counters and latencies here, as JSON, every 5 s")
    group.add_argument(
        "--reset-after", metavar="S", type=positive_float, help="reset the state after a longer pause (default: never)"
    )
    group.add_argument(
        "--stall-after",
        metavar="S",
        type=positive_float,
        help="reopen a source that is silent for longer, if possible (default: report it after ten times its usual "
        "pause, and keep it open)",
    )
    group.add_argument("--priority", metavar="N", type=positive_int, help="SCHED_FIFO priority, 1 to 99, if permitted")
    group.add_argument("--cpus", metavar="LIST", type=cpus, help="processors to run on: 3, or 2,3")
    group.add_argument("--lock-memory", action="store_true", help="lock the process in memory, if permitted")


class _Forms(argparse.Action):
    """Action of ``--sources``: list the forms of ``--source`` and ``--sink``, and exit."""

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
    """Print a line to stderr, unbuffered; ignore a closed terminal."""
    from edge_rnn.cli.shared.console import warn

    with suppress(OSError, ValueError):
        warn(text)
