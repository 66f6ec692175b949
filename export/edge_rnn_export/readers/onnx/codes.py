"""Codes that stand for numbers: of which source each is, of which sample there, and which of its features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.onnx.drafts import Draft
from edge_rnn_export.readers.onnx.graph import Port

__all__ = ["MAX_SOURCES", "Codes", "Signal", "Source", "Value", "coded", "of_samples", "parts", "source_places"]

Codes = NDArray[np.int64]

MAX_SOURCES = 2**14
_SOURCE, _ROW = 48, 24  # bits below; of an input of the graph all that is below is the number's place in it
_FEATURE_MASK = np.int64(2**_ROW - 1)
_REST_MASK = np.int64(2**_SOURCE - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A value that is computed out of samples or states.

    Parameters
    ----------
    codes
        One for each of its numbers.
    whole
        Whether they are whole numbers: those of symbols, which a table alone may read.
    """

    codes: Codes
    whole: bool = False


Value = Signal | AnyArray | None
"""What a name in the graph stands for: traced, known numbers, or left out."""


@dataclass(slots=True, eq=False)
class Source:
    """Where numbers come from.

    Parameters
    ----------
    kind
        ``"port"``: an input of the graph; ``"y"``: what a layer puts out; ``"h"``, ``"c"``: its last states.
    draft
        The layer. For an input None until it is read: then the samples, or the layer whose state it is.
    axis
        Of an input of samples, the axis that holds the features; None if it has none.
    states
        Of an input of states: layers, ``"h"`` or ``"c"``, and where in it that state is, ``(batch, H)``.
    """

    kind: Literal["port", "y", "h", "c"]
    draft: Draft | None = None
    port: Port | None = None
    shape: tuple[int, ...] = ()
    axis: int | None = None
    states: list[tuple[Draft, str, Codes]] = field(default_factory=list)


def coded(place: int, rows: Codes | int, features: Codes) -> Codes:
    """Codes of a source; the arrays broadcast."""
    return np.asarray(np.int64(place << _SOURCE) | (np.int64(rows) << _ROW) | features)


def parts(codes: Codes) -> tuple[Codes, Codes, Codes, Codes]:
    """Sources, rows, features; and, of an input of the graph, where in it the numbers are."""
    rest = codes & _REST_MASK
    return codes >> _SOURCE, rest >> _ROW, rest & _FEATURE_MASK, rest


def source_places(codes: Codes) -> list[int]:
    """Places of the sources that codes are of, each once."""
    return [int(place) for place in np.flatnonzero(np.bincount((codes >> _SOURCE).reshape(-1)))]


def of_samples(source: Source, places: Codes) -> tuple[Codes, Codes]:
    """Rows and features of numbers of the input of samples, by their places in it."""
    if source.axis is None:
        return places, np.zeros_like(places)
    along = list(np.unravel_index(places, source.shape))
    feature = along.pop(source.axis)
    others = [length for axis, length in enumerate(source.shape) if axis != source.axis]
    return (np.ravel_multi_index(along, others) if others else np.zeros_like(places)), feature
