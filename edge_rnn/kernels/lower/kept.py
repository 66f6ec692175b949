"""Cache of lowered graphs, next to the images, so that later starts neither trace equations nor lower them.

A file is named after a hash of everything that the graph and its kernels depend on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import astuple
from typing import Any

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry.shipped_kernels import shipped_kernels
from edge_rnn.kernels.lower.parts import Lowered, Move, Panel, Scaled
from edge_rnn.kernels.lower.template import filled, template_of

__all__ = ["kept"]

_MOST = 256
_lowered: dict[tuple[Hashable, frozenset[str]], Lowered] = {}


def kept(recorded_from: Hashable, graph: Callable[[], Graph | None], stackable: frozenset[str]) -> Lowered:
    """Return the result of :func:`edge_rnn.kernels.lower.lowered.lower`, from the cache if possible.

    Parameters
    ----------
    recorded_from
        The graph, or another value whose ``repr`` identifies the graph.
    graph
        Function that returns the graph; called only if the cache has no result.
    stackable
        See :func:`edge_rnn.kernels.lower.lowered.lower`.
    """
    key = recorded_from, stackable
    if key not in _lowered:

        def make() -> str:
            from edge_rnn.kernels.lower.lowered import lower

            found = graph()
            assert found is not None, recorded_from
            return json.dumps(astuple(lower(found, stackable)))

        while len(_lowered) >= _MOST:
            del _lowered[next(iter(_lowered))]
        text = _shipped(recorded_from) or object_cache.kept_text(repr((recorded_from, sorted(stackable))), make)
        _lowered[key] = _read(text)
    return _lowered[key]


def _shipped(recorded_from: Hashable) -> str | None:
    shipped, found = shipped_kernels(), template_of(recorded_from)
    if shipped is None or found is None:
        return None
    name, sizes = found
    text = shipped.text(name)
    return None if text is None else filled(text, sizes)


def _read(text: str) -> Lowered:
    (nodes, input_size, output, sizes, states), steps = json.loads(text)
    lengths = tuple((name, size) for name, size in sizes)
    graph = Graph(tuple(map(_node, nodes)), input_size, output, lengths, tuple(states))
    return Lowered(graph, tuple(_move_of(*step) if isinstance(step[0], str) else _panel_of(*step) for step in steps))


def _node(plain: list[Any]) -> Node:
    op, args, shape, name, number, start = plain
    return Node(op, tuple(args), tuple(shape), name, number, start)


def _move_of(op: str, sources: Any, start: int, target: Any, size: int) -> Move:
    return Move(op, tuple(map(tuple, sources)), start, tuple(target), size)


def _panel_of(units: int, text: str, sums: Any, rows: Any, segments: Any, places: Any) -> Panel:
    def scaled(all_: Any) -> list[Scaled]:
        return [Scaled(_node(node), scale) for node, scale in all_]

    multiplied = [(vector, scaled(products)) for vector, products in segments]
    kept_places = [((kind, key), ints) for (kind, key), ints in places]
    return Panel(units, text, list(map(scaled, sums)), list(map(_node, rows)), multiplied, kept_places)
