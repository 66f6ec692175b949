"""``edge-rnn run --watch``: live terminal view of a loop's input, output, deadlines and latencies."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_rnn.cli.run.troubles import spell_troubles
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from edge_rnn.loop import SensorLoop

__all__ = ["Seen", "picture", "watching"]

_FRAME_S = 0.25
_BAR, _LEAST_BAR, _SPARK = 30, 6, 32
"""Most and fewest columns of a bar, and most of a sparkline."""
_VALUE = 9
_BETWEEN = 4
_BESIDE = 100
"""Minimum width in columns for input and output side by side."""
_MOST = 16
"""Maximum number of inputs, and of outputs, that are shown."""

_EIGHTHS = "▏▎▍▌▋▊▉"
_HEIGHTS = "▁▂▃▄▅▆▇█"


class _Frame(NamedTuple):
    """The values that are drawn, and whether all values of the frame are from 0 to 1."""

    values: tuple[float, ...]
    are_shares: bool


@dataclass(slots=True)
class Seen:
    """Values of earlier frames: bars do not jump, and sparklines have a past.

    Parameters
    ----------
    largest
        Largest absolute input and output so far.
    signed
        Which of the two have been negative.
    frames
        The latest frames, oldest first.
    """

    largest: dict[str, float] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)
    frames: dict[str, deque[_Frame]] = field(default_factory=dict)

    def add(self, title: str, values: Sequence[float]) -> None:
        """Add a frame."""
        finite = [value for value in values if math.isfinite(value)]
        self.largest[title] = max([self.largest.get(title, 0.0), *map(abs, finite)])
        if min(finite, default=0.0) < 0:
            self.signed.add(title)
        if values:
            frame = _Frame(tuple(values[:_MOST]), all(0 <= value <= 1 for value in values))
            self.frames.setdefault(title, deque(maxlen=_SPARK)).append(frame)


@contextmanager
def watching(loop: SensorLoop, console: Console) -> Iterator[None]:
    """Draw the loop's status four times per second, in a separate thread; the last frame stays.

    Each frame holds Python's lock for some milliseconds in total, in slices of a twentieth of a period.
    """
    from rich.live import Live

    over = threading.Event()
    seen = Seen()
    live = Live(console=console, auto_refresh=False, vertical_overflow="visible")

    def draw() -> None:
        with suppress(OSError):  # a closed terminal must not end the loop
            live.update(picture(loop.status(), seen, console.width), refresh=True)

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


def picture(status: Mapping[str, Any], seen: Seen, width: int) -> RenderableType:
    """Return the view of a status.

    Parameters
    ----------
    status
        Result of :meth:`edge_rnn.loop.SensorLoop.status`.
    seen
        Values of earlier frames; this one is added.
    width
        Available columns; below 100 the output is shown under the input.
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
    bars = _bars("input", names, status["x"], seen, half), _bars("output", outputs, status["y"] or [], seen, half)
    for row in (bars,) if beside else ((bars[0],), ("",), (bars[1],)):
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


def _bars(title: str, names: Sequence[str], values: Sequence[float], seen: Seen, width: int) -> RenderableType:
    """Return names, values, bars and sparklines in ``width`` columns; sparklines shrink first, names last."""
    from rich.table import Table
    from rich.text import Text

    seen.add(title, values)
    left = width - _VALUE - 2  # for the longest name, the bars and the sparklines
    longest = min(max(map(len, [title, *names[:_MOST]])), left - _LEAST_BAR)
    rest = left - longest
    spark = min((rest - 1) // 2, _SPARK) if rest >= 2 * _LEAST_BAR + 1 else 0
    bar = min(rest - spark - bool(spark), _BAR)
    best = max(range(len(values)), key=lambda i: values[i], default=-1) if title == "output" else -1
    past = seen.frames.get(title, ())
    shares = title == "output" and all(frame.are_shares for frame in past)
    table = Table.grid(padding=(0, 1))
    period = f"last {_FRAME_S * min(len(past), spark):.0f} s" if spark >= _LEAST_BAR + 3 else ""
    table.add_row(Text(title, "bold"), "", "", *([Text(period.rjust(spark), "dim")] if spark else []))
    for i, (name, value) in enumerate(zip(names[:_MOST], values[:_MOST], strict=False)):
        style = "bold green" if i == best and len(values) > 1 else ""
        shown = name if len(name) <= longest else name[: longest - 1] + "…"
        share = value / seen.largest[title] if seen.largest[title] else 0.0
        line = _sparkline([frame.values[i] for frame in past][-spark:], (0.0, 1.0) if shares else None) if spark else ""
        cells = [Text(line.rjust(spark), style or "dim")] if spark else []
        signed = title in seen.signed
        table.add_row(Text(shown, style), Text(f"{value:{_VALUE}.3g}", style), _bar(share, bar, signed=signed), *cells)
    if len(values) > _MOST:
        table.add_row(Text(f"and {len(values) - _MOST} more", "dim"))
    return table


def _bar(share: float, width: int, *, signed: bool) -> Text:
    """Bar of a share from -1 to 1; where values may be negative, from the middle to either side."""
    from rich.text import Text

    share = max(-1.0, min(share, 1.0)) if math.isfinite(share) else 0.0
    room = width // 2 if signed else width
    if share < 0:
        whole, half = divmod(round(-share * room * 2), 2)  # there are no blocks for eighths from the right
        return Text(("▐" * half + "█" * whole).rjust(room).ljust(width), "magenta")
    whole, rest = divmod(round(share * room * 8), 8)
    return Text(
        (" " * (room if signed else 0) + "█" * whole + (_EIGHTHS[rest - 1] if rest else "")).ljust(width), "cyan"
    )


def _sparkline(values: Sequence[float], bounds: tuple[float, float] | None) -> str:
    """Line of heights between bounds, by default the smallest and the largest value; blank where not finite."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = bounds or (min(finite, default=0.0), max(finite, default=0.0))
    step = (high - low) / (len(_HEIGHTS) - 1)
    return "".join(
        " " if not math.isfinite(value) else _HEIGHTS[round((value - low) / step)] if step else _HEIGHTS[0]
        for value in values
    )


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
