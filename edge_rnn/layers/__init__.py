"""The layers of a model: frozen dataclasses that check their arguments.

Weights have PyTorch's names and shapes; every other convention is converted once, in its reader. Arrays are float32,
C-contiguous, finite and read-only copies of the arguments; matrices may be in a format of :mod:`edge_rnn.formats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge_rnn.layers.cell_function import CellFunction, cell
from edge_rnn.layers.dense import Add, Dense, Embedding, Standardize
from edge_rnn.layers.equation import Cell
from edge_rnn.layers.layer import INPUT, Layer, Weight
from edge_rnn.layers.recurrent import GRU, LSTM, Elman, Recurrent

__all__ = [
    "GRU",
    "INPUT",
    "LAYER_TYPES",
    "LSTM",
    "Add",
    "Cell",
    "CellFunction",
    "Dense",
    "Elman",
    "Embedding",
    "Layer",
    "Recurrent",
    "Standardize",
    "Weight",
    "cell",
]

LAYER_TYPES: Mapping[str, type[Layer]] = MappingProxyType(
    {cls.__name__: cls for cls in (Elman, LSTM, GRU, Dense, Standardize, Add, Embedding)}
)
"""Layer classes by the name that files use. Files also hold cells that are defined by an equation."""
