"""Plot of the latency histogram of ``edge-rnn bench``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.cli.report.style import STYLE, write_figure
from edge_rnn.cli.shared.console import spell_ns

__all__ = ["draw_histogram", "spell_decade"]

_QUANTILES = {"p50": "p50", "p99": "p99", "p99.9": "p999", "max": "max"}
_TEXT, _ROW = 0.055, 0.085
"""Width of a quantile's text as a share of the axis, and height of a row of them."""
_OURS, _PACED, _FAINT = "#2c6fbb", "#c9742c", "#8a8a8a"


def draw_histogram(target: str, result: Mapping[str, Any]) -> None:
    """Draw the histogram of call times with logarithmic axes, and write it atomically.

    Parameters
    ----------
    target
        Name of a .png, .svg or .pdf file.
    result
        Result of :mod:`edge_rnn.bench.step`, with ``paced`` if the model was also run at a rate.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    paced = result.get("paced")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), dpi=160, facecolor="white")
        axes = figure.subplots()
        figure.subplots_adjust(left=0.085, right=0.98, top=0.77, bottom=0.13)
        _steps(axes, result["histogram"], _OURS, "stream.step, back-to-back calls")
        if paced:
            _steps(axes, paced["histogram"], _PACED, f"from deadline to result, at {paced['rate_hz']:g} Hz")
            period = 1e9 / paced["rate_hz"]
            axes.axvline(period, color=_PACED, linewidth=1, linestyle=":")
            text: dict[str, Any] = {
                "color": _PACED,
                "transform": axes.get_xaxis_transform(),
                "va": "top",
                "ha": "right",
            }
            axes.text(period, 1, "next deadline ", **text)
        axes.set_xscale("log")
        _quantiles(axes, {name: max(result[f"step_ns_{key}"], 1.0) for name, key in _QUANTILES.items()})
        axes.set(yscale="log", xlabel="time of a call", ylabel="calls")
        axes.xaxis.set_major_formatter(lambda value, _: spell_decade(value))
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
        axes.set_ylim(bottom=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        if paced:
            axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.55, 0.94))
        figure.text(0.085, 0.93, result["name"] or result["model"], fontsize=13, fontweight="bold")
        figure.text(0.98, 0.93, result["processor"], color="#555555", ha="right")
        write_figure(figure, target)


def _quantiles(axes: Any, quantiles: Mapping[str, float]) -> None:
    """Mark quantiles by lines, with their names and values above: a row higher where they would overlap."""
    low, high = np.log10(axes.get_xlim())
    ends = [-np.inf, -np.inf, -np.inf]  # of the last text in each row, as shares of the width
    for name, value in quantiles.items():
        place = (np.log10(value) - low) / (high - low)
        row = next((row for row, end in enumerate(ends) if place - end > _TEXT), 0)
        ends[row] = place
        axes.axvline(value, color=_FAINT, linewidth=0.7)
        style: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "fontsize": 7}
        axes.text(value, 1.01 + _ROW * row, f"{name}\n{spell_ns(value)}", **style)


def spell_decade(nanoseconds: float) -> str:
    """Spell a power of ten of nanoseconds: ``10 ns``, ``1 µs``, ``100 ms``."""
    exponent = round(math.log10(nanoseconds))
    unit = min(max(exponent, 0) // 3, 3)
    return f"{10.0 ** (exponent - 3 * unit):g} {('ns', 'µs', 'ms', 's')[unit]}"


def _steps(axes: Any, histogram: Mapping[str, Any], colour: str, label: str) -> None:
    axes.stairs(
        histogram["counts"], histogram["edges_ns"], fill=True, color=colour, alpha=0.75, label=label, baseline=0.1
    )
