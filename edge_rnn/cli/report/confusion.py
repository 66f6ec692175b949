"""What a network takes for what: counts by label, and the plot of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.cli.report.svg import as_svg, field, grid, scale
from edge_rnn.typing import F32

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["confusion", "draw_confusion"]

_FEW_TO_MANY = ("#e4ecf5", "#8fb4dc", "#2c6fbb", "#123f75")
_MOST_COUNTS = 12


def confusion(model: Model, xs: F32, labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often each label, in rows, was taken for each, in columns: ``(labels, labels)`` int."""
    from edge_rnn.streams.stream import Stream

    counts = np.zeros((model.output_size, model.output_size), np.intp)
    np.add.at(counts, (labels, Stream(model).run(xs).argmax(axis=1)), 1)
    return counts


def draw_confusion(name: str, counts: NDArray[np.intp], labels: Sequence[str]) -> str:
    """What was taken for what: truth in rows, the network's in columns; shares of a row as colours, counts as numbers.

    Parameters
    ----------
    name
        What tells this plot's parts from those of the page's others.
    counts
        ``(labels, labels)`` int.
    """
    size = len(labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        mapped = scale(0, 1, _FEW_TO_MANY, log=False)
        for row, column in np.ndindex(size, size):
            text = f"{counts[row, column]:,}" if counts[row, column] and size <= _MOST_COUNTS else ""
            field(axes, column, row, mapped.to_rgba(shares[row, column]), text)
        grid(axes, labels, labels)
        axes.set(xlabel="what the network said", ylabel="what it was")

    return as_svg(name, 1.3 + min(0.36 * size, 5.0), draw)
