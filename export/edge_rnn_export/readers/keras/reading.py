"""What the readers of Keras's layers share: where arrays come from, and where layers go to."""

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
    """A network on its way into layers.

    Attributes
    ----------
    wiring
        The layers so far.
    symbols
        Whether the input is numbers of symbols.
    input_size
        Length of a sample.
    """

    def __init__(self, source: Source, *, unpadded: bool) -> None:
        self.source = source
        self.unpadded = unpadded
        self.wiring = Wiring()
        self.symbols = False
        self.input_size = 0

    def arrays(self, node: Node, *names: str) -> list[F64]:
        """A layer's arrays in float64, of the names that Keras has for them in order; see :class:`Source`."""
        found = self.source.arrays(node, names)
        return [np.asarray(array, np.float64) for array in found]


def check_axis(node: Node, axis: object, flow: Flow) -> None:
    """See that a layer works along the features, the last axis."""
    number = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if type(number) is not int or number not in (-1, len(flow.shape)) or not flow.size:
        raise UnsupportedError(
            f"{node.title} goes along the axis {reprlib.repr(axis)} of the shape {flow.shape}, expected the last one."
        )
