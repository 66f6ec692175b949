"""JSON form of graphs, for files; reading it checks everything, as files may be hostile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_rnn.equations.graph import MOST_NODES, NAME, Builder, Graph, Shape
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.errors import ModelError
from edge_rnn.spelling import counted

__all__ = ["from_json", "to_json"]

_VERSION = 1
_MORE: Mapping[str, tuple[type, ...]] = {
    "parameter": (str,),
    "state": (str,),
    "product": (str,),
    "number": (float,),
    "part": (int, int),
}
"""Types of a node's fields after its arguments: a name, a value, or the first unit and the number of units."""


def to_json(graph: Graph) -> dict[str, Any]:
    """Convert a graph to plain data: for each node its operation, the places of its arguments, and further fields."""
    nodes = []
    for node in graph.nodes:
        more: list[Any] = [node.name] if node.name else []
        if node.op == "number":
            more = [node.number]
        elif node.op == "part":
            more = [node.start, *node.shape]
        nodes.append([node.op, list(node.args), *more])
    states = {name: [size, place] for (name, size), place in zip(graph.sizes, graph.states, strict=True)}
    return {
        "version": _VERSION, "input": graph.input_size, "nodes": nodes, "output": graph.output, "states": states
    }  # fmt: skip


def from_json(data: Any, shapes: Mapping[str, Shape]) -> Graph:
    """Build a graph from untrusted plain data: every shape is computed again, and every number checked.

    Parameters
    ----------
    data
        Result of :func:`to_json`.
    shapes
        Shapes of the parameters by name.

    Raises
    ------
    ModelError
        The data are not a valid graph, of another version, or too large.
    """
    if not isinstance(data, Mapping) or set(data) != {"version", "input", "nodes", "output", "states"}:
        raise ModelError("An equation got unknown or missing keys, expected version, input, nodes, output and states.")
    if type(data["version"]) is not int or data["version"] != _VERSION:
        raise ModelError(f"An equation got version {data['version']!r}; this edge_rnn reads {_VERSION}.")
    nodes, states = data["nodes"], data["states"]
    if not isinstance(nodes, list) or not isinstance(states, Mapping) or not 0 < len(nodes) <= MOST_NODES:
        raise ModelError(f"An equation got invalid nodes or states, expected a list of 1 to {MOST_NODES} and a table.")
    wanted: dict[str, tuple[int, int]] = {}
    for name, entry in states.items():
        fits = isinstance(entry, list) and len(entry) == 2 and all(type(each) is int for each in entry)
        if not isinstance(name, str) or not NAME.fullmatch(name) or not fits or entry[0] < 1:
            raise ModelError(f"An equation got the state {name!r} as {entry!r}, expected its length and a place.")
        wanted[name] = entry[0], entry[1]
    if type(data["input"]) is not int or data["input"] < 1:
        raise ModelError(f"An equation got an input of {str(data['input'])[:80]} values, expected at least one.")
    builder = Builder(data["input"], {name: size for name, (size, _) in wanted.items()}, shapes)
    places: list[int] = []
    for number, entry in enumerate(nodes):
        try:
            places.append(_read(builder, entry, places))
        except ModelError as error:
            raise ModelError(f"Node {number} of an equation: {error}") from None
    output = _argument(data["output"], places)
    try:
        return builder.graph(output, {name: _argument(place, places) for name, (_, place) in wanted.items()})
    except ModelError as error:
        raise ModelError(f"An equation: {error}") from None


def _read(builder: Builder, entry: Any, places: Sequence[int]) -> int:
    """Add the node that an entry describes; return its place."""
    if not isinstance(entry, list) or len(entry) < 2 or not isinstance(entry[1], list):
        raise ModelError(f"got {str(entry)[:80]}, expected an operation and a list of arguments.")
    op, given, *more = entry
    operation = OPERATIONS.get(op) if isinstance(op, str) else None
    if operation is None or len(given) > MOST_NODES:
        raise ModelError(f"got the operation {str(op)[:80]!r}, which does not exist.")
    args = [_argument(place, places) for place in given]
    if operation.rule in ("units", "reduction") and not more:
        return builder.apply(op, *args)
    if tuple(map(type, more)) != _MORE.get(op, ()) or operation.arity not in (None, len(args)):
        raise ModelError(f"{op} got {counted(len(args), 'argument')} and {str(more)[:80]}.")
    match op:
        case "input":
            return builder.input()
        case "state":
            return builder.state(*more)
        case "parameter":
            return builder.parameter(*more)
        case "number":
            return builder.number(*more)
        case "product":
            return builder.product(*more, *args)
        case "part":
            return builder.part(*args, *more)
        case _:
            return builder.concat(*args)


def _argument(place: Any, places: Sequence[int]) -> int:
    if type(place) is not int or not 0 <= place < len(places):
        raise ModelError(f"got the argument {str(place)[:80]}, expected the place of an earlier node.")
    return places[place]
