"""Plots of ``edge-rnn compare``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_rnn.cli.compare.view import spell_bin
from edge_rnn.cli.report.svg import FAINT, INK, as_svg, spread
from edge_rnn.cli.shared.console import spell_ns

if TYPE_CHECKING:
    from edge_rnn.analysis.comparison import Compared

__all__ = ["draw_lags", "draw_memory", "draw_sizes", "draw_times"]

_COLOURS = ("#d2791e", "#2c8fd1", "#2f9e6e", "#9a6fd0", "#c2556b", "#7a8a2e")
_MARKS = "osD^vP"  # distinguish lines that overlap
_MOST_SLANTED = 7


def draw_lags(found: Sequence[Compared], lag: str, chance: float | None) -> str:
    """Plot accuracy by lag, with 95 % confidence intervals.

    Parameters
    ----------
    lag
        Label of the lag axis.
    chance
        Accuracy of a trivial classifier, drawn for reference; None for none.
    """
    bins = found[0].score.bins

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        ends = []
        for place, each in enumerate(found):
            shares = np.array([own.share for own in each.score.bins])
            low, high = np.array([own.interval for own in each.score.bins]).T
            # Offset horizontally, so that marks and intervals do not hide each other.
            xs = np.arange(len(bins)) + 0.14 * (place - (len(found) - 1) / 2)
            style: dict[str, Any] = {"color": _colour(place), "zorder": 3 + place}
            axes.vlines(xs, low, high, linewidth=1.2, alpha=0.6, **style)
            axes.plot(xs, shares, linewidth=1.8, marker=_MARKS[place % len(_MARKS)], markersize=4.5, **style)
            ends.append((float(shares[-1]), each.name, _colour(place)))
        if chance is not None:
            axes.axhline(chance, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            text = "always the most common label"
            axes.text(len(bins) - 0.9, chance + 0.012, text, color=FAINT, ha="right", va="bottom", fontsize=8)
        axes.set(ylim=(0, 1.03), xlabel=lag, ylabel="accuracy", xlim=(-0.4, len(bins) - 0.6))
        axes.set_yticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
        slanted: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(bins)), map(spell_bin, bins), **(slanted if len(bins) > _MOST_SLANTED else {}))
        axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
        ends.sort()
        heights = spread([end / 1.03 for end, _, _ in ends])
        for (_, name, colour), height in zip(ends, heights, strict=True):
            axes.text(1.02, height, name, transform=axes.transAxes, color=colour, va="center", fontsize=8)

    return as_svg("lags", 3.9, draw)


def draw_sizes(found: Sequence[Compared]) -> str:
    """Plot accuracy over size; a line connects each network to its int8 version."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.set(xscale="log", xlabel="bytes of all arrays", ylabel="accuracy")
        names = []
        for place, each in enumerate(found):
            style: dict[str, Any] = {"color": _colour(place), "linewidths": 0}
            points = [(each.nbytes, each.score.accuracy)]
            if each.int8_bytes and each.int8_score:
                points.append((each.int8_bytes, each.int8_score.accuracy))
                axes.plot(*zip(*points, strict=True), color=_colour(place), linewidth=1, alpha=0.6)
                axes.scatter(*points[1], s=42, marker="s", **style)
            axes.scatter(*points[0], s=42, marker="o", **style)
            names.append((points[0], each.name, _colour(place)))
        axes.margins(0.18, 0.22)
        ticks = _ticks(*axes.get_xlim())
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%" if value <= 1 else "")
        axes.locator_params(axis="y", nbins=5)
        for point, name, colour in names:
            axes.annotate(
                name, point, (0, 8), textcoords="offset points", color=colour, ha="center", va="bottom", fontsize=8
            )
        axes.grid(color=FAINT, alpha=0.25, linewidth=0.6)

    return as_svg("sizes", 3.2, draw)


def draw_times(found: Sequence[Compared]) -> str:
    """Plot step times on this machine, and the range estimated for a board."""
    boards = [each.on_board for each in found if each.on_board]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        lines: list[str] = []
        for place, each in enumerate(found):
            row = len(lines)
            if boards:  # bars have no origin on a logarithmic axis
                axes.scatter([each.step_ns], [row], color=_colour(place), s=40, linewidths=0)
            else:
                axes.barh(row, each.step_ns, height=0.62, color=_colour(place))
            _beside(axes, each.step_ns, row, spell_ns(each.step_ns))
            lines.append(each.name)
        for place, board in enumerate(boards):
            row, estimate = len(lines), board.estimate
            low, high = estimate.ns * estimate.method.low, estimate.slow_ns
            axes.plot([low, high], [row, row], color=_colour(place), linewidth=5, alpha=0.45, solid_capstyle="butt")
            axes.scatter([estimate.ns], [row], color=_colour(place), s=40, zorder=3, linewidths=0)
            _beside(axes, high, row, spell_ns(estimate.ns))
            lines.append(f"{found[place].name} on the board")
        axes.set_yticks(range(len(lines)), lines)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        if boards:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(lambda value, _: "")
        _room(axes, log=bool(boards))
        axes.xaxis.set_major_formatter(lambda value, _: spell_ns(value) if value else "0")
        axes.set_xlabel("step time in a compiled loop")

    return as_svg("times", 1.0 + 0.34 * (len(found) + len(boards)), draw)


def draw_memory(found: Sequence[Compared]) -> str:
    """Plot memory at run time: weights, and state per stream."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for row, each in enumerate(found):
            axes.barh(row, each.weight_bytes, height=0.62, color=_colour(row))
            axes.barh(row, each.state_bytes, left=each.weight_bytes, height=0.62, color=_colour(row), alpha=0.45)
            text = f"{each.weight_bytes:,} + {each.state_bytes:,}"
            _beside(axes, each.weight_bytes + each.state_bytes, row, text)
        axes.set_yticks(range(len(found)), [each.name for each in found])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        _room(axes, log=False)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("bytes: weights + state of one stream")

    return as_svg("memory", 1.0 + 0.34 * len(found), draw)


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _beside(axes: Any, x: float, row: int, text: str) -> None:
    """Write a text at the end of a bar."""
    axes.annotate(text, (x, row), (5, 0), textcoords="offset points", color=INK, va="center", fontsize=8)


def _room(axes: Any, *, log: bool) -> None:
    """Extend the axis to make room for the texts at the ends of bars."""
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.22 if log else high * 1.3)


def _ticks(low: float, high: float) -> list[int]:
    """Return round tick values for a logarithmic axis."""
    return [k * 10**n for n in range(1, 10) for k in (1, 2, 5) if low <= k * 10**n <= high]
