"""Write the source text of a kernel for one panel of units.

The text consists of templates from the table of operations, names that are made here, and numbers as ``repr`` spells
them; no text from a file gets into it. :mod:`edge_rnn.kernels.lower.build` executes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.kernels.lower.parts import FUSED, HALF_SIGMOID, SAME, SUM, Panel, Place, Scaled
from edge_rnn.kernels.lower.stages import Stage, is_free, is_leaf
from edge_rnn.kernels.lower.sums import Sum
from edge_rnn.kernels.program.record import PLACES

__all__ = ["Writer"]

_TEXTS = {FUSED: "fma({0}, {1}, {2})", HALF_SIGMOID: "sigmoid_of_twice({0})", SAME: "{0}"}
_MASK = Node("parameter", name="")
"""1 for real units, 0 for padding."""


@dataclass(slots=True, eq=False)
class Writer:
    """Writer of the kernel of a stage.

    Parameters
    ----------
    graph
        Graph after all passes.
    stage
        Nodes that the kernel computes.
    sums
        Accumulators of the graph.
    place_of
        Place of a node's value in memory.
    stackable
        See :func:`edge_rnn.kernels.lower.lowered.lower`.
    flushed
        New states whose subnormal numbers become zero.
    masks
        True if padding may not keep what it computes, see :mod:`edge_rnn.kernels.lower.padding`.
    """

    graph: Graph
    stage: Stage
    sums: list[Sum]
    place_of: Callable[[int], Place]
    stackable: frozenset[str]
    flushed: set[int]
    masks: bool
    result: Panel = field(init=False)
    inside: set[int] = field(init=False)
    names: dict[int, str] = field(init=False, default_factory=dict)
    body: list[str] = field(init=False, default_factory=list)
    loaded: dict[tuple[str, Node | int], str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.result, self.inside = Panel(self.stage.units), set(self.stage.nodes)

    def panel(self) -> Panel:
        """Write the kernel: its text, the contents of its panels, and its places."""
        accumulators = sorted(
            (p for p in self.stage.nodes if self.graph.nodes[p].op == SUM), key=lambda p: self.graph.nodes[p].number
        )
        head = list(self.products(accumulators))
        for k, place in enumerate(accumulators):
            self.names[place] = f"a{k}"
        for place in self.stage.nodes:
            if self.graph.nodes[place].op != SUM:
                self.compute(place)
            self.store(place)
        behind = len(accumulators), len(accumulators) + len(self.result.rows)
        first = f"p, m = at(w, {behind[0]} * width), at(w, {behind[1]} * width)"
        lines = (first, *head, *self.body)
        self.result.text = "def panel(records, w, arenas, unit):\n" + "".join(f"    {line}\n" for line in lines)
        return self.result

    def products(self, accumulators: list[int]) -> Iterator[str]:
        """Yield lines that load each accumulator and add its products; values that the step just stored come last."""
        by_vector: dict[tuple[int, str, int], list[tuple[int, Scaled]]] = {}
        for k, place in enumerate(accumulators):
            node = self.graph.nodes[place]
            total = self.sums[int(node.number)]
            self.result.sums.append([Scaled(row, total.scale) for row in total.rows])
            for vector, product in zip(node.args, total.products, strict=True):
                stacks = product.name in self.stackable
                # A loop has each accumulator once: what goes into the same one a second time is a loop of its own.
                turns = (by_vector.setdefault((vector, "" if stacks else product.name, turn), []) for turn in count())
                pairs = next(pairs for pairs in turns if all(k != other for other, _ in pairs))
                pairs.append((k, Scaled(product, total.scale)))
        ready = sorted(by_vector.items(), key=lambda item: not is_leaf(self.graph.nodes[item[0][0]]))
        begun: set[int] = set()
        for number, ((vector, _, _), pairs) in enumerate(ready):
            pairs.sort(key=lambda pair: (pair[1].node.name, pair[1].node.start))
            at = self.take(self.place_of(vector), 2)
            self.result.segments.append((vector, [product for _, product in pairs]))
            for k, _ in pairs:
                if k not in begun:
                    begun.add(k)
                    yield f"a{k} = load_shared(lanes, streams, w, {k} * width)"
            listed = "".join(f"a{k}, " for k, _ in pairs)
            length = f"records[0][{at + 1}]"
            yield f"({listed}), m = product{number}(({listed}), m, each(records, arenas, {at}, 0), {length})"

    def take(self, place: Place, ints: int) -> int:
        """Reserve ints of the record for a place; return the index of the first."""
        self.result.places.append((place, ints))
        return PLACES + sum(taken for _, taken in self.result.places) - ints

    def value(self, place: int) -> str:
        """Name of a node's value, after the lines that load or compute it."""
        for inner in self.unknown(place):
            node = self.graph.nodes[inner]
            if node.op == "number":
                self.names[inner] = repr(node.number)
            elif node.op == "parameter":
                self.names[inner] = self.row(node)
            elif is_free(node):
                self.compute(inner)
            else:
                source = self.place_of(inner)
                slot = self.take(source, 1)
                self.names[inner] = self.named(f"load_each(lanes, each(records, arenas, {slot}, unit))")
        return self.names[place]

    def unknown(self, place: int) -> Iterable[int]:
        """List a node, preceded by the arguments that have to be computed here; nodes that have a name are left out."""
        found: list[int] = []
        waiting, seen = [place], set[int]()
        while waiting:
            each = waiting.pop()
            if each in self.names or each in seen:
                continue
            seen.add(each)
            found.append(each)
            if is_free(self.graph.nodes[each]):
                waiting += self.graph.nodes[each].args
        return sorted(found)

    def row(self, node: Node) -> str:
        """Name of a parameter's row, after the line that loads it."""
        key = ("row", node)
        if key not in self.loaded:
            self.result.rows.append(node)
            self.loaded[key] = self.named(f"load_shared(lanes, streams, p, {len(self.result.rows) - 1} * width)")
        return self.loaded[key]

    def named(self, text: str) -> str:
        name = f"v{len(self.body)}"
        self.body.append(f"{name} = {text}")
        return name

    def compute(self, place: int) -> None:
        """Add the line that computes a node, after those that load its arguments."""
        node = self.graph.nodes[place]
        args = [self.value(arg) for arg in node.args]
        if node.op in ("minimum", "maximum") and is_leaf(self.graph.nodes[node.args[1]]):
            args.reverse()  # a NaN in the second argument is kept
        text = (_TEXTS.get(node.op) or OPERATIONS[node.op].kernel).format(*args)
        if place in self.graph.states or place == self.graph.output:
            if self.masks:
                text = f"only_where({text}, {self.row(_MASK)})"
            if place in self.flushed:
                text = f"flush_tiny({text})"
        self.names[place] = self.named(text)

    def store(self, place: int) -> None:
        """Add the lines that store a node to each of its places."""
        for target in self.targets(place):
            slot = self.take(target, 1)
            self.body.append(f"store_each({self.names[place]}, each(records, arenas, {slot}, unit))")

    def targets(self, place: int) -> Iterator[Place]:
        states = [name for name, new in self.graph.new_states.items() if new == place]
        yield from (("new", name) for name in states)
        if place == self.graph.output and not states:
            yield "out", ""
        elif not states and self.crosses(place):
            yield self.place_of(place)

    def crosses(self, place: int) -> bool:
        """Return True if another stage reads a node, directly or through a number that it recomputes."""
        reads = {place}
        for user in range(place + 1, len(self.graph.nodes)):
            node = self.graph.nodes[user]
            if reads.intersection(node.args):
                if is_free(node):
                    reads.add(user)
                elif user not in self.inside:
                    return True
        return False
