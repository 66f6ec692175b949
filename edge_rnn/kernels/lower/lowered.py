"""Lower a graph to kernels and moves, in the order in which a step runs them."""

from __future__ import annotations

from edge_rnn.equations.graph import Graph
from edge_rnn.kernels.lower.padding import needs_mask
from edge_rnn.kernels.lower.panels import Writer
from edge_rnn.kernels.lower.parts import HALF_SIGMOID, SAME, Lowered, Move, Panel, Place
from edge_rnn.kernels.lower.passes import fold, fuse, mixes, push_parts, settle
from edge_rnn.kernels.lower.stages import cut
from edge_rnn.kernels.lower.sums import accumulate, halve_sigmoids

__all__ = ["lower"]


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
    flushed, masks = _flushed(graph), needs_mask(graph)
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
            steps.append(Writer(graph, stage, sums, place_of, stackable, flushed, masks).panel())
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
