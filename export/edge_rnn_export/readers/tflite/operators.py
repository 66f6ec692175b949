"""Operators that compute: products, elementwise operators, reductions, comparisons.

Activations in integers are read as the real numbers that they stand for, so QUANTIZE and DEQUANTIZE change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edge_rnn_export.readers.tflite.contents import Subgraph, TfliteOperator
from edge_rnn_export.readers.tflite.writer import Given, Writer

__all__ = ["OPERATORS", "Write", "fused", "fused_activation", "is_convolution_of_one"]

Write = Callable[[Writer, TfliteOperator], Sequence[Given]]
"""Function that writes an operator of a kind as ONNX operators, and returns the names of its outputs."""

_FUSED: Mapping[int, str] = {0: "", 1: "Relu", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "Tanh", 5: "SIGN_BIT"}
_RANGES: Mapping[str, tuple[float, float]] = {
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU6": (0.0, 6.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
_TYPES: Mapping[str, int] = {"FLOAT32": 1, "INT32": 6, "INT64": 7, "BOOL": 9, "FLOAT16": 10, "FLOAT64": 11}


def fused_activation(operator: TfliteOperator) -> str:
    """Name of an operator's fused activation: that of an ONNX operator, or of a range; empty for none."""
    number = operator.options["FusedActivationFunction"]
    if number not in _FUSED or _FUSED[number] == "SIGN_BIT":
        got = _FUSED.get(number, f"number {number}")
        raise operator.refuse(f"it has the activation {got}, expected NONE, RELU, RELU6, RELU_N1_TO_1 or TANH.")
    return _FUSED[number]


def fused(writer: Writer, operator: TfliteOperator, name: str) -> list[str]:
    """Apply an operator's fused activation to its result."""
    activation = fused_activation(operator)
    if activation in _RANGES:
        return [_clipped(writer, name, *_RANGES[activation])]
    return [writer.one(activation, name)] if activation else [name]


def _clipped(writer: Writer, name: str, low: float, high: float) -> str:
    return writer.one("Clip", name, writer.number(low, np.float32), writer.number(high, np.float32))


def _same(writer: Writer, operator: TfliteOperator) -> list[str]:
    return [writer.input(operator, 0)]


def _plain(kind: str, inputs: int = 1, **attributes: Any) -> Write:
    """Operator that ONNX has under another name."""

    def write(writer: Writer, operator: TfliteOperator) -> list[str]:
        return writer.add(kind, *(writer.input(operator, place) for place in range(inputs)), **attributes)

    return write


def _arithmetic(kind: str) -> Write:
    def write(writer: Writer, operator: TfliteOperator) -> list[str]:
        return fused(writer, operator, writer.one(kind, *(writer.input(operator, place) for place in range(2))))

    return write


def _range_of(kind: str) -> Write:
    def write(writer: Writer, operator: TfliteOperator) -> list[str]:
        return [_clipped(writer, writer.input(operator, 0), *_RANGES[kind])]

    return write


def _fully_connected(writer: Writer, operator: TfliteOperator) -> list[str]:
    """Rows of an input of any shape times the transposed weights."""
    if operator.options["WeightsFormat"]:
        raise operator.refuse("it has shuffled weights, expected them in their usual order.")
    x, weights = writer.input(operator, 0), writer.input(operator, 1, "weights")
    shape = writer.tensor(operator, 1).shape
    if len(shape) != 2:
        raise operator.damaged(f"has weights of {len(shape)} axes, expected 2.")
    bias = (writer.input(operator, 2),) if operator.has(2) else ()
    if operator.options["KeepNumDims"] and len(writer.tensor(operator, 0).shape) != 2:
        found = writer.one("MatMul", x, writer.one("Transpose", weights, perm=[1, 0]))
        return fused(writer, operator, writer.one("Add", found, *bias) if bias else found)
    if len(writer.tensor(operator, 0).shape) != 2 or writer.tensor(operator, 0).shape[1] != shape[1]:
        x = writer.one("Reshape", x, writer.number([-1, shape[1]], np.int64), allowzero=1)
    return fused(writer, operator, writer.one("Gemm", x, weights, *bias, transB=1))


