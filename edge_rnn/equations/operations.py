"""Table of all operations of equations.

Everything derived from an equation, and everything read from a file, is limited to the operations in this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import erf, exp, inf, log, log1p, sqrt, tanh
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

__all__ = ["EVERYTHING", "OPERATIONS", "Interval", "Operation", "Rule", "multiplied", "shape_of"]

Interval = tuple[float, float]
"""Smallest and largest value."""

EVERYTHING: Interval = (-inf, inf)

Rule = Literal["leaf", "units", "reduction", "product", "part", "concat"]
"""Rule for an operation's shape: ``"units"`` is elementwise, with single numbers broadcast over the units."""

_LARGEST = 709.0  # exp overflows in float64 above this


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of equations.

    Parameters
    ----------
    rule
        Rule for its shape, given those of its arguments.
    arity
        Number of arguments; None for any number.
    numpy
        Function on NumPy arrays of any length; axis 0 is the units.
    kernel
        Source text in a kernel, ``{0}`` standing for the first argument; empty for an operation with a stage of its
        own.
    onnx
        Equivalent ONNX operator; empty if there is none.
    interval
        Function from the intervals of the arguments to the interval of the values.
    text, latex
        Templates for printing; ``{0}`` as above.
    binds
        Precedence of the printed text: 1 for a sum, 2 for a product, 3 for a single term.
    is_slow
        True if it is several times slower than a multiplication.
    """

    rule: Rule
    arity: int | None
    numpy: Callable[..., Any] | None = None
    kernel: str = ""
    onnx: str = ""
    interval: Callable[..., Interval] | None = None
    text: str = ""
    latex: str = ""
    binds: int = 3
    is_slow: bool = False


def _monotonous(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    return lambda a: (function(a[0]), function(a[1]))


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b  # an infinite bound is not a value: 0 times any finite value is 0


def multiplied(a: Interval, b: Interval) -> Interval:
    """Interval of products."""
    ends = [_times(x, y) for x in a for y in b]
    return min(ends), max(ends)


def _quotient(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0 <= b[1]:
        return EVERYTHING
    return multiplied(a, (1 / b[1], 1 / b[0]))


def _absolute(a: Interval) -> Interval:
    low = 0.0 if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))
    return low, max(abs(a[0]), abs(a[1]))


def _kept_above(a: Interval, limit: Interval) -> Interval:
    return min(0.0, max(a[0], limit[0])), max(0.0, a[1])


def _exponential(a: float) -> float:
    return inf if a > _LARGEST else exp(a)


def _logarithm(a: float) -> float:
    return log(a) if a > 0 else -inf


def _logistic(a: float) -> float:
    return 1 / (1 + exp(-a)) if a > -_LARGEST else 0.0


def _softplus(a: float) -> float:
    return max(a, 0.0) + log1p(exp(-abs(a)))


def _root(a: Interval) -> Interval:
    return sqrt(max(a[0], 0.0)), sqrt(max(a[1], 0.0))


def _sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``; exp gets no positive argument, so nothing overflows and small results stay exact."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def _erf(x: Any) -> Any:
    """Error function, which NumPy lacks, of each value, in the dtype of an array of floats."""
    x = np.asarray(x)
    return np.vectorize(erf, otypes=[x.dtype if x.dtype.kind == "f" else float])(x)[()]


def _joined(*parts: Any) -> Any:
    most = max(np.ndim(part) for part in parts)
    steps = max((np.shape(part)[1:] for part in parts if np.ndim(part) == most), default=())
    wide = [part.reshape(*part.shape, *[1] * (most - np.ndim(part))) for part in parts]
    return np.concatenate([np.broadcast_to(part, (part.shape[0], *steps)) for part in wide])


def _units(
    arity: int, numpy: Callable[..., Any], kernel: str, onnx: str, interval: Callable[..., Interval], **more: Any
) -> Operation:
    text = more.pop("text", kernel)
    return Operation("units", arity, numpy, kernel, onnx, interval, text, **more)


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        # ---- leaves
        "input": Operation("leaf", 0),
        "state": Operation("leaf", 0),
        "parameter": Operation("leaf", 0),
        "number": Operation("leaf", 0),
        # ---- whole vectors
        "product": Operation("product", 1, onnx="MatMul", binds=2, is_slow=True),
        "part": Operation("part", 1, onnx="Slice"),
        "concat": Operation("concat", None, _joined, onnx="Concat"),
        "total": Operation(
            "reduction", 1, lambda x: x.sum(axis=0), onnx="ReduceSum", text="sum({0})", latex=r"\sum {0}", is_slow=True
        ),
        "largest": Operation(
            "reduction",
            1,
            lambda x: x.max(axis=0),
            onnx="ReduceMax",
            interval=lambda a: a,
            text="max({0})",
            latex=r"\max {0}",
            is_slow=True,
        ),
        # ---- elementwise
        "add": _units(2, np.add, "{0} + {1}", "Add", lambda a, b: (a[0] + b[0], a[1] + b[1]), binds=1),
        "sub": _units(2, np.subtract, "{0} - {1}", "Sub", lambda a, b: (a[0] - b[1], a[1] - b[0]), binds=1),
        "mul": _units(2, np.multiply, "{0} * {1}", "Mul", multiplied, latex=r"{0} \odot {1}", binds=2),
        "div": _units(
            2, np.true_divide, "{0} / {1}", "Div", _quotient, latex=r"{0} \oslash {1}", binds=2, is_slow=True
        ),
        "minimum": _units(
            2, np.minimum, "minimum({0}, {1})", "Min", lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
            text="min({0}, {1})", latex=r"\min({0}, {1})",
        ),
        "maximum": _units(
            2, np.maximum, "maximum({0}, {1})", "Max", lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
            text="max({0}, {1})", latex=r"\max({0}, {1})",
        ),
        "above": _units(
            2, lambda x, limit: np.where(x <= limit, 0.0, x), "keep_above({0}, {1})", "", _kept_above,
            text="above({0}, {1})", latex=r"[{0}]_{{> {1}}}",
        ),
        "absolute": _units(
            1, np.abs, "absolute({0})", "Abs", _absolute, text="|{0}|", latex=r"\left|{0}\right|"
        ),
        "sigmoid": _units(
            1, _sigmoid, "sigmoid({0})", "Sigmoid", _monotonous(_logistic), text="σ({0})", latex=r"\sigma({0})",
            is_slow=True,
        ),
        "tanh": _units(
            1, np.tanh, "tanh({0})", "Tanh", _monotonous(tanh), latex=r"\tanh({0})", is_slow=True
        ),
        "exp": _units(
            1, np.exp, "exp_of_any({0})", "Exp", _monotonous(_exponential), text="exp({0})", latex=r"e^{{{0}}}",
            is_slow=True,
        ),
        "expm1": _units(
            1, np.expm1, "exp_of_any({0}) - 1.0", "", _monotonous(lambda a: _exponential(a) - 1), text="expm1({0})",
            latex=r"(e^{{{0}}} - 1)", is_slow=True,
        ),
        "log": _units(
            1, np.log, "log({0})", "Log", _monotonous(_logarithm), latex=r"\log({0})", is_slow=True
        ),
        "erf": _units(
            1, _erf, "erf({0})", "Erf", _monotonous(erf), latex=r"\operatorname{{erf}}({0})", is_slow=True
        ),
        "softplus": _units(
            1, lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))), "softplus({0})", "Softplus",
            _monotonous(_softplus), latex=r"\operatorname{{softplus}}({0})", is_slow=True,
        ),
        "sqrt": _units(1, np.sqrt, "square_root({0})", "Sqrt", _root, text="√({0})", latex=r"\sqrt{{{0}}}",
            is_slow=True,),
    }
)  # fmt: skip
"""Operations by name. Other activations are composed of these, see :mod:`edge_rnn.equations.functions`."""


def shape_of(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Shape of an elementwise operation or a reduction; None if the arguments do not fit."""
    if OPERATIONS[name].rule == "reduction":
        return () if all(shapes) else None
    vectors = {shape for shape in shapes if shape}
    return vectors.pop() if len(vectors) == 1 else () if not vectors else None
