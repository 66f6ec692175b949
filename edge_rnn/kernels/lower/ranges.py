"""Intervals of a lowered graph's values, by which vectors are rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_rnn.equations.bounds import Rule, intervals
from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import EVERYTHING, Interval, multiplied
from edge_rnn.kernels.lower.parts import FUSED, HALF_SIGMOID, SAME, SUM

__all__ = ["ranges"]


def ranges(
    graph: Graph, x: Interval, states: Mapping[str, Interval], parameters: Mapping[str, Interval]
) -> list[Interval]:
    """Compute an interval for each node of a lowered graph, see :func:`edge_rnn.equations.bounds.intervals`."""

    def parameter(graph: Graph, node: Node, found: Sequence[Interval]) -> Interval:
        return multiplied((node.number, node.number), parameters.get(node.name, EVERYTHING))

    def fused(graph: Graph, node: Node, found: Sequence[Interval]) -> Interval:
        z, gap, a = node.args
        inner = graph.nodes[gap]
        if inner.op == "sub" and inner.args[1] == a and found[z][0] >= 0 and found[z][1] <= 1:  # a + z * (b - a)
            b = inner.args[0]
            return min(found[a][0], found[b][0]), max(found[a][1], found[b][1])
        lows, highs = zip(multiplied(found[z], found[gap]), found[a], strict=True)
        return sum(lows), sum(highs)

    rules: dict[str, Rule] = {
        "parameter": parameter,
        SUM: lambda graph, node, found: EVERYTHING,
        HALF_SIGMOID: lambda graph, node, found: (0.0, 1.0),
        SAME: lambda graph, node, found: found[node.args[0]],
        FUSED: fused,
    }
    return intervals(graph, x, states, parameters, rules)