def is_convolution_of_one(subgraph: Subgraph, operator: TfliteOperator) -> bool:
    """True for a CONV_2D that reads one position at a time, all of them: a product along the last axis."""
    filters = subgraph.tensors[operator.inputs[1]].shape if operator.has(1) else ()
    strides = [operator.options.get(name) for name in ("StrideH", "StrideW")]
    return operator.kind == "CONV_2D" and len(filters) == 4 and filters[1:3] == (1, 1) and strides == [1, 1]


def _convolution(writer: Writer, operator: TfliteOperator) -> list[str]:
    filters = writer.tensor(operator, 1, "filters").shape
    matrix = writer.number([filters[0], filters[3]], np.int64)
    weights = writer.one("Reshape", writer.input(operator, 1), matrix)
    found = writer.one("MatMul", writer.input(operator, 0), writer.one("Transpose", weights, perm=[1, 0]))
    return fused(writer, operator, writer.one("Add", found, writer.input(operator, 2)) if operator.has(2) else found)


def _batch_matmul(writer: Writer, operator: TfliteOperator) -> list[str]:
    factors = [writer.input(operator, place) for place in range(2)]
    for place, option in enumerate(("AdjX", "AdjY")):
        if operator.options[option]:
            axes = list(range(len(writer.tensor(operator, place).shape)))
            if len(axes) < 2:
                raise operator.damaged(f"transposes {len(axes)} axes, expected 2 or more.")
            factors[place] = writer.one("Transpose", factors[place], perm=[*axes[:-2], axes[-1], axes[-2]])
    return [writer.one("MatMul", *factors)]


def _reduced(kind: str) -> Write:
    def write(writer: Writer, operator: TfliteOperator) -> list[str]:
        axes = writer.constant(operator, 1, "axes").reshape(-1).astype(np.int64)
        kept = int(bool(operator.options["KeepDims"]))
        return [writer.one(kind, writer.input(operator, 0), writer.number(axes), keepdims=kept)]

    return write


def _softmax(writer: Writer, operator: TfliteOperator) -> list[str]:
    name, beta = writer.input(operator, 0), float(operator.options["Beta"])
    if not np.isfinite(beta):
        raise operator.damaged(f"has the beta {beta}, expected a finite number.")
    if beta != 1:
        name = writer.one("Mul", name, writer.number(beta, np.float32))
    return writer.add("Softmax", name, axis=-1)


def _leaky_relu(writer: Writer, operator: TfliteOperator) -> list[str]:
    alpha = float(operator.options["Alpha"])
    if not np.isfinite(alpha):
        raise operator.damaged(f"has the alpha {alpha}, expected a finite number.")
    return writer.add("LeakyRelu", writer.input(operator, 0), alpha=alpha)


def _gelu(writer: Writer, operator: TfliteOperator) -> list[str]:
    approximate = "tanh" if operator.options["Approximate"] else "none"
    return writer.add("Gelu", writer.input(operator, 0), approximate=approximate)


