"""Plot of the demo: sensor data, true activity and the network's output."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.cli.demo.view import COLOURS
from edge_rnn.cli.report.style import STYLE, write_figure
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

if TYPE_CHECKING:
    from edge_rnn.cli.demo.play import Recording
    from edge_rnn.model import Model

__all__ = ["draw"]

_TRACES = ("#1b2a41", "#5f83ab", "#a3b4c8")


def draw(target: str, model: Model, recording: Recording, outputs: F32, result: dict[str, Any]) -> None:
    """Draw the timeline and write it atomically.

    Parameters
    ----------
    outputs
        ``(time, labels)`` float32, outputs of the network.
    result
        Results of the demo; see :mod:`edge_rnn.cli.demo`.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rate_hz = model.sample_rate_hz or 1.0
    seconds = np.arange(len(recording)) / rate_hz
    end = len(recording) / rate_hz
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(model.labels))]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 5.6), dpi=160, facecolor="white")
        axes = figure.subplots(4, 1, sharex=True, height_ratios=(3.0, 0.55, 0.55, 1.9), gridspec_kw={"hspace": 0.14})
        figure.subplots_adjust(left=0.085, right=0.985, top=0.84, bottom=0.09)
        sensor, truth, network, shares = axes
        for channel in range(min(3, recording.x.shape[1])):
            sensor.plot(seconds, recording.x[:, channel], color=_TRACES[channel], linewidth=0.45)
            name = model.input_names[channel] if model.input_names else f"channel {channel}"
            place = (0.004 + 0.07 * channel, 0.03)
            sensor.text(*place, name, transform=sensor.transAxes, color=_TRACES[channel], fontsize=8, fontweight="bold")
        _bands(truth, recording.y, rate_hz, colours, "truth")
        _bands(network, outputs.argmax(1), rate_hz, colours, "network")
        shares.stackplot(seconds, outputs.T, colors=colours, linewidth=0)
        shares.set(ylim=(0, 1), yticks=(0, 0.5, 1), yticklabels=("0", "50%", "100%"), xlabel="time in seconds")
        unit = model.input_units[0].replace("^2", "²") if model.input_units else ""
        sensor.set_ylabel(f"acceleration\n{unit}".strip())
        shares.set_ylabel("network's\nprobabilities")
        for each in axes:
            each.spines[["top", "right", "bottom"]].set_visible(each is shares)
            each.tick_params(length=0 if each is not shares else 3)
            each.set_xlim(0, end)
        figure.align_ylabels((sensor, shares))
        _title(figure, model, colours, result)
        write_figure(figure, target)


def _bands(axes: Any, labels: NDArray[np.intp], rate_hz: float, colours: list[str], name: str) -> None:
    """Draw one colored bar for each run of equal labels."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for start, stop in pairwise(edges):
        axes.axvspan(start / rate_hz, stop / rate_hz, color=colours[labels[start]], linewidth=0)
    axes.set(ylim=(0, 1), yticks=())
    axes.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)
    axes.spines["left"].set_visible(False)


def _title(figure: Any, model: Model, colours: list[str], result: dict[str, Any]) -> None:
    from matplotlib.patches import Patch

    followed = round(result["recording_accuracy"] * result["recordings"])
    figure.text(0.085, 0.945, model.name or "edge_rnn", fontsize=15, fontweight="bold")
    figure.text(
        0.085,
        0.895,
        f"{result['frame_accuracy']:.1%} of {counted(result['steps'], 'sample')}, {followed} of {result['recordings']} "
        f"recordings by majority vote; one sample at a time, {result['step_ns_p50']:.0f} ns per step from Python, "
        f"{counted(result['weight_bytes'] + result['state_bytes'], 'byte')}",
        color="#555555",
    )
    patches = [Patch(color=colour, label=label) for colour, label in zip(colours, model.labels, strict=True)]
    figure.legend(
        handles=patches, loc="upper right", bbox_to_anchor=(0.99, 0.985), ncols=len(patches), frameon=False,
        handlelength=1.0, handleheight=1.0, columnspacing=1.4,
    )  # fmt: skip
