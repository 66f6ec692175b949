"""Plots as inline SVG: they use the page's fonts and colors, and the same input gives the same text."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_rnn.cli.report.style import STYLE
from edge_rnn.printable import printable
from edge_rnn.spelling import spell_unit

__all__ = ["CHOSEN", "FAINT", "INK", "as_svg", "decades", "field", "frame", "grid", "scale", "spread"]

INK, CHOSEN, FAINT = "#222222", "#d6336c", "#8a8a8a"
_PAGE, _DARK = "#fdfdfd", "#1a1a1a"
_OF_THE_PAGE = {INK: "var(--ink)", _PAGE: "var(--page)", CHOSEN: "var(--chosen)"}  # differ in dark mode
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}
_WIDTH_INCHES = 5.2
_LONGEST_LABEL = 18
_MOST_SLANTED = 14


def as_svg(name: str, height_inches: float, draw: Callable[[Any], None]) -> str:
    """Return what ``draw`` draws on a figure as an ``<svg>`` element; deterministic."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    file = io.StringIO()
    with mpl.rc_context(STYLE | _STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's fonts are used, not this machine's
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        draw(figure)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = re.sub(r"<style.*?</style>|<!--.*?-->", "", file.getvalue(), flags=re.DOTALL)
    return re.sub(r"<[^>]*>", lambda tag: _of_page(tag[0], name), printable(text[text.index("<svg") :], keep="\n"))


def _of_page(tag: str, name: str) -> str:
    """Rewrite a tag to use the page's font and colors and ids unique within the page; text is unchanged."""
    if tag.startswith("<svg"):
        size = tag[tag.index("viewBox=") :].split('"')[1]
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img" aria-label="{name}">'
    tag = re.sub(r" font-family: [^;\"]*;?", "", tag.replace("xlink:href", "href"))
    tag = re.sub(r"(\bid=\"|url\(#|href=\"#)", rf"\1{name}-", tag)
    for colour, variable in _OF_THE_PAGE.items():
        tag = tag.replace(f": {colour}", f": {variable}")
    return tag


def scale(low: float, high: float, colours: Sequence[str], *, steps: int = 256, log: bool = True) -> Any:
    """Return a color scale that maps numbers from ``low`` to ``high`` to the given colors."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    norm = LogNorm(low, high) if log else Normalize(low, high)
    return ScalarMappable(norm, LinearSegmentedColormap.from_list("", list(colours), N=steps))


def decades(axis: Any) -> None:
    """Label an axis with powers of ten in plain characters, because mathtext breaks in other fonts."""
    axis.set_major_formatter(lambda value, _: spell_unit(f"10^{round(np.log10(value))}"))
    axis.set_minor_formatter(lambda value, _: "")
    if axis.axis_name == "y":  # at least one label
        low, high = axis.axes.get_ylim()
        axis.axes.set_ylim(min(low, 10.0 ** np.floor(np.log10(high))), high)


def spread(heights: Sequence[float], least: float = 0.058) -> list[float]:
    """Move ascending label heights apart where they would overlap, and down again if they exceed the top."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + least) if placed else height)
    ceiling = 1.0
    for place in reversed(range(len(placed))):
        placed[place] = min(placed[place], ceiling)
        ceiling = placed[place] - least
    return placed


def field(axes: Any, column: int, row: int, fill: Any, text: str) -> None:
    """Draw a colored table cell with readable text on it."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=fill, edgecolor=_PAGE, linewidth=1))
    dark = np.dot(fill[:3], (0.299, 0.587, 0.114)) < 0.55
    axes.text(column, row, text, ha="center", va="center", color="#ffffff" if dark else _DARK, fontsize=7)


def frame(axes: Any, column: int, row: int) -> None:
    """Frame a highlighted cell in a dark color, which stands out on every fill."""
    from matplotlib.patches import Rectangle

    place = (column - 0.44, row - 0.42)
    axes.add_patch(Rectangle(place, 0.88, 0.84, facecolor="none", edgecolor=_DARK, linewidth=2, zorder=3))


def grid(axes: Any, columns: Sequence[str], rows: Sequence[str]) -> None:
    """Set up the axes of a cell grid, truncating long names."""
    cut = [[s if len(s) <= _LONGEST_LABEL else s[: _LONGEST_LABEL - 1] + "…" for s in each] for each in (columns, rows)]
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), cut[1])
    long = max(map(len, cut[0]), default=0) * len(columns) > 44
    style: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    if len(columns) > _MOST_SLANTED:
        style |= {"rotation": 90, "va": "center"}
    axes.set_xticks(range(len(columns)), cut[0], **style)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
