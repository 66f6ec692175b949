"""Rows of a graph's vectors that anything reads: a matrix that multiplies several vectors need not be stored for each.

A GRU that resets before its matrix multiplies ``h`` by the rows of two gates, and ``r * h`` by those of the third.
"""

from __future__ import annotations

from edge_rnn.equations.graph import Graph
from edge_rnn.equations.operations import OPERATIONS

__all__ = ["Rows", "row_ranges"]

Rows = tuple[int, int]
"""First row, and the one behind the last."""


def row_ranges(graph: Graph) -> list[Rows]:
    """For each node the rows to compute: those that are read, where matrices can be cut for it; else all.

    A matrix is cut where it multiplies several vectors, each by rows of its own, and all rows are used once.
    """
    pieces: dict[str, list[Rows]] = {}
    for node, rows in zip(graph.nodes, _read(graph, [True] * len(graph.nodes)), strict=True):
        if node.op == "product":
            pieces.setdefault(node.name, []).append(rows)
    whole = {node.name: node.shape[0] for node in graph.nodes if node.op == "product"}
    cut = {name for name, each in pieces.items() if len(each) > 1 and _tile(sorted(each), whole[name])}
    can: list[bool] = []
    for node in graph.nodes:
        vectors = [arg for arg in node.args if graph.nodes[arg].shape]
        is_sum = OPERATIONS[node.op].rule == "units" and bool(vectors) and all(can[arg] for arg in vectors)
        can.append(node.op == "parameter" or (node.op == "product" and node.name in cut) or is_sum)
    return _read(graph, can)


def _read(graph: Graph, can: list[bool]) -> list[Rows]:
    """The hull of the rows that are read of each node; all rows of those that cannot be cut."""
    found: list[Rows | None] = [None] * len(graph.nodes)

    def read(place: int, start: int, end: int) -> None:
        old = found[place] or (start, end)
        found[place] = min(old[0], start), max(old[1], end)

    for root in graph.roots:
        read(root, 0, graph.nodes[root].shape[0])
    for place in reversed(range(len(graph.nodes))):
        node = graph.nodes[place]
        start, end = found[place] or (0, 0)
        if not can[place]:
            start, end = found[place] = 0, (*node.shape, 1)[0]
        for arg in node.args:
            size = (*graph.nodes[arg].shape, 1)[0]
            if node.op == "part":
                read(arg, node.start + start, node.start + end)
            elif OPERATIONS[node.op].rule == "units" and graph.nodes[arg].shape:
                read(arg, start, end)
            else:
                read(arg, 0, size)
    sizes = [(*node.shape, 1)[0] for node in graph.nodes]
    kept = ("parameter", "number")  # stored as they are, and cut where they are read
    return [
        (0, n) if node.op in kept or rows is None else rows
        for node, n, rows in zip(graph.nodes, sizes, found, strict=True)
    ]


def _tile(pieces: list[Rows], whole: int) -> bool:
    """True if pieces in order cover all rows, each once."""
    return [*(start for start, _ in pieces), whole] == [0, *(end for _, end in pieces)]
