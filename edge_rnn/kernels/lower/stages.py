"""Cut a graph into the stages of a step, where a product or a move reads a value that the step itself computes.

Products with the input and with old states are in the first stage. A product with a value of this step has to wait
until all units of that value have been computed: it belongs to a later stage, whose kernel reads the value from memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.kernels.lower.parts import HALF_SIGMOID, MOVES, SUM
from edge_rnn.kernels.lower.passes import users

__all__ = ["Stage", "cut", "is_free", "is_leaf", "order_of"]

_LEAVES = ("input", "state", "parameter", "number")


@dataclass(frozen=True, slots=True)
class Stage:
    """Nodes of one kernel, or one move, by place; each after its arguments. A move has no units."""

    level: int
    units: int
    nodes: tuple[int, ...]
    is_move: bool = False


def is_leaf(node: Node) -> bool:
    """Return True if a node's value is known before the step begins."""
    return node.op in _LEAVES


def is_free(node: Node) -> bool:
    """Return True if every kernel recomputes a node that it reads: a single number computed from single numbers."""
    return node.shape == () and node.op not in MOVES and not is_leaf(node)


def cut(graph: Graph) -> list[Stage]:
    """Cut a graph into stages, in the order in which they have to run."""
    level = _levels(graph)
    _sink(graph, level)
    order = order_of(graph)
    kernels: dict[tuple[int, int], list[int]] = {}
    stages: list[Stage] = []
    for place in order:
        node = graph.nodes[place]
        if node.op in MOVES:
            stages.append(Stage(level[place], 0, (place,), is_move=True))
        elif not is_leaf(node) and not is_free(node):
            kernels.setdefault((level[place], node.shape[0]), []).append(place)
    stages += [Stage(at, units, tuple(nodes)) for (at, units), nodes in kernels.items()]
    return sorted(stages, key=lambda stage: (stage.level, stage.is_move, stage.units))


def _levels(graph: Graph) -> list[int]:
    """Stage of each node; a move runs after the kernels of its stage."""
    level: list[int] = []
    for node in graph.nodes:
        ready = [
            level[arg] + (graph.nodes[arg].op in MOVES or (node.op == SUM and not is_leaf(graph.nodes[arg])))
            for arg in node.args
            if graph.nodes[arg].op not in ("parameter", "number")
        ]
        if is_leaf(node):
            level.append(-1)
        elif node.op in MOVES:
            level.append(max((level[arg] for arg in node.args), default=-1))
        else:
            level.append(max((0, *ready)))
    return level


def _sink(graph: Graph, level: list[int]) -> None:
    """Move nodes that only later stages use there, if no additional value has to be stored for it."""
    nodes, used = graph.nodes, users(graph)
    for place in reversed(range(len(nodes))):
        node, mine = nodes[place], used[place]
        if is_leaf(node) or node.op in (SUM, *MOVES) or -1 in mine:
            continue
        if any(nodes[user].op in (SUM, *MOVES) for user in mine):
            continue
        later = min(level[user] for user in mine)
        crosses = (any(u >= 0 and u != place and level[u] >= later for u in used[arg]) for arg in _made(graph, node))
        if later > level[place] and all(crosses):
            level[place] = later


def _made(graph: Graph, node: Node) -> list[int]:
    return [arg for arg in node.args if not is_leaf(graph.nodes[arg]) and graph.nodes[arg].op not in MOVES]


def order_of(graph: Graph) -> list[int]:
    """Order all nodes so that each follows its arguments, and the argument with the longest latency comes first.

    Latency is counted in slow operations that are still to be done: they queue for the divider, so the value that
    everything else waits for should enter the queue first. Ties keep the order of the equation. Fast operations come
    right before the first slow operation, or the first output, that needs them.
    """
    nodes = graph.nodes
    seen = [False] * len(nodes)
    order: list[int] = []
    for root in graph.roots:
        waiting = [] if seen[root] else [root]
        while waiting:
            place = waiting[-1]
            missing = [arg for arg in dict.fromkeys(nodes[place].args) if not seen[arg]]
            if seen[place] or not missing:
                waiting.pop()
                if not seen[place]:
                    seen[place] = True
                    order.append(place)
                continue
            if len(missing) > 1:
                left = _left(nodes, seen, place)
                missing.sort(key=lambda arg: left[arg], reverse=True)
            waiting.append(missing[0])
    return _late(graph, order)


def _late(graph: Graph, order: Sequence[int]) -> list[int]:
    """Keep the order of slow nodes and of outputs; move all others right before the first of these that needs them."""
    nodes, late, done = graph.nodes, list[int](), set[int]()
    for place in order:
        if not _is_slow(nodes[place]) and place not in graph.roots:
            continue
        needed, waiting = set[int](), [place]
        while waiting:
            each = waiting.pop()
            if each not in done:
                done.add(each)
                needed.add(each)
                waiting += nodes[each].args
        late += (each for each in order if each in needed)
    return late


def _left(nodes: Sequence[Node], seen: Sequence[bool], stop: int) -> list[int]:
    """For each node before ``stop``, the number of slow operations in its longest chain that are still to be done."""
    left: list[int] = []
    for place in range(stop):
        node = nodes[place]
        left.append(0 if seen[place] else _is_slow(node) + max((left[arg] for arg in node.args), default=0))
    return left


def _is_slow(node: Node) -> bool:
    return node.op in (SUM, HALF_SIGMOID) or (node.op in OPERATIONS and OPERATIONS[node.op].is_slow)
