"""Join several outputs of a graph as one: their features follow one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tracing.graph import Graph, Operator
from edge_rnn_export.readers.tracing.part import is_inside, listed

__all__ = ["joined"]


def joined(graph: Graph, axes: Mapping[str, tuple[int, int]]) -> tuple[Graph, str]:
    """Return the graph with an operator that joins values, and the name of its output.

    Parameters
    ----------
    axes
        By the name of each value, its feature axis and its number of axes: equal if the axis of a single feature was
        removed.

    Raises
    ------
    UnsupportedError
        Their features are along different axes, or a value is inside a branch.
    """
    what = f"{graph.reader} cannot join {listed(list(axes))}"
    inside = [name for name in axes if is_inside(graph, name)]
    if inside:
        raise UnsupportedError(f"{what}: {inside[0][:80]!r} is inside a branch; read one value at a time by upto=.")
    along = sorted({axis for axis, _ in axes.values()})
    if len(along) > 1:
        raise UnsupportedError(f"{what}: their features are along the axes {along}; read one at a time by upto=.")
    title = ", ".join(axes)
    whole, operators = list[str](), list[Operator]()
    for name, (axis, count) in axes.items():
        whole.append(f"{title}/{len(whole)}" if axis == count else name)
        if axis == count:
            operators.append(_operator("Unsqueeze", graph, (name,), whole[-1], {"axes": [axis]}))
    operators.append(_operator("Concat", graph, whole, title, {"axis": along[0]}))
    return replace(graph, operators=(*graph.operators, *operators)), title


def _operator(
    kind: str, graph: Graph, inputs: Sequence[str], output: str, attributes: Mapping[str, object]
) -> Operator:
    return Operator(
        kind, f"/{output}", tuple(inputs), (output,), attributes, reader=graph.reader, label="join of upto="
    )
