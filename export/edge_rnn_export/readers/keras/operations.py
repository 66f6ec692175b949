"""Write functions of ``keras.ops`` and ``keras.activations``, which a functional model may call between its layers."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn_export.readers.keras.activations import FUNCTIONS
from edge_rnn_export.readers.keras.emission import At, Tensor, broadcast, operand, tensor_of
from edge_rnn_export.readers.keras.moves import MOVES
from edge_rnn_export.readers.keras.normalizations import unit_normalized
from edge_rnn_export.readers.keras.options import axes_of, flag_of

__all__ = ["OPERATIONS", "operate"]

Result = Tensor | list[Tensor]


def operate(at: At, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Write an operation; return its results."""
    given = [*args, *(value for value in kwargs.values() if value is not None)]
    write = OPERATIONS[at.layer.kind]
    try:
        signature(write).bind(at, *given)
    except TypeError:
        raise at.refuse(f"it is called with {len(given)} arguments, which this operation does not take.") from None
    found = write(at, *given)
    return found if isinstance(found, list) else [found]


def _binary(kind: str) -> Callable[..., Tensor]:
    def write(at: At, a: Any, b: Any) -> Tensor:
        (left, shape), (right, other) = operand(at, a), operand(at, b)
        return Tensor(at(kind, left, right), broadcast(at, shape, other))

    return write


def _unary(write: Callable[[At, str], str]) -> Callable[..., Tensor]:
    def apply(at: At, x: Any) -> Tensor:
        tensor = tensor_of(at, x)
        return Tensor(write(at, tensor.name), tensor.shape, tensor.integers)

    return apply


def _function(name: str) -> Callable[..., Tensor]:
    """Activation with its options in the operation's configuration."""

    def apply(at: At, x: Any) -> Tensor:
        tensor = tensor_of(at, x)
        y = FUNCTIONS[name](at.title, at.config).write(at, tensor.name)
        if name == "glu":
            axis = axes_of(at.title, at.config.get("axis", -1), len(tensor.shape))
            if axis != [len(tensor.shape) - 1] or not tensor.size:
                raise at.refuse("it works along another axis than the last.")
            return Tensor(y, (*tensor.shape[:-1], tensor.size // 2))
        return Tensor(y, tensor.shape)

    return apply


def _reduced(kind: str) -> Callable[..., Tensor]:
    def apply(at: At, x: Any) -> Tensor:
        tensor, axis = tensor_of(at, x), at.config.get("axis")
        if at.config.get("initial") is not None:
            raise at.refuse("it has an initial value, expected none.")
        rank = len(tensor.shape)
        axes = list(range(rank)) if axis is None else axes_of(at.title, axis, rank)
        keep = flag_of(at.title, at.config, "keepdims", False)
        lengths = [1 if place in axes else length for place, length in enumerate(tensor.shape)]
        shape = tuple(length for place, length in enumerate(lengths) if keep or place not in axes)
        return Tensor(at(kind, tensor, axes, keepdims=int(keep)), shape)

    return apply


def _smallest(at: At, x: Any) -> Tensor:
    tensor = tensor_of(at, x)
    largest = _reduced("ReduceMax")(at, Tensor(at("Neg", tensor), tensor.shape))
    return Tensor(at("Neg", largest), largest.shape)


def _power(at: At, a: Any, b: Any) -> Tensor:
    exponent, shape = operand(at, b)
    if not isinstance(exponent, np.ndarray) or exponent.size != 1:
        raise at.refuse("its exponent is not one number.")
    return Tensor(at("Pow", tensor_of(at, a), exponent), broadcast(at, a.shape, shape))


def _clip(at: At, x: Any) -> Tensor:
    limits = [operand(at, at.config.get(key))[0] for key in ("x_min", "x_max")]
    return Tensor(at("Clip", tensor_of(at, x), *limits), x.shape)


def _matmul(at: At, a: Any, b: Any) -> Tensor:
    matrix, shape = operand(at, b)
    if len(shape) != 2:
        raise at.refuse(f"it multiplies by the shape {shape}, expected a matrix.")
    return Tensor(at("MatMul", tensor_of(at, a), matrix), (*a.shape[:-1], shape[1]))


def _cast(at: At, x: Any) -> Tensor:
    tensor, dtype = tensor_of(at, x), str(at.config.get("dtype"))
    if dtype in ("float32", "float64"):
        return Tensor(at("Cast", tensor, to=1), tensor.shape) if tensor.integers else tensor
    if dtype not in ("int32", "int64"):
        raise at.refuse(f"its dtype is {reprlib.repr(dtype)}, expected float32 or int32.")
    return Tensor(at("Cast", tensor, to=7), tensor.shape, integers=True)


def _normalize(at: At, x: Any) -> Tensor:
    if at.config.get("order", 2) != 2:
        raise at.refuse("its order is not 2.")
    return unit_normalized(at, tensor_of(at, x), 1e-7)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


_NN = (
    *("Relu", "Relu6", "Sigmoid", "SparseSigmoid", "Softplus", "Softsign", "SoftShrink", "SparsePlus", "Silu"),
    *("Squareplus", "LogSigmoid", "LeakyRelu", "HardSigmoid", "HardSilu", "Elu", "Selu", "Gelu", "Celu", "Glu"),
    *("TanhShrink", "HardTanh", "HardShrink", "Threshold", "Softmax", "LogSoftmax", "Tanh"),
)

OPERATIONS: Mapping[str, Callable[..., Result]] = MappingProxyType(
    {
        **{name: _function(_snake(name)) for name in _NN},
        **MOVES,
        "ReLU": _function("relu"),
        "Absolute": _unary(lambda at, x: at("Abs", x)),
        "Add": _binary("Add"),
        "Cast": _cast,
        "Clip": _clip,
        "Divide": _binary("Div"),
        "Dot": _matmul,
        "Exp": _unary(lambda at, x: at("Exp", x)),
        "Matmul": _matmul,
        "Max": _reduced("ReduceMax"),
        "Maximum": _binary("Max"),
        "Mean": _reduced("ReduceMean"),
        "Min": _smallest,
        "Minimum": _binary("Min"),
        "Multiply": _binary("Mul"),
        "Negative": _unary(lambda at, x: at("Neg", x)),
        "Normalize": _normalize,
        "Power": _power,
        "Reciprocal": _unary(lambda at, x: at("Reciprocal", x)),
        "Rsqrt": _unary(lambda at, x: at("Reciprocal", at("Sqrt", x))),
        "Sqrt": _unary(lambda at, x: at("Sqrt", x)),
        "Square": _unary(lambda at, x: at("Mul", x, x)),
        "StopGradient": _unary(lambda at, x: x),
        "Subtract": _binary("Sub"),
        "Sum": _reduced("ReduceSum"),
        "TrueDivide": _binary("Div"),
    }
)
"""Operations by class, each written for its arguments."""
