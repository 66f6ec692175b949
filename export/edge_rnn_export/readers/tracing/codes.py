"""Provenance codes: pack (source, sample, feature) of each traced value into one int64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.graph import Port

__all__ = [
    "MAX_SOURCES",
    "Codes",
    "Signal",
    "Source",
    "Value",
    "coded",
    "indexed",
    "of_samples",
    "parts",
    "source_places",
]

Codes = NDArray[np.int64]

MAX_SOURCES = 2**15
_SOURCE, _ROW = 48, 24  # bits below; for an input of the graph, all lower bits are the value's index in it
_FEATURE_MASK = np.int64(2**_ROW - 1)
_REST_MASK = np.int64(2**_SOURCE - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """Value computed from samples or states.

    Parameters
    ----------
    codes
        One code per element.
    whole
        True for integers: symbol ids, which only a table may read.
    """

    codes: Codes
    whole: bool = False


Value = Signal | AnyArray | None
"""Value of a name in the graph: traced, constant, or omitted."""


@dataclass(slots=True, eq=False)
class Source:
    """Source of traced values.

    Parameters
    ----------
    kind
        ``"port"``: an input of the graph; ``"y"``: the output of a layer; ``"h"``, ``"c"``: its final states;
        ``"start"``: constants in the place of a signal, such as the state before the first step.
    draft
        The layer. For an input, None until it is read; then the samples, or the layer whose state it is.
    axis
        For an input of samples, the feature axis; None if it has none.
    states
        For an input of states: layers, the name of the state, and the indices of that state, ``(batch, H)``.
    numbers
        Of ``"start"``: the constants, flat.
    """

    kind: Literal["port", "y", "h", "c", "start"]
    draft: Draft | None = None
    port: Port | None = None
    shape: tuple[int, ...] = ()
    axis: int | None = None
    states: list[tuple[Draft, str, Codes]] = field(default_factory=list)
    numbers: AnyArray | None = None


def coded(place: int, rows: Codes | int, features: Codes) -> Codes:
    """Codes of values of a layer, which are broadcast; rows are -1 or more."""
    return np.asarray(np.int64(place << _SOURCE) | (np.int64(rows) + 1 << _ROW) | features)


def indexed(place: int, indices: Codes) -> Codes:
    """Codes of values of an input of the graph, or of constants, by their indices."""
    return np.asarray(np.int64(place << _SOURCE) | indices)


def parts(codes: Codes) -> tuple[Codes, Codes, Codes, Codes]:
    """Unpack sources, rows, features and, for an input of the graph and for constants, indices."""
    rest = codes & _REST_MASK
    return codes >> _SOURCE, (rest >> _ROW) - 1, rest & _FEATURE_MASK, rest


def source_places(codes: Codes) -> list[int]:
    """Indices of the sources that occur in the codes, each once."""
    return [int(place) for place in np.flatnonzero(np.bincount((codes >> _SOURCE).reshape(-1)))]


def of_samples(source: Source, places: Codes) -> tuple[Codes, Codes]:
    """Rows and features of values in the samples' input, from their indices in it."""
    if source.axis is None:
        return places, np.zeros_like(places)
    along = list(np.unravel_index(places, source.shape))
    feature = along.pop(source.axis)
    others = [length for axis, length in enumerate(source.shape) if axis != source.axis]
    return (np.ravel_multi_index(along, others) if others else np.zeros_like(places)), feature
