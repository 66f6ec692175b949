"""Lower a graph to kernels and moves, in the order in which a step runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_rnn.equations.bounds import Rule, intervals
from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import EVERYTHING, Interval, multiplied
from edge_rnn.kernels.lower.panels import written
from edge_rnn.kernels.lower.parts import Lowered, Move, Panel, Place
from edge_rnn.kernels.lower.passes import FUSED, HALF_SIGMOID, SAME, fold, fuse, mixes, push_parts, settle
from edge_rnn.kernels.lower.stages import cut
from edge_rnn.kernels.lower.sums import SUM, accumulate, halve_sigmoids

__all__ = ["lower", "ranges"]


def lower(graph: Graph, stackable: frozenset[str]) -> Lowered:
    """Lower an equation to kernels and moves.

    Parameters
    ----------
    graph
        The equation.
    stackable
        Names of matrices that may be stacked if they multiply the same vector: the float32 ones.
    """
    graph, sums = accumulate(mixes(settle(push_parts(fold(graph)))))
    graph = fuse(halve_sigmoids(graph, sums))
    states = {place: name for name, place in reversed(graph.new_states.items())}
    flushed = _flushed(graph)
    longest = max((node.shape[0] for node in graph.nodes if node.shape), default=1)

    def place_of(place: int) -> Place:
        node = graph.nodes[place]
        if node.op == "input":
            return "input", ""
        if node.op == "state":
            return "old", node.name
        if place in states:
            return "new", states[place]
        return ("out", "") if place == graph.output else ("made", place)

    steps: list[Panel | Move] = []
    for stage in cut(graph):
        if not stage.is_move:
            steps.append(written(graph, stage, sums, place_of, stackable, flushed))
            continue
        (place,) = stage.nodes
        node = graph.nodes[place]
        size = node.shape[0] if node.shape else longest
        steps.append(Move(node.op, tuple(map(place_of, node.args)), node.start, place_of(place), size))
    return Lowered(graph, tuple(steps))


def _flushed(graph: Graph) -> set[int]:
    """New states that may decay into subnormal numbers; not those made of flushed ones by operations that keep 0."""
    may: list[bool] = []
    flushed: set[int] = set()
    for place, node in enumerate(graph.nodes):
        if node.op in ("parameter", "number", HALF_SIGMOID):
            decays = False
        elif node.op in ("mul", "tanh", SAME):
            decays = any(may[arg] for arg in node.args)
        else:
            decays = True
        if place in graph.states:
            if decays:
                flushed.add(place)
            decays = False
        may.append(decays)
    return flushed


def ranges(
    graph: Graph, x: Interval, states: Mapping[str, Interval], parameters: Mapping[str, Interval]
) -> list[Interval]:
    """Compute an interval for each node of a lowered graph, see :func:`edge_rnn.equations.bounds.intervals`."""

    def parameter(graph: Graph, node: Node, found: Sequence[Interval]) -> Interval:
        low, high = parameters.get(node.name, EVERYTHING)
        return node.number * low, node.number * high

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
