"""States that are inputs and outputs of a graph: pair them, and connect old values with new ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Layer
from edge_rnn_export.readers.tracing.codes import Signal, Source
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.features import features
from edge_rnn_export.readers.tracing.graph import Graph, Operator
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.trace import Trace
from edge_rnn_export.readers.tracing.units import joined

__all__ = ["MayBeStateError", "Pair", "bind_states", "check_crossed", "check_states", "is_state"]
__all__ += ["new_values", "pairs_of", "stem_of"]

_DIRECTIONS = r"(^|[_.:/-])(in|out|input|output|old|new|prev|previous|next|n|0|1|initial|final)(?=$|[_.:/-])"
_STATE = re.compile(r"(^|[^a-z])(h|hx|cx|hn|cn|hidden|cell|states?|memory|carry|cache)($|[^a-z])")
_CELL_STATE = re.compile(r"(^|[^a-z])c($|[^a-z])")  # next to a state h: alone, it may be a condition
_LETTER = re.compile(r"([hc])(0|n|x|t)")


class MayBeStateError(UnsupportedError):
    """An input may be a state or a second input of samples."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Output with the new value of a state that is an input; ``named`` if a name or an argument makes sure of it."""

    output: str
    named: bool


def pairs_of(trace: Trace, states: Mapping[str, str], *, ordered: bool) -> dict[str, Pair]:
    """Pair the inputs that are read as states with outputs.

    Names tell where they can, as in ``h_in`` and ``h_out``; else inputs and outputs of a shape have the same order.

    Parameters
    ----------
    states
        Names of inputs, and of outputs with their new values, as given.
    ordered
        True if the order of several states is sure, or compared afterwards.

    Raises
    ------
    InputError
        A name in ``states`` does not exist.
    """
    graph = trace.graph
    for name, output in states.items():
        if name not in {port.name for port in graph.inputs} or output not in trace.values:
            raise InputError(f"{graph.reader} states pairs {name!r} with {output!r}, expected an input and a value.")
    ports = [trace.sources[place] for place in sorted({place for place, _ in trace.leaves})]
    found = {name: Pair(output, True) for name, output in states.items()}
    for shape in {port.shape for port in ports}:
        names = [port.port.name for port in ports if port.port and port.shape == shape]
        names = [name for name in names if name not in found]
        outputs = [name for name in graph.outputs if _has_shape(trace, name, shape) and name not in states.values()]
        by_name = {name: [each for each in outputs if stem_of(each) == stem_of(name) != ""] for name in names}
        if all(len(each) == 1 for each in by_name.values()):
            found.update({name: Pair(each[0], True) for name, each in by_name.items()})
            continue
        named = all(_is_named(name, graph) for name in names) and (ordered or len(names) == 1)
        called = [name for name in outputs if _is_named(name, graph)]
        if len(called) == len(names) < len(outputs):
            outputs = called
        elif len(outputs) > len(names) and not ordered:
            named = False
        if len(names) == len(outputs):
            found.update({name: Pair(each, named) for name, each in zip(names, outputs, strict=True)})
        elif len(names) + 1 == len(outputs):
            found.update({name: Pair(each, named) for name, each in zip(names, outputs[1:], strict=True)})
    return found


def is_state(trace: Trace, name: str, pairs: Mapping[str, Pair]) -> bool:
    """True if an output is the new value of a state that is an input, or the final state of a recurrence."""
    if name in {pair.output for pair in pairs.values()}:
        return True
    signal = trace.values[name]
    assert isinstance(signal, Signal)
    source, row, _ = trace.decode(signal.codes)
    drafts = [trace.sources[place].draft for place in set(source.reshape(-1).tolist())]
    if trace.rows and len(set(row.reshape(-1).tolist())) == trace.rows:
        return False
    return all(draft in trace.rolls.delays for draft in drafts if draft is not None)


def check_states(
    trace: Trace, pairs: Mapping[str, Pair], states: Mapping[Draft, tuple[str, str]], layers: Mapping[str, Layer]
) -> None:
    """Check that an input is a state for sure: names say so, or it became the state of a GRU or an LSTM.

    Raises
    ------
    UnsupportedError
        It may as well be a second input of samples, such as a knob.
    """
    for (place, _), leaf in trace.leaves.items():
        port = trace.sources[place].port
        if leaf not in states or port is None or port.name not in pairs or pairs[port.name].named:
            continue
        if not isinstance(layers[states[leaf][0]], (GRU, LSTM)):
            output = pairs[port.name].output
            raise MayBeStateError(
                f"{trace.graph.reader}: the graph's input {port.name[:80]!r} may be a state, whose new value is the "
                f"output {output[:80]!r}, or a second input of samples. If it is a state, say so: "
                f"states={ {port.name[:80]: output[:80]} }, or --state-input {port.name[:80]}={output[:80]}."
            )


