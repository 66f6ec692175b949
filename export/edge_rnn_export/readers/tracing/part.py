"""Take the part of a graph between two values, and give inputs constant values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port

__all__ = ["is_inside", "listed", "names_read", "part_of"]


def part_of(
    graph: Graph, upto: str | None, after: str | None, given: Mapping[str, ArrayLike], states: Sequence[str] = ()
) -> Graph:
    """Return the graph from the value ``after`` up to the value ``upto``, with constants for inputs.

    Outputs that hold new values of ``states`` stay, if the part reads a state.

    Raises
    ------
    InputError
        A name does not exist, or ``upto`` does not depend on ``after``.
    UnsupportedError
        The shape of the value ``after`` is unknown.
    """
    graph = _with_constants(graph, given)
    if upto is None and after is None:
        return graph
    known = dict(_produced(graph))
    for name, value in (("upto", upto), ("after", after)):
        if value is not None and value not in known:
            raise InputError(
                f"{graph.reader} {name} names {value!r}, which no operator produces; expected one of "
                f"{listed(list(known))}."
            )
    outputs = graph.outputs if upto is None else (upto, *(each for each in graph.outputs if each != upto))
    reader = replace(graph, operators=_needed(graph.operators, outputs[:1] if upto else outputs, after))
    if upto is not None and not known[upto] and after is None and states:
        reader = replace(graph, operators=_needed(graph.operators, (upto, *states), None))
    if upto is not None and known[upto]:
        reader = replace(reader, operators=_entered(reader.operators, upto, after))
    if after is None:
        return reader
    if after not in graph.shapes:
        raise UnsupportedError(
            f"{graph.reader} after names {after!r}, whose shape the file does not tell; expected one that it does, "
            f"such as onnx.shape_inference.infer_shapes adds."
        )
    read = set(_read(reader.operators))
    if after not in read:
        raise InputError(
            f"{graph.reader} upto names a value that does not depend on {after!r}, the one named by after."
        )
    ports = tuple(port for port in graph.inputs if port.name in read)
    constants = {name: value for name, value in reader.constants.items() if name in read}
    return replace(reader, inputs=(Port(after, graph.shapes[after]), *ports), constants=constants)


def is_inside(graph: Graph, name: str) -> bool:
    """True if an operator produces a value inside the body of another."""
    return dict(_produced(graph)).get(name, False)


def listed(names: Sequence[str]) -> str:
    """Spell names for a message, the first dozen of many."""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(repr(name[:80]) for name in names[:12]) + more


def _with_constants(graph: Graph, given: Mapping[str, ArrayLike]) -> Graph:
    ports = {port.name: port for port in graph.inputs}
    constants = dict(graph.constants)
    for name, value in given.items():
        if name not in ports:
            raise InputError(
                f"{graph.reader} given names {name!r}, which is no input; expected one of {listed(list(ports))}."
            )
        array = np.asarray(value, np.int64 if ports[name].integers else np.float32)
        constants[name] = Constant.of(array.reshape(()) if not ports[name].shape else array)
    if not given:
        return graph
    inputs = tuple(port for port in graph.inputs if port.name not in given)
    return replace(graph, inputs=inputs, constants=constants)


def _produced(graph: Graph, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the names of values that operators produce, each with True if it is inside the body of another."""
    for operator in graph.operators:
        yield from ((name, inside) for name in operator.outputs if name)
        if operator.kind == "If":
            for body in operator.bodies.values():
                yield from _produced(body, True)


def _needed(operators: Iterable[Operator], outputs: Sequence[str], after: str | None) -> tuple[Operator, ...]:
    """Operators that outputs depend on, in order, none behind ``after``; branches are cut alike."""
    wanted, found = set(outputs), []
    for operator in reversed(list(operators)):
        inside = {name for body in operator.bodies.values() for name, _ in _produced(body)}
        if not wanted.intersection(operator.outputs) and not wanted.intersection(inside):
            continue
        if after is not None and after in operator.outputs:
            continue
        if operator.kind == "If":
            operator = _cut(operator, wanted & inside, after)
        wanted.update(operator.inputs)
        for body in operator.bodies.values():
            wanted.update(_read(body.operators))
            wanted.update(body.outputs)
        found.append(operator)
    return tuple(found[::-1])


def _cut(operator: Operator, wanted: set[str], after: str | None) -> Operator:
    """Return an If whose branches compute the wanted values alone."""
    bodies = {
        name: replace(body, operators=_needed(body.operators, (*body.outputs, *wanted), after))
        for name, body in operator.bodies.items()
    }
    return replace(operator, bodies=bodies)


def _entered(operators: Sequence[Operator], upto: str, after: str | None) -> tuple[Operator, ...]:
    """Operators with those of the branches around ``upto`` in the place of each If."""
    found: list[Operator] = []
    for operator in operators:
        inside = [body for body in operator.bodies.values() if upto in dict(_produced(body))]
        if operator.kind != "If" or not inside:
            found.append(operator)
            continue
        (body,) = inside[:1]
        found += [_constant(name, each) for name, each in body.constants.items()]
        found += _entered(_needed(body.operators, (upto,), after), upto, after)
        break
    return _needed(found, (upto,), after)


def _constant(name: str, value: Constant) -> Operator:
    return Operator("Constant", name, (), (name,), {"value": value})


def _read(operators: Iterable[Operator]) -> Iterator[str]:
    """Names of values that operators read, also inside their bodies."""
    for operator in operators:
        yield from operator.inputs
        for body in operator.bodies.values():
            yield from body.outputs
            yield from _read(body.operators)


def names_read(graph: Graph) -> set[str]:
    """Names of values that the operators of a graph read."""
    return set(_read(graph.operators))
