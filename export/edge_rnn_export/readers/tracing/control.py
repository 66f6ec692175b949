"""Execute the control flow of a graph: a Loop and a Scan step by step, an If along the branch that is taken.

Steps are spelled one after the other, with the loop's counter as a constant in each; the engine then rolls them
(:mod:`edge_rnn_export.readers.tracing.rolling`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import Signal, Value
from edge_rnn_export.readers.tracing.graph import Graph
from edge_rnn_export.readers.tracing.node import Node

__all__ = ["CONTROL"]

Run = Callable[[Graph, Sequence[Value]], list[Value]]
"""Function that executes a body with the values of its inputs."""

_MOST_STEPS = 2**12


def _loop(node: Node, run: Run) -> list[Value]:
    body = _body(node, "body")
    count = _MOST_STEPS + 1 if node.input(0) is None else int(node.numbers(0).reshape(()))
    goes_on: Value = np.array(True) if node.input(1) is None else node.numbers(1)
    carried = [_carried(node, value) for value in node.inputs[2:]]
    if len(body.inputs) != 2 + len(carried) or len(body.outputs) < 1 + len(carried):
        raise node.damaged(f"carries {len(carried)} values, and its body takes {len(body.inputs)}.")
    rows: list[list[Value]] = [[] for _ in body.outputs[1 + len(carried) :]]
    for step in range(count):
        if not _truth(node, goes_on):
            break
        if step >= _MOST_STEPS:
            raise node.refuse(f"it takes more than {_MOST_STEPS} steps; export it with shorter or open sequences.")
        goes_on, *found = run(body, [np.array(step, np.int64), np.array(True), *carried])
        carried = found[: len(carried)]
        for each, value in zip(rows, found[len(carried) :], strict=True):
            each.append(value)
    return [*carried, *(_stacked(node, each, 0) for each in rows)]


def _scan(node: Node, run: Run) -> list[Value]:
    body, scanned = _body(node, "body"), node.take("num_scan_inputs", 0)
    states = [_carried(node, value) for value in node.inputs[: len(node.inputs) - scanned]]
    sequences = node.inputs[len(states) :]
    outputs = len(body.outputs) - len(states)
    in_axes = node.take("scan_input_axes", [0] * scanned) or [0] * scanned
    out_axes = node.take("scan_output_axes", [0] * outputs) or [0] * outputs
    directions = [*node.take("scan_input_directions", []), *node.take("scan_output_directions", [])]
    if any(directions):
        raise node.refuse("it goes through its sequence in reverse, and a stream has not seen the last sample first.")
    if not sequences or len(in_axes) != scanned or len(out_axes) != outputs:
        raise node.damaged(f"scans {scanned} of {len(node.inputs)} inputs, along axes {in_axes[:8]}.")
    lengths = {_shape(value)[axis] for value, axis in zip(sequences, in_axes, strict=True)}
    if len(lengths) != 1 or min(lengths) > _MOST_STEPS:
        raise node.refuse(
            f"it scans sequences of {sorted(lengths)[:4]} steps, expected one length of {_MOST_STEPS} at most."
        )
    rows: list[list[Value]] = [[] for _ in range(outputs)]
    for step in range(lengths.pop()):
        slices = [_taken(value, step, axis) for value, axis in zip(sequences, in_axes, strict=True)]
        found = run(body, [*states, *slices])
        states = found[: len(states)]
        for each, value in zip(rows, found[len(states) :], strict=True):
            each.append(value)
    return [*states, *(_stacked(node, each, axis) for each, axis in zip(rows, out_axes, strict=True))]


def _if(node: Node, run: Run) -> list[Value]:
    then, other = _body(node, "then_branch"), _body(node, "else_branch")
    condition = node.input(0)
    if isinstance(condition, Signal):
        raise node.refuse(
            "its condition depends on an input; give that input's value by given=, or name a value in a branch by "
            "upto= or after=."
        )
    return run(then if _truth(node, condition) else other, [])


def _body(node: Node, name: str) -> Graph:
    bodies: Mapping[str, Graph] = node.operator.bodies
    if name not in bodies:
        raise node.damaged(f"has no {name}.")
    return bodies[name]


def _truth(node: Node, value: Value) -> bool:
    if isinstance(value, Signal):
        raise node.refuse("its condition depends on samples or states; a stream computes the same at each step.")
    array = np.asarray(value)
    if array.size != 1:
        raise node.damaged(f"has a condition of shape {array.shape}, expected one value.")
    return bool(array.reshape(()))


def _carried(node: Node, value: Value) -> Value:
    """Initial value of what a loop carries: numbers with axes may become signals in its steps."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim:
        return node.trace.constants(value)
    return value


def _shape(value: Value) -> tuple[int, ...]:
    return value.codes.shape if isinstance(value, Signal) else np.asarray(value).shape


def _taken(value: Value, step: int, axis: int) -> Value:
    if isinstance(value, Signal):
        return Signal(np.take(value.codes, step, axis), value.whole)
    return np.asarray(np.take(np.asarray(value), step, axis))


def _stacked(node: Node, values: Sequence[Value], axis: int) -> Value:
    if not values:
        raise node.refuse("it takes no step.")
    if not any(isinstance(value, Signal) for value in values):
        return np.stack([np.asarray(value) for value in values], axis)
    arrays: list[AnyArray] = [
        value.codes if isinstance(value, Signal) else node.trace.constants(np.asarray(value)).codes for value in values
    ]
    node.budget.take(f"the {node.title}", sum(array.nbytes for array in arrays))
    return Signal(np.stack(arrays, axis), any(isinstance(value, Signal) and value.whole for value in values))


CONTROL: Mapping[str, Callable[[Node, Run], list[Value]]] = {"If": _if, "Loop": _loop, "Scan": _scan}
"""Operators with bodies."""
