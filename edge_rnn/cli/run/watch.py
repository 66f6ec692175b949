"""``edge-rnn run --watch``: live terminal view of a loop's input, output, deadlines and latencies."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.run.troubles import spell_troubles
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from edge_rnn.loop import SensorLoop

__all__ = ["picture", "watching"]

_FRAME_S = 0.25
_BAR, _LEAST_BAR = 30, 6
_VALUE = 9
_BETWEEN = 4
_BESIDE = 50
"""Minimum width in columns for input and output side by side."""
_MOST = 16
"""Maximum number of inputs, and of outputs, that are shown."""

_SPARKS = "▏▎▍▌▋▊▉█"


@contextmanager
def watching(loop: SensorLoop, console: Console) -> Iterator[None]:
    """Draw the loop's status four times per second, in a separate thread; the last frame stays.

    Each frame holds Python's lock for some milliseconds in total, in slices of a twentieth of a period.
    """
    from rich.live import Live

    over = threading.Event()
    scale: dict[str, float] = {}
    live = Live(console=console, auto_refresh=False, vertical_overflow="visible")

    def draw() -> None:
        with suppress(OSError):  # a closed terminal must not end the loop
            live.update(picture(loop.status(), scale, console.width), refresh=True)

    def repeat() -> None:
        while not over.wait(_FRAME_S):
            draw()

    thread = threading.Thread(target=repeat, name="edge_rnn watch", daemon=True)
    live.start()
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)
        draw()
        with suppress(OSError):
            live.stop()


def picture(status: Mapping[str, Any], scale: dict[str, float], width: int) -> RenderableType:
    """Return the view of a status.

    Parameters
    ----------
    status
        Result of :meth:`edge_rnn.loop.SensorLoop.status`.
    scale
        Largest input and output so far, kept between frames so that bars do not jump.
    width
        Available columns; below 50 the output is shown under the input.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counters = status["counters"]
    rate = f"{status['rate_hz']:g} Hz, {status['policy']}" if status["rate_hz"] else "one step per sample"
    head = Text.assemble(
        (status["model"] or status["fingerprint"][:12], "bold"),
        f"  {status['state']}, source {status['source']}, {rate}, {_spell_s(status['uptime_s'])}, "
        f"{counted(counters['steps'], 'step')}",
    )
    beside = width >= _BESIDE
    half = (width - _BETWEEN) // 2 if beside else width
    sides = Table.grid(padding=(0, _BETWEEN))
    names = status["input_names"] or [f"x{i}" for i in range(len(status["x"]))]
    outputs = status["labels"] or [f"y{i}" for i in range(len(status["y"] or ()))]
    bars = _bars("input", names, status["x"], scale, half), _bars("output", outputs, status["y"] or [], scale, half)
    for row in (bars,) if beside else ((each,) for each in bars):
        sides.add_row(*row)
    parts: list[RenderableType] = [head, Text(), sides, Text()]
    times = Table.grid(padding=(0, 2))
    for title, key in {"late": "lateness_ns", "work": "work_ns"}.items():
        found = status[key]
        if found["count"]:
            times.add_row(
                Text(title, "bold"), *(f"{spell_ns(found[name])} {name}" for name in ("p50", "p99", "p99.9", "max"))
            )
    parts.append(times)
    troubles = spell_troubles(counters)
    parts.append(Text(f"{troubles or 'no troubles'}", "yellow" if troubles else "green"))
    if status["snapshot_age_s"] is not None:
        parts.append(Text(f"snapshot {_spell_s(status['snapshot_age_s'])} old"))
    recent = sorted(status["messages"].values(), key=lambda each: float(each["at"]))[-3:]
    parts += [Text(each["last"], "dim", overflow="ellipsis", no_wrap=True) for each in recent]
    return Group(*parts)


def _bars(
    title: str, names: Sequence[str], values: Sequence[float], scale: dict[str, float], width: int
) -> RenderableType:
    """Return names, values and bars in ``width`` columns: bars shrink first, then names."""
    from rich.table import Table
    from rich.text import Text

    left = width - _VALUE - 2  # for the longest name and the bars
    longest = min(max(map(len, [title, *names[:_MOST]])), left - _LEAST_BAR)
    bar = min(left - longest, _BAR)
    largest = scale[title] = max([scale.get(title, 0.0), *map(abs, values)])
    best = max(range(len(values)), key=lambda i: values[i], default=-1) if title == "output" else -1
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(title, "bold"))
    for i, (name, value) in enumerate(zip(names[:_MOST], values[:_MOST], strict=False)):
        style = "bold green" if i == best and len(values) > 1 else ""
        shown = name if len(name) <= longest else name[: longest - 1] + "…"
        share = abs(value) / largest if largest else 0.0
        table.add_row(Text(shown, style), Text(f"{value:{_VALUE}.3g}", style), _bar(share, bar))
    if len(values) > _MOST:
        table.add_row(Text(f"and {len(values) - _MOST} more", "dim"))
    return table


def _bar(share: float, width: int) -> Text:
    from rich.text import Text

    eighths = round(min(share, 1.0) * width * 8) if math.isfinite(share) else 0
    whole, rest = divmod(eighths, 8)
    return Text(("█" * whole + (_SPARKS[rest - 1] if rest else "")).ljust(width), "cyan")


def _spell_s(seconds: float) -> str:
    """Format a duration with two suitable units: ``3 d 4 h``, ``5 min 6 s``."""
    left = max(round(seconds), 0)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    words: list[str] = []
    for name, size in units:
        count, left = divmod(left, size)
        if count or words or name == "s":
            words.append(f"{count} {name}")
    return " ".join(words[:2])
