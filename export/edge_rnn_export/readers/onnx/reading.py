"""Read ONNX graphs: those that edge_rnn wrote from their metadata, all others by tracing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from numpy.typing import ArrayLike

from edge_rnn.errors import EdgeRnnError, FileError
from edge_rnn.model import Description
from edge_rnn_export.readers.onnx.file import open_model
from edge_rnn_export.readers.onnx.graph import graph_of
from edge_rnn_export.readers.onnx.own import is_own, own_model
from edge_rnn_export.readers.onnx.shapes import inferred
from edge_rnn_export.readers.tracing.damage import DAMAGED, reason_of
from edge_rnn_export.readers.tracing.walk import Reading, read_graph

__all__ = ["read_onnx"]


def read_onnx(
    source: str | PathLike[str] | bytes | Any,
    upto: str | Sequence[str] | None,
    about: Description,
    *,
    after: str | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    states: Mapping[str, str] | None = None,
) -> Reading:
    """See :func:`~edge_rnn_export.from_onnx`."""
    unknown = about.keys() - Description.__annotations__.keys()
    if unknown:
        raise TypeError(f"from_onnx() got an unexpected keyword argument {min(unknown)!r}")
    proto, folder = open_model(source)
    try:
        if upto is None and after is None and not given and is_own(proto):
            return Reading(own_model(proto, folder, about), "y")
        graph = graph_of(proto, folder)
        if after is not None and after not in graph.shapes:
            graph = replace(graph, shapes=inferred(proto))
    except EdgeRnnError:
        raise
    except DAMAGED as error:
        raise FileError(f"from_onnx got a damaged graph: {reason_of(error)}.") from None
    return read_graph(graph, upto, about, after=after, given=given, states=states)
