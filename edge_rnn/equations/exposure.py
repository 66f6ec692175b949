"""Exposure of a graph's values: those that cannot be NaN while the output has numbers alone."""

from __future__ import annotations

from enum import IntEnum

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import OPERATIONS

__all__ = ["exposed"]

_ZERO = Node("number", number=0.0)


class _Exposed(IntEnum):
    """Values of a vector that have to be NaN for the output to have a NaN."""

    NEVER = 0
    IF_ALL = 1
    IF_ANY = 2


def exposed(graph: Graph) -> list[bool]:
    """For each node, return True if a NaN among its values always makes a value of the output NaN.

    False may also mean that no proof was found. What kernels compute decides: of a minimum or maximum they keep the NaN
    of one argument only.
    """
    nodes = graph.nodes
    found = [_Exposed.NEVER] * len(nodes)
    found[graph.output] = _Exposed.IF_ANY
    pieces: dict[int, list[tuple[int, int]]] = {}  # exposed slices of a vector: start, end

    def read(place: int, how: _Exposed) -> None:
        found[place] = max(found[place], how)

    for place in reversed(range(len(nodes))):
        node = nodes[place]
        if place in pieces and _covers(pieces[place], node.shape[0]):
            read(place, _Exposed.IF_ANY)
        if not found[place]:
            continue
        if node.op == "part":
            (whole,) = node.args
            read(whole, _Exposed.IF_ALL)
            if found[place] == _Exposed.IF_ANY:
                pieces.setdefault(whole, []).append((node.start, node.start + node.shape[0]))
        elif node.op in ("product", "total"):  # one NaN makes all rows NaN
            read(node.args[0], _Exposed.IF_ANY)
        elif node.op == "concat" and found[place] == _Exposed.IF_ANY:
            for arg in node.args:
                read(arg, _Exposed.IF_ANY)
        elif OPERATIONS[node.op].rule == "units":
            for arg in _kept(nodes, node):
                read(arg, found[place] if nodes[arg].shape else _Exposed.IF_ANY)
    return [each == _Exposed.IF_ANY for each in found]


def _kept(nodes: tuple[Node, ...], node: Node) -> tuple[int, ...]:
    """Arguments whose NaN an elementwise operation keeps."""
    if node.op == "above":
        return node.args[:1]
    if node.op not in ("minimum", "maximum"):
        return node.args
    limit = nodes[node.args[1]]
    negated = limit.op == "sub" and nodes[limit.args[0]] == _ZERO and nodes[limit.args[1]].op == "parameter"
    return node.args[:1] if negated or OPERATIONS[limit.op].rule == "leaf" else node.args[1:]


def _covers(pieces: list[tuple[int, int]], size: int) -> bool:
    end = 0
    for start, stop in sorted(pieces):
        if start > end:
            return False
        end = max(end, stop)
    return end == size
