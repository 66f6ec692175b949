"""Refuse a network for the operator that explains it: looked for in all of it, before any operator is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tflite.contents import Contents, Subgraph, TfliteOperator, shape_text
from edge_rnn_export.readers.tflite.loops import LISTS
from edge_rnn_export.readers.tflite.operators import is_convolution_of_one

__all__ = ["check_kinds"]

_BACKWARD = (
    "it runs over a sequence backward, as Bidirectional and go_backwards do, and needs samples that a stream has not "
    "seen yet"
)
_CONVOLVES = "it is a convolution or a pooling, and edge_rnn has no layer for these"
_MASKS = (
    "it compares samples to leave out padded steps, as Masking and mask_zero do, and a stream has none; convert the "
    "network without its mask, or read the Keras file by from_keras(unpadded=True)"
)
_CAUSES: Mapping[str, str] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": _BACKWARD,
    "BIDIRECTIONAL_SEQUENCE_RNN": _BACKWARD,
    "REVERSE_SEQUENCE": _BACKWARD,
    "REVERSE_V2": _BACKWARD,
    "AVERAGE_POOL_2D": _CONVOLVES,
    "CONV_2D": _CONVOLVES,
    "CONV_3D": _CONVOLVES,
    "CONV_3D_TRANSPOSE": _CONVOLVES,
    "DEPTHWISE_CONV_2D": _CONVOLVES,
    "MAX_POOL_2D": _CONVOLVES,
    "TRANSPOSE_CONV": _CONVOLVES,
    "REDUCE_ALL": _MASKS,
    "REDUCE_ANY": _MASKS,
}
_BODIES = ("CondSubgraphIndex", "BodySubgraphIndex", "ThenSubgraphIndex", "ElseSubgraphIndex")


def check_kinds(
    contents: Contents, operators: Sequence[TfliteOperator], begins: Sequence[int], known: frozenset[str]
) -> None:
    """Refuse operators that cannot be read, those first that explain most; also in loops and branches.

    Parameters
    ----------
    operators
        Operators of the first subgraph that are to be read.
    begins
        Tensors that are taken as inputs.
    known
        Kinds that can be read.
    """
    found = list(_all(contents, operators))
    for subgraph, operator in found:
        if operator.kind in _CAUSES and not is_convolution_of_one(subgraph, operator):
            raise _refused(subgraph, operator, _CAUSES[operator.kind])
    for subgraph, operator in found:
        if operator.kind == "CUSTOM" and operator.custom.removeprefix("Flex") not in LISTS:
            raise _refused(subgraph, operator, _of_custom(operator.custom))
    for operator in operators:
        if window := _window(contents.subgraphs[0], operator, begins):
            advice = contents.subgraphs[0].advice(operator, skips=False)
            reason = f"it reads a whole window at once, all of {shape_text(window)}, and a stream has single steps. "
            raise operator.refuse(f"{reason}{advice}")
    for subgraph, operator in found:
        if operator.kind != "CUSTOM" and operator.kind not in known:
            raise _refused(subgraph, operator, f"it is not one of {', '.join(sorted(known))}")


def _window(subgraph: Subgraph, operator: TfliteOperator, begins: Sequence[int]) -> tuple[int, ...]:
    """Shape of a computed tensor of several axes that FULLY_CONNECTED reads in one row; empty if there is none."""
    place = subgraph.source(operator, begins) if operator.kind == "FULLY_CONNECTED" and operator.has(1) else None
    if place is None or place in begins or place not in subgraph.producers:
        return ()
    shape, weights = subgraph.tensors[place].shape, subgraph.tensors[operator.inputs[1]].shape
    several = sum(length > 1 for length in shape) > 1
    return shape if several and len(weights) == 2 and weights[1] == prod(shape) else ()


def _of_custom(name: str) -> str:
    if name.startswith("Flex"):
        return (
            f"it is TensorFlow's operator {name[4:84]!r}, which the converter did not replace by one of TFLite; read "
            f"the Keras file by from_keras instead"
        )
    return f"it is the custom operator {name[:80]!r}, whose meaning the file does not say"


def _all(contents: Contents, operators: Sequence[TfliteOperator]) -> Iterator[tuple[Subgraph, TfliteOperator]]:
    """Operators, and those in their subgraphs, each once."""
    left, seen = [(contents.subgraphs[0], operators)], {0}
    while left:
        subgraph, here = left.pop()
        for operator in here:
            yield subgraph, operator
            for index in (operator.options[name] for name in _BODIES if name in operator.options):
                if 0 < index < len(contents.subgraphs) and index not in seen:
                    seen.add(index)
                    left.append((contents.subgraphs[index], contents.subgraphs[index].operators))


def _refused(subgraph: Subgraph, operator: TfliteOperator, reason: str) -> UnsupportedError:
    """Error with the arguments that read the parts before and behind the operator."""
    advice = "" if "of graph" in operator.label else subgraph.advice(operator, skips=True)
    return operator.refuse(f"{reason}. {advice}".rstrip())
