"""Lengths with which a graph is traced: those that its constants speak of, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator

__all__ = ["LENGTHS", "REMEDY", "TooLongError", "far_length", "lengths_told", "open_axes"]

REMEDY = "expected sequences of a few thousand steps or of open length"
"""Way out for graphs that take too much to trace."""

LENGTHS = ((3, 5, 2, 7, 4, 6), (13, 11, 17, 8, 19, 9))
"""Lengths of open axes, in turn. An operation with a fixed number on an open axis gives other results for the two."""

_MOST_LENGTHS, _LONGEST = 8, 512  # that are tried where a length is fixed
_NEAR, _FAR = min(LENGTHS[1]), 1024
_COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_OF_SHAPES = ("ConstantOfShape", "Expand", "Reshape", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze")


class TooLongError(UnsupportedError):
    """Tracing takes more memory or work than allowed."""


def open_axes(graph: Graph) -> list[str]:
    """Names of the open axes of a graph's inputs, each once."""
    axes = [(port.name, place, length) for port in graph.inputs for place, length in enumerate(port.shape)]
    found = [length or f"{port} {place}" for port, place, length in axes if not isinstance(length, int)]
    return list(dict.fromkeys(found))


def far_length(graph: Graph) -> int:
    """Length beyond all places that constants of a graph speak of, such as the end of a slice; 0 if there is none."""
    places = [place for place in _places(graph) if _NEAR < place <= _FAR]
    return max(places) + 3 if places else 0


def _places(graph: Graph) -> Iterator[int]:
    numbers = _constants(graph)
    for operator in graph.operators:
        for body in operator.bodies.values():
            yield from _places(body)
        if operator.kind in _OF_SHAPES:
            continue
        for constant in (numbers.get(name) for name in operator.inputs):
            if isinstance(constant, Constant) and (not constant.floating or operator.kind in _COMPARISONS):
                values = np.asarray(constant.load()).reshape(-1)
                if values.dtype.kind in "iuf" and values.size and np.isfinite(values).all():
                    yield from (int(min(abs(each), 2**31)) for each in (values.min(), values.max()))


def _constants(graph: Graph) -> Mapping[str, Any]:
    made = {each.outputs[0]: each.attributes.get("value") for each in graph.operators if each.kind == "Constant"}
    return {**graph.constants, **made}


def lengths_told(graph: Graph) -> list[int]:
    """Lengths that a graph may have fixed: numbers of parts, and those in constants for shapes and places, by use."""
    numbers = _constants(graph)
    found = Counter(len(each.outputs) for each in graph.operators if each.kind == "Split")
    places: dict[str, set[int]] = {}
    for operator in graph.operators:
        values = list(_integers(operator, numbers))
        if operator.kind in ("Reshape", "Expand"):
            found.update(values)
        elif operator.kind == "Gather":
            places.setdefault(operator.inputs[0], set()).update(values)
    for read in places.values():  # each step by itself
        if read == set(range(len(read))):
            found[len(read)] += len(graph.operators)
    return [count for count, _ in found.most_common(_MOST_LENGTHS) if 2 < count <= _LONGEST]


def _integers(operator: Operator, numbers: Mapping[str, Any]) -> Iterator[int]:
    for constant in (numbers.get(name) for name in operator.inputs[1:]):
        if (
            isinstance(constant, Constant)
            and not constant.floating
            and (array := constant.load()).size <= _MOST_LENGTHS
        ):
            yield from (int(value) for value in array.reshape(-1))
