"""Compiler passes on graphs; each makes a new graph that computes the same values."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from edge_rnn.equations.graph import Builder, Graph, Node, mixed
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.errors import ModelError
from edge_rnn.kernels.lower.parts import FUSED, MOVES, SAME

__all__ = [
    "Draft",
    "fold",
    "fuse",
    "mixes",
    "push_parts",
    "rewrite",
    "settle",
    "users",
]

_MOST_NODES = 2048
_ZERO = Node("number", number=0.0)

Rule = Callable[["Draft", Node, tuple[int, ...]], int]
"""``rule(draft, node, args)``: add the replacement of a node, given the places of its new arguments; its place."""


class Draft(Builder):
    """Graph under construction, whose nodes need no checks."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.input_size, dict(graph.sizes), {}, _MOST_NODES)

    def like(self, node: Node, args: tuple[int, ...]) -> int:
        """Add the same operation with other arguments; return its place."""
        return self.put(Node(node.op, args, node.shape, node.name, node.number, node.start))

    def made(self, op: str, *args: int) -> int:
        """Add an elementwise operation with the shape of its arguments; return its place."""
        shape = next((self.nodes[a].shape for a in args if self.nodes[a].shape), ())
        return self.put(Node(op, args, shape))

    def constant(self, value: float) -> int:
        """Add a number; return its place."""
        return self.put(Node("number", number=value))


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Rewrite a graph node by node."""
    draft, places = Draft(graph), list[int]()
    for node in graph.nodes:
        places.append(rule(draft, node, tuple(places[a] for a in node.args)))
    states = tuple(places[a] for a in graph.states)
    return Graph(tuple(draft.nodes), graph.input_size, places[graph.output], graph.sizes, states).pruned()


def users(graph: Graph) -> list[list[int]]:
    """For each node, the places of its users, once per use; -1 stands for the output and the new states."""
    found: list[list[int]] = [[] for _ in graph.nodes]
    for place, node in enumerate(graph.nodes):
        for arg in node.args:
            found[arg].append(place)
    for root in graph.roots:
        found[root].append(-1)
    return found


def fold(graph: Graph) -> Graph:
    """Fold operations on constants; parameters get a scale, which later passes change: 1, or -1 for a negative one."""

    def rule(draft: Draft, node: Node, args: tuple[int, ...]) -> int:
        numpy = OPERATIONS[node.op].numpy
        if numpy is not None and args and all(draft.nodes[a].op == "number" for a in args):
            value = float(numpy(*(draft.nodes[a].number for a in args)))
            if not isfinite(value):
                raise ModelError(f"An equation has {node.op} of numbers that gives {value}, expected a finite number.")
            return draft.constant(value)
        if node.op == "parameter":
            return draft.put(Node(node.op, (), node.shape, node.name, 1.0))
        if node.op == "sub" and draft.nodes[args[0]] == _ZERO and draft.nodes[args[1]].op == "parameter":
            parameter = draft.nodes[args[1]]
            return draft.put(Node("parameter", (), parameter.shape, parameter.name, -parameter.number))
        return draft.like(node, args)

    return rewrite(graph, rule)


def settle(graph: Graph) -> Graph:
    """Store values that have to be in memory: parameters that are moved or multiplied, and uncomputed outputs."""

    def rule(draft: Draft, node: Node, args: tuple[int, ...]) -> int:
        if node.op in MOVES or node.op == "product":
            args = tuple(draft.made(SAME, a) if draft.nodes[a].op == "parameter" else a for a in args)
        return draft.like(node, args)

    graph = rewrite(graph, rule)
    draft, kept = Draft(graph), dict[int, int]()
    places = [draft.put(node) for node in graph.nodes]
    for root in graph.roots:
        op = graph.nodes[root].op
        kept[root] = draft.made(SAME, places[root]) if op in MOVES or OPERATIONS[op].rule == "leaf" else places[root]
    states = tuple(kept[place] for place in graph.states)
    return Graph(tuple(draft.nodes), graph.input_size, kept[graph.output], graph.sizes, states)


def push_parts(graph: Graph) -> Graph:
    """Push slices down: ``part(a + b)`` becomes ``part(a) + part(b)``, to rows of matrices and of parameters.

    The slices that remain are those of values that are in memory as a whole: the input, states, results of moves, and
    products that are not split into gates.
    """
    pushed: dict[tuple[int, int, int], int] = {}  # place in the draft, first unit, units: place of the slice

    def goes_through(draft: Draft, key: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
        place, start, size = key
        node = draft.nodes[place]
        if node.shape == () or OPERATIONS[node.op].rule != "units":
            return ()
        return tuple((arg, start, size) for arg in node.args)

    def part(draft: Draft, key: tuple[int, int, int]) -> int:
        place, start, size = key
        node = draft.nodes[place]
        if node.shape in ((), (size,)):
            return place
        is_gate = node.op == "product" and start % size == 0 and node.shape[0] % size == 0 and node.number == 0
        if node.op == "parameter" or is_gate:
            rows = float(node.shape[0]) if is_gate else node.number  # for a gate: rows of the whole product
            return draft.put(Node(node.op, node.args, (size,), node.name, rows, node.start + start))
        if OPERATIONS[node.op].rule == "units":
            return draft.put(Node(node.op, tuple(pushed[arg, start, size] for arg in node.args), (size,)))
        if node.op == "part":
            return draft.put(Node("part", node.args, (size,), start=node.start + start))
        return draft.put(Node("part", (place,), (size,), start=start))

    def rule(draft: Draft, node: Node, args: tuple[int, ...]) -> int:
        if node.op != "part":
            return draft.like(node, args)
        goal = (args[0], node.start, node.shape[0])
        waiting = [goal]
        while waiting:
            missing = [key for key in goes_through(draft, waiting[-1]) if key not in pushed]
            if missing:
                waiting += reversed(missing)
            else:
                key = waiting.pop()
                pushed.setdefault(key, part(draft, key))
        return pushed[goal]

    return rewrite(graph, rule)


def mixes(graph: Graph) -> Graph:
    """Rewrite ``(1 - z) * a + z * b`` as ``a + z * (b - a)``, which saves a multiplication and ``1 - z``."""

    def rule(draft: Draft, node: Node, args: tuple[int, ...]) -> int:
        found = None
        if node.op == "add" and draft.nodes[args[0]].shape == draft.nodes[args[1]].shape != ():
            found = mixed(draft.nodes, args)
        if found is None:
            return draft.like(node, args)
        z, a, b = found
        return draft.made("add", a, draft.made("mul", z, draft.made("sub", b, a)))

    return rewrite(graph, rule)


def fuse(graph: Graph) -> Graph:
    """Fuse a product whose only use is an addition into a multiply-add; if both operands are such, the first."""
    used = users(graph)

    def rule(draft: Draft, node: Node, args: tuple[int, ...]) -> int:
        if node.op == "add":
            for k in (0, 1):
                if graph.nodes[node.args[k]].op == "mul" and len(used[node.args[k]]) == 1:
                    return draft.made(FUSED, *draft.nodes[args[k]].args, args[1 - k])
        return draft.like(node, args)

    return rewrite(graph, rule)