def check_crossed(trace: Trace, states: Mapping[str, str]) -> None:
    """Check that the new value of a recurrent operator's state is that operator's own, as it is in a stream.

    Raises
    ------
    UnsupportedError
        Names, the argument, or the order of what names do not tell pair an input with the state of another operator.
    """
    sources = [each for each in trace.sources if each.port is not None and each.states and each is not trace.samples]
    kinds = {name: trace.kinds(value) for name, value in _signals(trace).items()}
    outputs = [name for name in kinds if kinds[name] <= {"h", "c"}]
    pairs: list[tuple[Source, str]] = []
    for shape in {each.shape for each in sources}:
        ports = [each for each in sources if each.shape == shape]
        fit = [name for name in kinds if _has_shape(trace, name, shape) and name not in states.values()]
        by_name = {place: [name for name in fit if _is_called_alike(each, name)] for place, each in enumerate(ports)}
        if not all(len(names) == 1 for names in by_name.values()):
            left = [name for name in fit if name in outputs]
            by_name = {place: left[place : place + 1] if len(left) == len(ports) else [] for place in by_name}
        for place, port in enumerate(ports):
            said = states.get(_name(port))
            pairs += [(port, name) for name in ([said] if said else by_name[place])]
    for port, name in pairs:
        if not _is_next(trace, port, name):
            own = {_name(each): other for each in sources for other in outputs if _is_next(trace, each, other)}
            remedy = f"; if names or order alone differ, say states={own}" if len(own) == len(sources) else ""
            raise UnsupportedError(
                f"{trace.graph.reader}: the graph's input {_name(port)[:80]!r} is the state of the "
                f"{port.states[0][0].title}, and its new value {name[:80]!r} is not that operator's final state, as it "
                f"is in a stream{remedy}."
            )


def new_values(graph: Graph, states: Mapping[str, str]) -> list[str]:
    """Outputs of a graph that hold new values of states, as names and ``states`` say."""
    stems = {stem_of(port.name) for port in graph.inputs} - {""}
    return [name for name in graph.outputs if stem_of(name) in stems or name in states.values()]


def _signals(trace: Trace) -> dict[str, Signal]:
    found = {name: trace.values.get(name) for name in trace.graph.outputs}
    return {name: value for name, value in found.items() if isinstance(value, Signal)}


def _name(source: Source) -> str:
    assert source.port is not None
    return source.port.name


def _is_called_alike(source: Source, output: str) -> bool:
    return stem_of(output) == stem_of(_name(source)) != ""


def _is_next(trace: Trace, port: Source, output: str) -> bool:
    """True if an output holds the final states of the operators that have an input of the graph as their first ones."""
    value = trace.values[output]
    if not isinstance(value, Signal) or value.codes.shape != port.shape:
        return False
    same = trace.rolls.same
    for draft, key, places in port.states:
        found, _, unit = trace.decode(value.codes.reshape(-1)[places])
        ends = [trace.sources[place] for place in np.unique(found).tolist()]
        own = all(end.draft is not None and same.get(end.draft, end.draft) is same.get(draft, draft) for end in ends)
        kinds = {end.kind for end in ends}
        if not own or not kinds <= ({key, "y"} if key == "h" else {key}) or (unit != np.arange(unit.shape[-1])).any():
            return False
    return True


def stem_of(name: str) -> str:
    """Name without what tells old from new: ``"h"`` of ``"h_in"``, ``"h0"`` and ``"hn"``."""
    stem = re.sub(_DIRECTIONS, "", name.lower().removesuffix(":0")).strip("_.:/-")
    letter = _LETTER.fullmatch(stem)
    return letter[1] if letter else stem


def _is_named(name: str, graph: Graph) -> bool:
    """True if an input is called as states are."""
    if _CELL_STATE.search(name.lower()):
        return any(_STATE.search(port.name.lower()) for port in graph.inputs)
    return bool(_STATE.search(name.lower()))


def _has_shape(trace: Trace, name: str, shape: tuple[int, ...]) -> bool:
    value = trace.values.get(name)
    return isinstance(value, Signal) and value.codes.shape == shape


def bind_states(trace: Trace, pairs: Mapping[str, Pair]) -> None:
    """Connect the old values of states, parts of inputs, with the new values, the same parts of outputs.

    Raises
    ------
    UnsupportedError
        An input is neither samples nor a state with a new value.
    """
    if trace.leaves and trace.grid is None:
        trace.grid = np.arange(trace.rows)[None]  # a single step
    for (place, _), leaf in list(trace.leaves.items()):
        if leaf in trace.rolls.begun or leaf.args:
            continue
        source = trace.sources[place]
        assert source.port is not None
        if source.port.name not in pairs:
            raise _unpaired(trace, source)
        name = pairs[source.port.name].output
        operator = Operator("output", "output", (name,), (), reader=trace.graph.reader, label=f"output {name[:80]!r}")
        leaf.args = (_new_value(trace, operator, name, leaf),)


def _new_value(trace: Trace, operator: Operator, name: str, leaf: Draft) -> Draft:
    signal = trace.values[name]
    assert isinstance(signal, Signal)
    codes = signal.codes.reshape(-1)[leaf.fields["places"]]
    reads, _ = features(trace, operator, Signal(codes))
    return joined(Node(operator, (), {}, trace), reads)


def _unpaired(trace: Trace, source: Source) -> UnsupportedError:
    assert source.port is not None
    return UnsupportedError(
        f"{trace.graph.reader}: the graph's input {source.port.name[:80]!r} is neither the samples nor a state: no "
        f"output of the shape {source.shape} holds its new value. Export the states as outputs too, or name a value "
        f"behind that input by upto= or after=."
    )