def _rsqrt(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Reciprocal", writer.one("Sqrt", writer.input(operator, 0)))


def _square(writer: Writer, operator: TfliteOperator) -> list[str]:
    name = writer.input(operator, 0)
    return writer.add("Mul", name, name)


def _squared_difference(writer: Writer, operator: TfliteOperator) -> list[str]:
    name = writer.one("Sub", writer.input(operator, 0), writer.input(operator, 1))
    return writer.add("Mul", name, name)


def _sum_of_many(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Sum", *(writer.input(operator, place) for place in range(len(operator.inputs))))


def _not_equal(writer: Writer, operator: TfliteOperator) -> list[str]:
    return writer.add("Not", writer.one("Equal", *(writer.input(operator, place) for place in range(2))))


def _select(writer: Writer, operator: TfliteOperator) -> list[str]:
    if _counts_from_the_end(writer, operator):
        return [writer.input(operator, 2)]
    shapes = [writer.tensor(operator, place).shape for place in range(2)]
    if operator.kind == "SELECT" and shapes[0] and shapes[0] != shapes[1]:  # by rows, unlike SELECT_V2
        raise operator.refuse(f"it chooses by a condition of shape {shapes[0]} from {shapes[1]}, expected equal ones.")
    return writer.add("Where", *(writer.input(operator, place) for place in range(3)))


def _counts_from_the_end(writer: Writer, operator: TfliteOperator) -> bool:
    """True for i + n where i < 0, else i, as Keras indexes tables: of symbols i, which are not negative."""
    producers = writer.subgraph.producers
    less, sums, index = (operator.inputs[place] if operator.has(place) else -1 for place in range(3))
    made = {each.kind: each for each in (producers.get(less), producers.get(sums)) if each is not None}
    if list(made) != ["LESS", "ADD"] or any(each.inputs[:1] != (index,) for each in made.values()):
        return False
    bound, source = writer.constant(made["LESS"], 1, "bound"), writer.subgraph.before(index, ("CAST", "RESHAPE"))
    return bound.dtype.kind == "i" and not bound.any() and source in writer.subgraph.inputs and not writer.depth


def _cast(writer: Writer, operator: TfliteOperator) -> list[str]:
    wanted = writer.subgraph.tensors[operator.outputs[0]].type
    if wanted not in _TYPES:
        raise operator.refuse(f"it casts to {wanted}, expected one of {', '.join(_TYPES)}.")
    return writer.add("Cast", writer.input(operator, 0), to=_TYPES[wanted])


OPERATORS: Mapping[str, Write] = {
    "ABS": _plain("Abs"),
    "ADD": _arithmetic("Add"),
    "ADD_N": _sum_of_many,
    "BATCH_MATMUL": _batch_matmul,
    "CAST": _cast,
    "CONV_2D": _convolution,
    "DEQUANTIZE": _same,
    "DIV": _arithmetic("Div"),
    "ELU": _plain("Elu"),
    "EQUAL": _plain("Equal", 2),
    "EXP": _plain("Exp"),
    "FULLY_CONNECTED": _fully_connected,
    "GELU": _gelu,
    "GREATER": _plain("Greater", 2),
    "GREATER_EQUAL": _plain("GreaterOrEqual", 2),
    "HARD_SWISH": _plain("HardSwish"),
    "LEAKY_RELU": _leaky_relu,
    "LESS": _plain("Less", 2),
    "LESS_EQUAL": _plain("LessOrEqual", 2),
    "LOG": _plain("Log"),
    "LOGICAL_AND": _plain("And", 2),
    "LOGICAL_NOT": _plain("Not"),
    "LOGICAL_OR": _plain("Or", 2),
    "LOGISTIC": _plain("Sigmoid"),
    "LOG_SOFTMAX": _plain("LogSoftmax", axis=-1),
    "MAXIMUM": _plain("Max", 2),
    "MEAN": _reduced("ReduceMean"),
    "MINIMUM": _plain("Min", 2),
    "MUL": _arithmetic("Mul"),
    "NEG": _plain("Neg"),
    "NOT_EQUAL": _not_equal,
    "POW": _plain("Pow", 2),
    "PRELU": _plain("PRelu", 2),
    "QUANTIZE": _same,
    "REDUCE_MAX": _reduced("ReduceMax"),
    "REDUCE_MIN": _reduced("ReduceMin"),
    "REDUCE_PROD": _reduced("ReduceProd"),
    "RELU": _plain("Relu"),
    "RELU6": _range_of("RELU6"),
    "RELU_0_TO_1": _range_of("RELU_0_TO_1"),
    "RELU_N1_TO_1": _range_of("RELU_N1_TO_1"),
    "RSQRT": _rsqrt,
    "SELECT": _select,
    "SELECT_V2": _select,
    "SOFTMAX": _softmax,
    "SQRT": _plain("Sqrt"),
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
    "SUB": _arithmetic("Sub"),
    "SUM": _reduced("ReduceSum"),
    "TANH": _plain("Tanh"),
}
"""Operators that compute, by kind."""
