"""Write loops and branches, and the lists of tensors that TensorFlow's loops append their outputs to.

A list is an array with a new first axis. Before the first element is set, axes of unknown length have length 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from edge_rnn_export.readers.tflite.contents import TfliteOperator
from edge_rnn_export.readers.tflite.moves import replaced
from edge_rnn_export.readers.tflite.operators import Write
from edge_rnn_export.readers.tflite.writer import Given, Writer

__all__ = ["LISTS", "LOOPS"]


def _while(writer: Writer, operator: TfliteOperator) -> list[Given]:
    """Write a loop with the condition at its start as a Loop with the condition at the end of each round.

    Variables that it carries stay what they are.
    """
    condition, body = (operator.options[name] for name in ("CondSubgraphIndex", "BodySubgraphIndex"))
    starts = [writer.given(operator, place) for place in range(len(operator.inputs))]
    carried = [start for start in starts if isinstance(start, str)]
    if len(operator.outputs) != len(starts):
        raise operator.damaged(f"has {len(starts)} inputs, and {len(operator.outputs)} outputs; expected as many.")

    def holds(inner: Writer, values: Sequence[Given]) -> str:
        found = inner.inlined(operator, condition, values)
        if len(found) != 1 or not isinstance(found[0], str):
            raise operator.damaged(f"has a condition of {len(found)} outputs, expected one.")
        return found[0]

    unique = writer.shared.unique
    values = [unique(f"{operator.label} value {place}") for place in range(len(carried))]
    inputs = [unique(f"{operator.label} round"), unique(f"{operator.label} condition"), *values]

    def write(inner: Writer) -> list[str]:
        found = inner.inlined(operator, body, _merged(starts, values))
        if len(found) != len(starts):
            raise operator.damaged(f"has a body of {len(found)} outputs, expected {len(starts)}.")
        new = [each for each in found if isinstance(each, str)]
        if len(new) != len(carried) or found != _merged(starts, new):
            raise operator.refuse("its body gives back other variables than it takes.")
        return [holds(inner, found), *new]

    first = holds(writer, starts)
    bodies = {"body": writer.body(operator, inputs, write)}
    return _merged(starts, writer.add("Loop", "", first, *carried, outputs=len(carried), bodies=bodies))


def _merged(given: Sequence[Given], names: Iterable[str]) -> list[Given]:
    """Put names in the place of values; variables stay."""
    left = iter(names)
    return [next(left) if isinstance(each, str) else each for each in given]


def _if(writer: Writer, operator: TfliteOperator) -> list[str]:
    condition = writer.input(operator, 0)
    given = [writer.given(operator, place) for place in range(1, len(operator.inputs))]
    bodies = {}
    for name, option in (("then_branch", "ThenSubgraphIndex"), ("else_branch", "ElseSubgraphIndex")):
        bodies[name] = writer.body(operator, (), partial(_branch, operator, operator.options[option], given))
        if len(bodies[name].outputs) != len(operator.outputs):
            raise operator.damaged(f"has a branch of {len(bodies[name].outputs)} outputs, unlike itself.")
    return writer.add("If", condition, outputs=len(operator.outputs), bodies=bodies)


def _branch(operator: TfliteOperator, index: int, given: Sequence[Given], inner: Writer) -> Sequence[str]:
    found = inner.inlined(operator, index, given)
    return [each for each in found if isinstance(each, str)]


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
