"""Plots of ``edge-rnn shrink``, and the runs behind some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_rnn.cli.report.svg import CHOSEN, FAINT, INK, as_svg, decades, field, frame, grid, scale, spread
from edge_rnn.errors import InputError
from edge_rnn.typing import F32, F64

if TYPE_CHECKING:
    from edge_rnn.model import Model
    from edge_rnn.quantization.trials import Shrunk, Trial

__all__ = ["draw_drift", "draw_front", "draw_sensitivity", "drifts", "listed", "spell_error"]

_SLOW_TO_QUICK = ("#d2691e", "#9a9a9a", "#2c7fd1")
_LITTLE_TO_MUCH = ("#d9ecd9", "#f4d35e", "#e07a3f", "#a01f2d")
_BESIDE, _APART = ((0, 9), (11, 4), (-11, 4), (0, -9), (11, -6), (-11, -6)), 8
"""Positions of a number relative to its point, and the least distance of two numbers, in points."""
_LINES = ("#2c8fd1", "#2f9e6e", "#d2791e", "#9a6fd0", FAINT)


def listed(shrunk: Shrunk) -> list[Trial]:
    """Trials of the table in the order of their numbers, largest first: the Pareto front, float32, the chosen one."""
    found = dict.fromkeys([shrunk.trials[0], *shrunk.front, shrunk.best])
    return sorted(found, key=lambda each: (-each.nbytes, each.error))


def draw_front(shrunk: Shrunk) -> str:
    """Plot error over size, colored by speed-up, with the numbers of the table and the chosen trial labeled.

    Trials without error, above all float32, are diamonds slightly below the smallest error: the axis is logarithmic.
    """

    def draw(figure: Any) -> None:
        trials, best, front = shrunk.trials, shrunk.best, set(shrunk.front)
        widest = max([1.25, *(max(each.speedup, 1 / each.speedup) for each in trials if each.speedup)])
        axes = figure.subplots()
        axes.set(yscale="log", xlabel="bytes of all arrays", ylabel="error, relative to float32's outputs")
        mapped = scale(1 / widest, widest, _SLOW_TO_QUICK, steps=25)
        _bar(figure, axes, mapped, widest)
        none = 0.5 * min((each.error for each in trials if 0 < each.error < np.inf), default=1e-6)
        for trial in sorted(trials, key=lambda each: each in front):
            if trial.error < np.inf:
                style: dict[str, Any] = {"s": 34, "alpha": 0.95} if trial in front else {"s": 20, "alpha": 0.35}
                style |= {"color": [mapped.to_rgba(trial.speedup) if trial.speedup else FAINT]}
                style |= {"marker": "D" if not trial.error else "o" if trial.speedup else "x"}
                axes.scatter([trial.nbytes], [trial.error or none], linewidths=0 if trial.speedup else 1, **style)
        axes.margins(0.07)
        decades(axes.yaxis)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        chosen = best.error or none
        axes.scatter([best.nbytes], [chosen], s=120, facecolors="none", edgecolors=CHOSEN, linewidths=2)
        _number(axes, [(trial.nbytes, trial.error or none) for trial in listed(shrunk)])
        middle = np.mean(axes.get_xlim())
        for trial, error, text, colour in (
            (trials[0], none, "float32, no error", INK),
            (best, chosen, f"chosen: {best.nbytes:,} bytes", CHOSEN),
        ):
            if trial is best or best is not trials[0]:
                side = 1 if trial.nbytes < middle else -1
                style = {"color": colour, "ha": "left" if side > 0 else "right", "va": "center"}
                style |= {"fontweight": "bold" if trial is best else "normal", "textcoords": "offset points"}
                axes.annotate(text, (trial.nbytes, error), (9 * side, 0), **style)

    return as_svg("front", 3.9, draw)


def _number(axes: Any, places: Sequence[tuple[float, float]]) -> None:
    """Write the number of each finite point next to it, without overlaps."""
    taken: list[Any] = []
    for number, place in enumerate(places, start=1):
        if not np.isfinite(place).all():
            continue
        here = axes.transData.transform(place) * 72 / axes.figure.dpi
        free = [each for each in _BESIDE if all(np.abs(here + each - other).max() > _APART for other in taken)]
        offset = np.array((free or _BESIDE)[0])
        taken.append(here + offset)
        style = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 7}
        axes.annotate(str(number), place, tuple(offset), **style)


def draw_drift(lines: Mapping[str, F64]) -> str:
    """Plot the accumulated difference from float32 over the steps.

    Parameters
    ----------
    lines
        Result of :func:`drifts`; the chosen one is highlighted.
    """

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log", xlabel="steps, state carried", ylabel="RMS of the difference so far")
        colours = iter(_LINES)
        ends = []
        for name, values in lines.items():
            places = np.unique(np.geomspace(1, len(values), 240).astype(np.intp)) - 1
            shown = np.where((values > 0) & (values < np.inf), values, np.nan)[places]
            is_chosen = name.startswith("chosen")
            colour = CHOSEN if is_chosen else next(colours)
            bold: dict[str, Any] = {"linewidth": 2.4, "zorder": 3} if is_chosen else {"linewidth": 1.2}
            axes.plot(places + 1, shown, color=colour, **bold)
            if np.isfinite(shown).any():
                ends.append((float(shown[np.isfinite(shown)][-1]), name, colour))
        decades(axes.xaxis)
        decades(axes.yaxis)
        axes.set_xlim(1, max(map(len, lines.values()), default=10))
        low, high = np.log10(axes.get_ylim())
        ends.sort()
        heights = spread([(np.log10(end) - low) / (high - low) for end, _, _ in ends])
        for (_, name, colour), height in zip(ends, heights, strict=True):
            weight = "bold" if name.startswith("chosen") else "normal"
            axes.text(
                1.02, height, name, transform=axes.transAxes, color=colour, va="center", fontweight=weight, fontsize=8
            )

    return as_svg("drift", 3.9, draw)


def draw_sensitivity(shrunk: Shrunk) -> str:
    """Plot the error of each format for each matrix alone as colored cells, with the chosen format framed."""
    fields: dict[tuple[str, str], tuple[str, float]] = {}
    columns: dict[str, None] = {}
    for name, trials in shrunk.sensitivity.items():
        ranks = iter(range(1, 1 + len(trials)))
        for format_, trial in trials.items():
            column = f"{format_.partition(':')[0]} {next(ranks)}" if _is_by_shape(format_) else format_
            fields[name, column] = (format_, trial.error)
            columns[column] = None
    names, order = (
        list(shrunk.sensitivity),
        sorted(columns, key=lambda each: _is_by_shape(each.split()[0])),
    )
    errors = [error for _, error in fields.values() if 0 < error < np.inf] or [1.0]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        mapped = scale(min(errors), max(*errors, 1.01 * min(errors)), _LITTLE_TO_MUCH)
        for (name, column), (format_, error) in fields.items():
            place, row = order.index(column), names.index(name)
            fill = mapped.to_rgba(max(error, min(errors)) if error < np.inf else max(errors))
            text = f"{format_.partition(':')[2]}: " if _is_by_shape(format_) else ""
            field(axes, place, row, fill, text + spell_error(error))
            if shrunk.best.formats.get(name) == format_:
                frame(axes, place, row)
        grid(axes, [each.split()[0] for each in order], names)

    return as_svg("sensitivity", 0.7 + 0.45 * max(len(names), 1), draw)


def _is_by_shape(format_: str) -> bool:
    from edge_rnn.formats import FORMATS

    return FORMATS[format_.partition(":")[0]].by_shape


def spell_error(error: float) -> str:
    """Format a number with two digits, at any magnitude: ``0.012``, ``3.4e-5``."""
    if not 0 < error < np.inf:
        return "0" if error == 0 else "not finite"
    if 1e-3 < error < 1e3:
        return f"{error:.2g}"
    digits, exponent = f"{error:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def drifts(model: Model, shrunk: Shrunk, xs: F32) -> dict[str, F64]:
    """Compute output differences from the float32 model, for the chosen model and for each format used throughout.

    Returns
    -------
    dict
        ``(time,)`` float64 by line name: RMS difference up to each step, relative to the RMS of all float32 outputs;
        over at least 10,000 steps, state carried. The name of the chosen one starts with "chosen".
    """
    from edge_rnn.formats import uniform
    from edge_rnn.quantization.apply import matrices, quantize
    from edge_rnn.quantization.calibration import calibrate, repeated
    from edge_rnn.streams.stream import Stream

    calibration = calibrate(model, xs)
    chosen, models = "chosen", {}
    for format_ in uniform():
        formats = {name: format_ if _takes(model, name, format_) else "float32" for name in matrices(model)}
        if formats == dict(shrunk.best.formats):
            chosen = f"chosen: {format_}"
        elif format_ in formats.values():
            models[format_] = quantize(model, formats, calibration=calibration)
    if shrunk.model is not model:
        models[chosen] = shrunk.model
    rows = repeated(xs)
    ys = Stream(model).run(rows).astype(np.float64)
    own = float(np.square(ys).mean()) or 1.0
    counted = np.arange(1, len(rows) + 1)
    return {
        name: np.sqrt(np.square(Stream(each).run(rows) - ys).mean(axis=1).cumsum() / counted / own)
        for name, each in models.items()
    }


def _takes(model: Model, name: str, format_: str) -> bool:
    from edge_rnn.quantization.apply import quantize

    try:
        quantize(model, {name: format_})
    except InputError:
        return False
    return True


def _bar(figure: Any, axes: Any, mapped: Any, widest: float) -> None:
    bar = figure.colorbar(mapped, ax=axes, location="top", aspect=50, pad=0.02)
    bar.solids.set_edgecolor("face")
    bar.outline.set_visible(False)
    bar.minorticks_off()
    ticks = (1 / widest, 1.0, widest)
    bar.set_ticks(ticks, labels=[f"{each:.2f}×" for each in ticks])
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label("speed-up over float32; crosses: not timed", fontsize=8)
