"""Confusion matrix: counts and plot."""

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
    """Count predictions: true labels in rows, predicted labels in columns, ``(labels, labels)`` int."""
    from edge_rnn.streams.stream import Stream

    counts = np.zeros((model.output_size, model.output_size), np.intp)
    np.add.at(counts, (labels, Stream(model).run(xs).argmax(axis=1)), 1)
    return counts


def draw_confusion(name: str, counts: NDArray[np.intp], labels: Sequence[str]) -> str:
    """Plot a confusion matrix: true labels in rows, predictions in columns.

    Colors show shares of a row, numbers show counts.

    Parameters
    ----------
    name
        Prefix that makes this plot's SVG ids unique within the page.
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
        axes.set(xlabel="predicted label", ylabel="true label")

    return as_svg(name, 1.3 + min(0.36 * size, 5.0), draw)
