"""Find accumulators: products that always occur in the same sums share one, which starts from their biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.kernels.lower.parts import HALF_SIGMOID, SUM
from edge_rnn.kernels.lower.passes import Draft, rewrite, users

__all__ = ["Sum", "accumulate", "halve_sigmoids"]

_MOST_LEAVES = 64
_MOST_HALVED = 32


@dataclass(slots=True)
class Sum:
    """Accumulator.

    Parameters
    ----------
    products
        Nodes of the products that are added; their vectors are the arguments of the graph's node.
    rows
        Parameters that it starts from.
    scale
        Power of two that scales all of it.
    """

    products: list[Node]
    rows: list[Node]
    scale: float = 1.0


def accumulate(graph: Graph) -> tuple[Graph, list[Sum]]:
    """Replace sums of products by accumulators: one for each class of products that always occur in the same sums."""
    nodes, used = graph.nodes, users(graph)
    leaves = _leaves(graph)
    roots = [
        place
        for place, parts in enumerate(leaves)
        if any(nodes[leaf].op == "product" for leaf in parts)
        and any(user < 0 or place not in _opened(graph, leaves, user) for user in used[place])
    ]
    where: dict[int, set[int]] = {}
    for root in roots:
        for leaf in leaves[root]:
            if nodes[leaf].op == "product":
                where.setdefault(leaf, set()).add(root)
    sums: list[Sum] = []
    number_of: dict[frozenset[int], int] = {}
    sum_of: dict[int, int] = {}
    for leaf in sorted(where):
        key = frozenset(where[leaf])
        if key not in number_of:
            number_of[key] = len(sums)
            sums.append(Sum([], []))
        sum_of[leaf] = number_of[key]
        sums[sum_of[leaf]].products.append(nodes[leaf])
    absorbed: dict[int, set[int]] = {}
    for classes, number in number_of.items():
        root = min(classes)
        if len(classes) == 1 and root not in absorbed:
            rows = [leaf for leaf in leaves[root] if nodes[leaf].op == "parameter" and nodes[leaf].shape]
            sums[number].rows = [nodes[row] for row in rows]
            absorbed[root] = set(rows)
    places: list[int] = []  # place in the draft of each old node, filled in step with rewrite

    def rule(draft: Draft, node: Node, args: tuple[int, ...]) -> int:
        place = len(places)
        places.append(_summed(draft, place) if place in chosen else draft.like(node, args))
        return places[-1]

    def _summed(draft: Draft, root: int) -> int:
        parts = leaves[root]
        made = []
        for number in dict.fromkeys(sum_of[leaf] for leaf in parts if nodes[leaf].op == "product"):
            vectors = tuple(places[arg] for product in sums[number].products for arg in product.args)
            made.append(draft.put(Node(SUM, vectors, nodes[root].shape, number=float(number))))
        taken = absorbed.get(root, set())
        made += [places[leaf] for leaf in parts if nodes[leaf].op != "product" and leaf not in taken]
        whole = made[0]
        for value in made[1:]:
            whole = draft.made("add", whole, value)
        return whole

    chosen = set(roots)
    return rewrite(graph, rule), sums


def _leaves(graph: Graph) -> list[tuple[int, ...]]:
    """For each node, the terms of its sum; the node itself if it is not a sum, or one that stays closed."""
    nodes, found = graph.nodes, list[tuple[int, ...]]()
    for place, node in enumerate(nodes):
        terms: tuple[int, ...] = (place,)
        if node.op == "add" and node.shape and all(nodes[a].shape == node.shape for a in node.args):
            opened = tuple(leaf for arg in node.args for leaf in found[arg])
            products = [leaf for leaf in opened if nodes[leaf].op == "product"]
            # A sum that has the same product twice cannot be one accumulator, and a very long one is not worth it.
            if products and len(set(opened)) == len(opened) <= _MOST_LEAVES:
                terms = opened
        found.append(terms)
    return found


def _opened(graph: Graph, leaves: Sequence[tuple[int, ...]], user: int) -> tuple[int, ...]:
    """Arguments of a node whose terms are part of its own sum."""
    return graph.nodes[user].args if leaves[user] != (user,) else ()


def halve_sigmoids(graph: Graph, sums: Sequence[Sum]) -> Graph:
    """Rewrite ``sigmoid(z)`` as the sigmoid of twice ``z / 2``, with the half folded into weights with no other use."""
    nodes, used = graph.nodes, users(graph)
    halved: dict[int, int] = {}  # place in the draft of each old node

    def half(draft: Draft, place: int, new: int, depth: int = 0) -> int:
        """Add half of an old node's value, given the node's new place; return its place."""
        old, once = nodes[place], len(used[place]) == 1
        if old.op == SUM and once:
            sums[int(old.number)].scale = 0.5
            return new
        if old.op in ("parameter", "number"):
            return draft.put(Node(old.op, (), old.shape, old.name, 0.5 * old.number, old.start))
        if once and depth < _MOST_HALVED:
            if old.op in ("add", "sub", "minimum", "maximum"):
                return draft.made(old.op, *(half(draft, a, halved[a], depth + 1) for a in old.args))
            if old.op == "mul":
                for k in (1, 0):
                    if nodes[old.args[k]].op in ("parameter", "number"):
                        args = [halved[a] for a in old.args]
                        args[k] = half(draft, old.args[k], args[k])
                        return draft.made("mul", *args)
        return draft.made("mul", new, draft.constant(0.5))

    def rule(draft: Draft, node: Node, args: tuple[int, ...]) -> int:
        place = len(halved)
        if node.op == "sigmoid":
            halved[place] = draft.made(HALF_SIGMOID, half(draft, node.args[0], args[0]))
        else:
            halved[place] = draft.like(node, args)
        return halved[place]

    return rewrite(graph, rule)
