"""Shared state of the readers of Keras's layers: the source of arrays and the layers so far."""

from __future__ import annotations

import reprlib

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.typing import F64
from edge_rnn_export.readers.keras.graph import Node
from edge_rnn_export.readers.keras.source import Source
from edge_rnn_export.readers.keras.wiring import Flow, Wiring

__all__ = ["Reading", "check_axis"]


class Reading:
    """A network while it is converted to layers.

    Attributes
    ----------
    wiring
        The layers so far.
    symbols
        True if the input consists of symbol ids.
    input_size
        Number of values per sample.
    """

    def __init__(self, source: Source, *, unpadded: bool) -> None:
        self.source = source
        self.unpadded = unpadded
        self.wiring = Wiring()
        self.symbols = False
        self.input_size = 0

    def arrays(self, node: Node, *names: str) -> list[F64]:
        """Arrays of a layer in float64, under Keras's names in their order; see :class:`Source`."""
        found = self.source.arrays(node, names)
        return [np.asarray(array, np.float64) for array in found]


def check_axis(node: Node, axis: object, flow: Flow) -> None:
    """Check that a layer works along the features, the last axis."""
    number = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if type(number) is not int or number not in (-1, len(flow.shape)) or not flow.size:
        raise UnsupportedError(
            f"{node.title} works along the axis {reprlib.repr(axis)} of the shape {flow.shape}, expected the last one."
        )
