"""Progress of the demo: a live view in a terminal, one line per recording elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edge_rnn.cli.demo.play import FRAME_SECONDS, Recording, score
from edge_rnn.cli.shared.console import say
from edge_rnn.spelling import counted
from edge_rnn.typing import F32, AnyArray

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

__all__ = ["COLOURS", "show_lines", "show_live"]

COLOURS = ("#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#0072b2", "#f0e442", "#999999")
"""Colors of the labels, in order: Okabe and Ito's palette, distinguishable with color blindness."""

_AHEAD = -1
_BORDER = 4
_LEAST_BAR = 4
_TRUTH = "◂ truth"


def show_lines(labels: tuple[str, ...], recording: Recording, outputs: F32, done: Iterable[int]) -> None:
    """Print one line for each recording when it ends."""
    width = max(map(len, labels))
    say(f"recording   samples  {'truth':{width}}  {'network':{width}}  correct")
    shown = 0
    for count in done:
        parts = score(recording, outputs[:count].argmax(1))
        over = len(parts) if count == len(recording) else len(parts) - 1
        for number, part in enumerate(parts[shown:over], start=shown + 1):
            truth, network = labels[part.truth], labels[part.majority]
            right = f"{part.right} of {part.stop - part.start}"
            say(f"{number:9}  {part.start:8}  {truth:{width}}  {network:{width}}  {right}", flush=True)
        shown = max(shown, over)


def show_live(
    console: Console,
    title: str,
    labels: tuple[str, ...],
    recording: Recording,
    outputs: F32,
    done: Iterable[int],
) -> None:
    """Draw the current state 20 times per second; the last frame stays."""
    from rich.live import Live

    due = 0.0
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for count in done:
            if count == len(recording) or time.monotonic() >= due:
                live.update(_picture(console, title, labels, recording, outputs[:count]), refresh=True)
                due = time.monotonic() + FRAME_SECONDS / 2


def _picture(
    console: Console, title: str, labels: tuple[str, ...], recording: Recording, outputs: F32
) -> RenderableType:
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    predicted = outputs.argmax(1)
    done, total = len(outputs), len(recording)
    now = Table.grid(padding=(0, 1))
    beside = max(map(len, labels)) + len("100%") + len(_TRUTH) + 3
    bar = max(console.width - _BORDER - beside, _LEAST_BAR)
    for i, label in enumerate(labels):
        share = float(outputs[-1, i])
        style = f"bold {COLOURS[i % len(COLOURS)]}" if i == predicted[-1] else COLOURS[i % len(COLOURS)]
        is_true = _TRUTH if i == recording.y[done - 1] else ""
        now.add_row(
            Text(label, style), Text(_bar(share, bar), style), Text(f"{share:4.0%}", style), Text(is_true, "dim")
        )
    columns = max(1, console.width - _BORDER - 9)
    bands = Table.grid(padding=(0, 1))
    bands.add_column(width=8)
    truth = np.where(np.arange(total) < done, recording.y, _AHEAD)
    network = np.concatenate([predicted, np.full(total - done, _AHEAD)])
    plain = console.color_system is None or console.no_color
    for name, values in (("truth", truth), ("network", network)):
        bands.add_row(name, _band(values, columns, labels, plain))
    right = int(np.count_nonzero(predicted == recording.y[:done]))
    progress = Text.assemble(
        (f"{done:,}", "bold"), f" of {counted(total, 'sample')}, ", (f"{right / done:.1%}", "bold"), " accuracy"
    )
    return Panel(Group(now, Text(), bands, Text(), progress), title=Text(title), title_align="left", border_style="dim")


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8)
    whole, rest = divmod(max(0, min(eighths, width * 8)), 8)
    return ("█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def _band(values: AnyArray, columns: int, labels: tuple[str, ...], plain: bool) -> Text:
    """Compress the values into ``columns`` columns, two values per column by color; label initials without color."""
    from rich.text import Text

    cells = _majorities(values, columns if plain else 2 * columns)
    if plain:
        return Text("".join("·" if cell == _AHEAD else labels[cell][:1].upper() for cell in cells))
    text = Text(no_wrap=True)
    colours = [*COLOURS, "#3a3a3a"]
    for left, right in zip(cells[::2], cells[1::2], strict=True):
        first, second = (colours[cell % len(COLOURS)] if cell >= 0 else colours[-1] for cell in (left, right))
        text.append("▌", f"{first} on {second}")
    return text


def _majorities(values: AnyArray, cells: int) -> list[int]:
    edges = np.linspace(0, len(values), cells + 1)
    majorities = []
    for left, right in pairwise(edges):
        inside = values[int(left) : max(int(right), int(left) + 1)]
        known = inside[inside >= 0]
        majorities.append(int(np.bincount(known).argmax()) if len(known) else _AHEAD)
    return majorities
