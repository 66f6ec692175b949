"""Interval arithmetic: bounds of a graph's values that hold for any input within given intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf, isnan, log2
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn.equations.graph import Graph, Node, mixed
from edge_rnn.equations.operations import EVERYTHING, OPERATIONS, Interval
from edge_rnn.typing import AnyArray

__all__ = ["Rule", "intervals", "kept_intervals", "parameter_intervals", "state_intervals"]

_ROUNDS = 4
"""Steps after which a state's interval that is still growing is widened to the next power of two."""
_POWERS = 6
"""Number of these steps; after them the interval is taken as unbounded."""
_LARGEST = 2.0**100

Rule = Callable[[Graph, Node, Sequence[Interval]], Interval]
"""``rule(graph, node, found)``: interval of a node, given the intervals of earlier nodes."""


def intervals(
    graph: Graph,
    x: Interval,
    states: Mapping[str, Interval],
    parameters: Mapping[str, Interval],
    rules: Mapping[str, Rule] = MappingProxyType({}),
) -> list[Interval]:
    """Compute an interval of values for each node.

    Parameters
    ----------
    graph
        The graph.
    x, states
        Intervals of the input and of the old states; EVERYTHING for states that are missing.
    parameters
        Intervals of parameters that are vectors or numbers, and of the sums of absolute values in each row for those
        that are matrices; EVERYTHING for parameters that are missing.
    rules
        Rules for operations that are not in the table, or that replace those in the table.
    """
    found: list[Interval] = []
    for node in graph.nodes:
        args = [found[place] for place in node.args]
        if node.op in rules:
            value = rules[node.op](graph, node, found)
        elif node.op == "input":
            value = x
        elif node.op == "state":
            value = states.get(node.name, EVERYTHING)
        elif node.op == "number":
            value = node.number, node.number
        elif node.op == "parameter":
            value = parameters.get(node.name, EVERYTHING)
        else:
            value = _computed(graph, node, args, found, parameters)
        found.append(EVERYTHING if any(map(isnan, value)) else value)
    return found


def parameter_intervals(values: Mapping[str, Any]) -> dict[str, Interval]:
    """Intervals of parameters; for matrices, of the sums of absolute values in each row."""
    found: dict[str, Interval] = {}
    for name, value in values.items():
        if np.ndim(value) == 2:
            most = float(np.abs(np.asarray(value)).sum(axis=1).max())
            found[name] = -most, most
        elif isinstance(value, (float, np.ndarray)):
            found[name] = float(np.min(value)), float(np.max(value))
    return found


def _computed(
    graph: Graph, node: Node, args: list[Interval], found: list[Interval], parameters: Mapping[str, Interval]
) -> Interval:
    if node.op == "part":
        return args[0]
    if node.op == "concat":
        return min(a[0] for a in args), max(a[1] for a in args)
    if node.op == "product":
        most = max(map(abs, args[0])) * parameters.get(node.name, EVERYTHING)[1]
        return -most, most
    if node.op == "total":
        units = graph.nodes[node.args[0]].shape[0]
        return args[0][0] * units, args[0][1] * units
    if node.op == "mul" and node.args[0] == node.args[1]:
        ends = args[0][0] ** 2, args[0][1] ** 2
        return 0.0 if args[0][0] <= 0 <= args[0][1] else min(ends), max(ends)
    interval = OPERATIONS[node.op].interval
    assert interval is not None, node.op
    value = interval(*args)
    mix = mixed(graph.nodes, node.args) if node.op == "add" else None
    if mix is not None and found[mix[0]][0] >= 0 and found[mix[0]][1] <= 1:
        a, b = found[mix[1]], found[mix[2]]
        return min(a[0], b[0]), max(a[1], b[1])
    return value


def state_intervals(
    graph: Graph, x: Interval, initial: Mapping[str, Interval], parameters: Mapping[str, Interval]
) -> dict[str, Interval]:
    """Intervals that the states never leave, given intervals of their initial values; infinite if none was found.

    Intervals grow step by step. An interval that keeps growing is widened to powers of two, and finally to infinity;
    then a few steps shrink all intervals again to the values that a step can produce from them.
    """

    def after(now: dict[str, Interval]) -> dict[str, Interval]:
        found = intervals(graph, x, now, parameters)
        return {name: _hull(initial[name], found[place]) for name, place in graph.new_states.items()}

    now = dict(initial)
    for round_ in range(_ROUNDS + _POWERS + 2 * len(initial) + 1):
        larger = {name: _hull(now[name], new) for name, new in after(now).items()}
        if larger == now:
            break
        if round_ >= _ROUNDS:
            widened = _next_power if round_ < _ROUNDS + _POWERS else _without_end
            larger = {
                name: (
                    -widened(-new[0]) if new[0] < now[name][0] else new[0],
                    widened(new[1]) if new[1] > now[name][1] else new[1],
                )
                for name, new in larger.items()
            }
        now = larger
    for _ in range(_ROUNDS):
        now = after(now)
    return now


def kept_intervals(
    graph: Graph, x: Interval, starts: Mapping[str, AnyArray], values: Mapping[str, Any]
) -> dict[str, Interval]:
    """Intervals that the states stay in when they start at zero; EVERYTHING for a state that starts outside of them.

    A rounding range wide enough for such an initial value would leave few steps for all later values.
    """
    found = state_intervals(graph, x, dict.fromkeys(starts, (0.0, 0.0)), parameter_intervals(values))
    return {
        name: (low, high) if max(-low, high) >= np.abs(starts[name]).max() else EVERYTHING
        for name, (low, high) in found.items()
    }


def _next_power(end: float) -> float:
    return 2.0 ** ceil(log2(end)) if 0 < end < _LARGEST else inf if end > 0 else 0.0


def _without_end(end: float) -> float:
    return inf


def _hull(a: Interval, b: Interval) -> Interval:
    return min(a[0], b[0]), max(a[1], b[1])
