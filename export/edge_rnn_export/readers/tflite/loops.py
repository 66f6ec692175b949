"""Write loops and branches, and the lists of tensors that TensorFlow's loops append their outputs to.

A list is an array with a new first axis. Before the first element is set, axes of unknown length have length 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from edge_rnn_export.readers.tflite.contents import TfliteOperator
from edge_rnn_export.readers.tflite.moves import replaced
from edge_rnn_export.readers.tflite.operators import Write
from edge_rnn_export.readers.tflite.writer import Writer

__all__ = ["LISTS", "LOOPS"]


def _while(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Write a loop with the condition at its start as a Loop with the condition at the end of each round."""
    condition, body = (operator.options[name] for name in ("CondSubgraphIndex", "BodySubgraphIndex"))
    starts = [writer.input(operator, place) for place in range(len(operator.inputs))]
    if len(operator.outputs) != len(starts):
        raise operator.damaged(f"has {len(starts)} inputs, and {len(operator.outputs)} outputs; expected as many.")

    def holds(inner: Writer, values: Sequence[str]) -> str:
        found = inner.inlined(operator, condition, values)
        if len(found) != 1:
            raise operator.damaged(f"has a condition of {len(found)} outputs, expected one.")
        return found[0]

    unique = writer.shared.unique
    values = [unique(f"{operator.label} value {place}") for place in range(len(starts))]
    inputs = [unique(f"{operator.label} round"), unique(f"{operator.label} condition"), *values]

    def write(inner: Writer) -> list[str]:
        found = inner.inlined(operator, body, values)
        if len(found) != len(values):
            raise operator.damaged(f"has a body of {len(found)} outputs, expected {len(values)}.")
        return [holds(inner, found), *found]

    first = holds(writer, starts)
    writer.current = operator
    bodies = {"body": writer.body(operator, inputs, write)}
    return writer.add("Loop", "", first, *starts, outputs=len(starts), bodies=bodies)


def _if(writer: Writer, operator: TfliteOperator) -> list[str]:
    condition, *given = (writer.input(operator, place) for place in range(len(operator.inputs)))
    bodies = {}
    for name, option in (("then_branch", "ThenSubgraphIndex"), ("else_branch", "ElseSubgraphIndex")):
        bodies[name] = writer.body(operator, (), partial(_branch, operator, operator.options[option], given))
        if len(bodies[name].outputs) != len(operator.outputs):
            raise operator.damaged(f"has a branch of {len(bodies[name].outputs)} outputs, unlike itself.")
    return writer.add("If", condition, outputs=len(operator.outputs), bodies=bodies)


def _branch(operator: TfliteOperator, index: int, given: Sequence[str], inner: Writer) -> Sequence[str]:
    return inner.inlined(operator, index, given)


def _reserved(writer: Writer, operator: TfliteOperator) -> list[str]:
    """List of zeros, from the shape of its elements and their number."""
    shape = writer.constant(operator, 0, "shape of elements")
    if shape.ndim != 1 or shape.dtype.kind not in "iu" or shape.size > 8:
        raise operator.refuse("it makes a list of tensors of unknown rank.")
    lengths = np.where(shape < 0, 1, shape).astype(np.int64)
    count = writer.one("Reshape", writer.input(operator, 1), writer.number([1], np.int64))
    count = writer.one("Cast", count, to=7)
    return writer.add("ConstantOfShape", writer.one("Concat", count, writer.number(lengths), axis=0))


def _set(writer: Writer, operator: TfliteOperator) -> list[str]:
    found, item = writer.input(operator, 0), writer.input(operator, 2)
    one, zero = writer.number([1], np.int64), writer.number([0], np.int64)
    start = writer.one("Reshape", writer.input(operator, 1), one)
    found = writer.one("Expand", found, writer.one("Concat", one, writer.one("Shape", item), axis=0))
    return [replaced(writer, found, start, writer.one("Unsqueeze", item, zero), 1, 0)]


def _get(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Gather", writer.input(operator, 0), writer.input(operator, 1), axis=0)


def _whole(writer: Writer, operator: TfliteOperator) -> list[str]:
    return [writer.input(operator, 0)]


LOOPS: Mapping[str, Write] = {"IF": _if, "WHILE": _while}
"""Operators with subgraphs, by kind."""

LISTS: Mapping[str, Write] = {
    "TensorListFromTensor": _whole,
    "TensorListGetItem": _get,
    "TensorListReserve": _reserved,
    "TensorListSetItem": _set,
    "TensorListStack": _whole,
}
"""Operators on lists of tensors, by their custom names without ``Flex``."""
