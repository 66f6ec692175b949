"""ONNX's operators on units as functions of equations, which compute arrays and record symbols.

Source: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edge_rnn.activation import ACTIVATIONS, Activation
from edge_rnn.equations.activations import activated
from edge_rnn.equations.functions import (
    above,
    absolute,
    celu,
    erf,
    exp,
    gelu,
    hard_swish,
    largest,
    layer_norm,
    log,
    log_softmax,
    maximum,
    mean,
    minimum,
    mish,
    rms_norm,
    selu,
    softmax,
    sqrt,
    total,
)
from edge_rnn_export.readers.tracing.node import Node

__all__ = [
    "BINARY",
    "COMPARISONS",
    "NORMS",
    "REDUCTIONS",
    "UNARY",
    "WHOLE",
    "Function",
    "activation",
    "chosen",
    "greater",
    "shortest",
]


@dataclass(frozen=True, slots=True)
class Function:
    """Function of units: a name that tells it apart, with its numbers, and the function."""

    name: str
    call: Callable[..., Any]


def activation(name: str, numbers: tuple[float, ...] = ()) -> Function:
    """Activation of layers, in their spelling."""
    text = str(Activation(name, numbers or ACTIVATIONS[name]))
    return Function(f"activation:{text}", partial(activated, text))


def _add(a: Any, b: Any) -> Any:
    return a + b


def _sub(a: Any, b: Any) -> Any:
    return a - b


def _mul(a: Any, b: Any) -> Any:
    return a * b


def _div(a: Any, b: Any) -> Any:
    return a / b


BINARY: Mapping[str, Function] = {
    "Add": Function("add", _add),
    "Div": Function("div", _div),
    "Max": Function("maximum", maximum),
    "Min": Function("minimum", minimum),
    "Mul": Function("mul", _mul),
    "Sub": Function("sub", _sub),
}
"""Operators of two vectors, or of a vector and constants."""


def greater(a: Any, b: Any) -> Any:
    """1 where ``a`` is greater than ``b``, else 0; a fraction of 1 where they differ by less than 1e-30."""
    difference = a - b
    return above(difference, 0.0) / maximum(difference, 1e-30)


def _less(a: Any, b: Any) -> Any:
    return greater(b, a)


def _at_least(a: Any, b: Any) -> Any:
    return 1.0 - greater(b, a)


def _at_most(a: Any, b: Any) -> Any:
    return 1.0 - greater(a, b)


COMPARISONS: Mapping[str, Function] = {
    "And": Function("and", _mul),
    "Greater": Function("greater", greater),
    "GreaterOrEqual": Function("at_least", _at_least),
    "Less": Function("less", _less),
    "LessOrEqual": Function("at_most", _at_most),
    "Or": Function("or", maximum),
}
"""Operators whose result is 1 for true and 0 for false."""


def chosen(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition is 1, ``b`` where it is 0; both are computed.

    The complement is spelled such that this is no mixture, which would be computed as ``b + condition (a - b)``.
    """
    return condition * a + absolute(condition - 1.0) * b


def _negative(x: Any) -> Any:
    return 0.0 - x


def _reciprocal(x: Any) -> Any:
    return 1.0 / x


def shortest(number: float) -> float:
    """Shortest decimal form of a float32: 0.2, not 0.20000000298. A number that is no float32 is left as it is."""
    single = np.float32(number)
    return float(str(single)) if float(single) == number else number


def _with_numbers(name: str, *options: tuple[str, float]) -> Callable[[Node], Function]:
    def read(node: Node) -> Function:
        return activation(name, tuple(shortest(node.take(key, default)) for key, default in options))

    return read


def _fixed(name: str, call: Callable[..., Any]) -> Callable[[Node], Function]:
    return lambda node: Function(name, call)


def _gelu(node: Node) -> Function:
    approximate = node.take("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise node.refuse(f"its approximate is {approximate!r}, expected 'none' or 'tanh'.")
    return Function(f"gelu:{approximate}", partial(gelu, approximate=approximate))


def _selu(node: Node) -> Function:
    if (
        abs(node.take("alpha", 1.67326319) - 1.67326319) > 1e-6
        or abs(node.take("gamma", 1.05070102) - 1.05070102) > 1e-6
    ):
        raise node.refuse("it has another alpha or gamma than those of SELU; expected the defaults.")
    return Function("selu", selu)


def _celu_of(node: Node) -> Function:
    alpha = shortest(node.take("alpha", 1.0))
    return Function(f"celu:{alpha}", partial(celu, alpha=alpha))


UNARY: Mapping[str, Callable[[Node], Function]] = {
    "Abs": _fixed("abs", absolute),
    "Celu": _celu_of,
    "Elu": _with_numbers("elu", ("alpha", 1.0)),
    "Erf": _fixed("erf", erf),
    "Exp": _fixed("exp", exp),
    "Gelu": _gelu,
    "HardSigmoid": _with_numbers("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "HardSwish": _fixed("hard_swish", hard_swish),
    "LeakyRelu": _with_numbers("leaky_relu", ("alpha", 0.01)),
    "Log": _fixed("log", log),
    "Mish": _fixed("mish", mish),
    "Neg": _fixed("neg", _negative),
    "Not": _fixed("not", lambda x: 1.0 - x),
    "Reciprocal": _fixed("reciprocal", _reciprocal),
    "Relu": _with_numbers("relu"),
    "Selu": _selu,
    "Sigmoid": _with_numbers("sigmoid"),
    "Softplus": _with_numbers("softplus"),
    "Softsign": _with_numbers("softsign"),
    "Sqrt": _fixed("sqrt", sqrt),
    "Tanh": _with_numbers("tanh"),
    "ThresholdedRelu": _with_numbers("thresholded_relu", ("alpha", 1.0)),
}
"""Operators of one vector."""

REDUCTIONS: Mapping[str, Function] = {
    "ReduceMax": Function("largest", largest),
    "ReduceMean": Function("mean", mean),
    "ReduceSum": Function("total", total),
}
"""Operators from all units to a single number."""

WHOLE: Mapping[str, Function] = {
    "LogSoftmax": Function("log_softmax", log_softmax),
    "Softmax": Function("softmax", softmax),
}
"""Operators of all units at once, along one axis."""

NORMS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "LayerNormalization": ("layer_norm", layer_norm),
    "RMSNormalization": ("rms_norm", rms_norm),
}
"""Normalizations over all units, by name, and functions of a vector, its trained numbers and ``eps``."""
