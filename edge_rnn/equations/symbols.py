"""Trace a cell's function with symbols that record its operations.

The function is called with symbols in place of the input, the states and the parameters; the values that it returns
give the graph. An ``if`` in it may test options, which are known at that time.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge_rnn.equations.graph import Builder, Graph, SizeFound, spelled
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.errors import ModelError

__all__ = ["ELAPSED", "Symbol", "apply", "joined", "refused", "share", "trace"]

ELAPSED = "elapsed"
"""Argument of an equation that is the time since the last sample, in s."""

_FUNCTIONS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "minimum": "minimum", "maximum": "maximum",
    "absolute": "absolute", "tanh": "tanh", "exp": "exp", "expm1": "expm1", "log": "log", "sqrt": "sqrt",
}  # fmt: skip
"""NumPy functions that symbols support, and their operations."""


class Symbol:
    """Value of an equation that is being traced."""

    __slots__ = ("builder", "place")

    def __init__(self, builder: Builder, place: int) -> None:
        self.builder, self.place = builder, place

    @property
    def shape(self) -> tuple[int, ...]:
        """``()`` for a single number, ``(units,)`` for a vector."""
        shape = self.builder.nodes[self.place].shape
        if shape and shape[0] < 0:
            raise refused("the length of a vector is needed, but unknown so far; give it, as in h=20 or input_size=3.")
        return shape

    def __array_ufunc__(self, function: Any, method: str, *values: Any, **options: Any) -> Any:
        if function is np.matmul and len(values) == 2:
            raise refused(f"{_kind(values[0])} stands left of @; pass it as a parameter.")
        name = _FUNCTIONS.get(function.__name__)
        if name is None or method != "__call__" or options:
            raise refused(f"np.{function.__name__} cannot be part of an equation; see edge_rnn.equations.functions.")
        return apply(name, *values)

    def __add__(self, other: Any) -> Any:
        return apply("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return apply("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return apply("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return apply("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return apply("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return apply("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return apply("div", other, self)

    def __neg__(self) -> Any:
        return apply("sub", 0.0, self)

    def __abs__(self) -> Any:
        return apply("absolute", self)

    def __pow__(self, power: Any) -> Any:
        if power != 2:
            raise refused(f"** {power} cannot be part of an equation; only ** 2 can.")
        return apply("mul", self, self)

    def __matmul__(self, other: Any) -> Symbol:
        raise refused(f"{spelled(self.shape)} left of @, expected a matrix among the parameters.")

    def __getitem__(self, key: Any) -> Symbol:
        if not isinstance(key, slice) or key.step not in (None, 1) or len(self.shape) != 1:
            raise refused(f"[{key!r}] cannot be part of an equation; a slice of a vector can.")
        start, stop, _ = key.indices(self.shape[0])
        return _recorded(self.builder, lambda: self.builder.part(self.place, start, stop - start))

    def __len__(self) -> int:
        if not self.shape:
            raise refused("len() got a single number, expected a vector.")
        return self.shape[0]

    def __iter__(self) -> Any:
        raise refused("a vector cannot be iterated over; split() gives its gates.")

    def __bool__(self) -> bool:
        raise refused("an if may test options, but not values, which are unknown while an equation is traced.")

    def __repr__(self) -> str:
        return f"<{self.builder.nodes[self.place].op} of {spelled(self.shape)}>"


class _Matrix:
    """Parameter that is a matrix; it can only be multiplied with a vector."""

    __slots__ = ("builder", "name")
    __array_ufunc__ = None

    def __init__(self, builder: Builder, name: str) -> None:
        self.builder, self.name = builder, name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.builder.shapes[self.name]

    def __matmul__(self, vector: Any) -> Symbol:
        place = _placed(self.builder, vector)
        return _recorded(self.builder, lambda: self.builder.product(self.name, place))


def trace(
    equation: Callable[..., Any],
    parameters: Mapping[str, Any],
    input_size: int | None,
    states: Mapping[str, int | None],
    *,
    timed: bool = False,
) -> Graph:
    """Trace an equation and return its graph.

    Parameters
    ----------
    equation
        ``equation(p, x, **states)``, which returns the output and a mapping of all new states. ``p`` has the parameters
        as attributes.
    parameters
        Parameters by name: arrays and floats become parameters of the graph; other values (strings, booleans, integers,
        None) are options, passed on unchanged.
    input_size
        Length of ``x``; None to infer it from its first use with a matrix or a vector.
    states
        Lengths of the states by name; None to infer them in the same way.
    timed
        True if the equation also takes the time since the last sample. It is the parameter :data:`ELAPSED`; without
        such a parameter the last value of the input, and ``x`` has the values before it.

    Raises
    ------
    ModelError
        The function uses something that is not allowed in an equation; the message names the line.
    """
    shapes = {name: tuple(value.shape) for name, value in parameters.items() if hasattr(value, "shape")}
    shapes |= {name: () for name, value in parameters.items() if isinstance(value, float)}
    sizes = {"": input_size, **states}
    while True:
        known = {name: -1 - k if size is None else size for k, (name, size) in enumerate(sizes.items())}
        try:
            return _traced(equation, parameters, shapes, known.pop(""), known, timed)
        except SizeFound as found:
            name = list(sizes)[-1 - found.unknown]
            sizes[name] = found.size + (not name and timed and ELAPSED not in parameters)


def _traced(
    equation: Callable[..., Any],
    parameters: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    input_size: int,
    states: Mapping[str, int],
    timed: bool,
) -> Graph:
    try:
        builder = Builder(input_size, states, shapes)
    except ModelError as error:
        raise ModelError(f"{_title(equation)}: {error}") from None
    given: dict[str, Any] = dict(parameters)
    for name, shape in shapes.items():
        if len(shape) > 2:
            raise ModelError(
                f"{_title(equation)}: the parameter {name} has the shape {shape}, expected at most 2 axes."
            )
        given[name] = _Matrix(builder, name) if len(shape) == 2 else Symbol(builder, builder.parameter(name))
    old = {name: Symbol(builder, builder.state(name)) for name in states}
    x = Symbol(builder, builder.input())
    if timed:
        x, old[ELAPSED] = (x, given[ELAPSED]) if ELAPSED in given else _time_apart(equation, builder, x)
    returned = equation(SimpleNamespace(**given), x, **old)
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], Mapping):
        raise ModelError(
            f"{_title(equation)} has to return its output and a dict of its new states, {{}} without states."
        )
    output, new = returned
    for what, value in {
        "as its output": output,
        **{f"as state {name!r}": value for name, value in new.items()},
    }.items():
        if not isinstance(value, Symbol) or value.builder is not builder:
            raise ModelError(f"{_title(equation)} returned {_kind(value)} {what}, expected a value of the equation.")
    try:
        return builder.graph(output.place, {name: value.place for name, value in new.items()})
    except ModelError as error:
        raise ModelError(f"{_title(equation)}: {error}") from None


def _time_apart(equation: Callable[..., Any], builder: Builder, x: Symbol) -> tuple[Symbol, Symbol]:
    """Return the input without its last value, and that value as a number."""
    rest = builder.input_size - 1
    if rest < 0:  # not known yet: recorded without the time, to find it
        return x, Symbol(builder, builder.number(1.0))
    if rest == 0:
        raise ModelError(
            f"{_title(equation)} reads one value, expected samples and behind them the time since the last."
        )
    time = builder.part(x.place, rest, 1)
    return Symbol(builder, builder.part(x.place, 0, rest)), Symbol(builder, builder.apply("total", time))


def apply(name: str, *values: Any) -> Any:
    """Record an operation of the table if a value is a symbol; compute it if all are numbers and arrays."""
    return _applied(name, values, lambda builder, places: builder.apply(name, *places))


def joined(*vectors: Any) -> Any:
    """Record the concatenation of vectors, or compute that of arrays."""
    return _applied("concat", vectors, lambda builder, places: builder.concat(*places))


def _applied(name: str, values: tuple[Any, ...], record: Callable[[Builder, list[int]], int]) -> Any:
    """Compute an operation; if a value is a symbol, record it instead, given the places of all values."""
    builder = next((value.builder for value in values if isinstance(value, Symbol)), None)
    if builder is None:
        for value in values:
            if isinstance(value, _Matrix):
                raise refused(f"the matrix {value.name} can only be multiplied: {value.name} @ vector.")
        numpy = OPERATIONS[name].numpy
        assert numpy is not None, name
        return numpy(*values)
    places = [_placed(builder, value) for value in values]
    return _recorded(builder, lambda: record(builder, places))


def share(vector: Any) -> float:
    """Share of one unit in the mean of a vector: 1 / length.

    1 for a vector of unknown length: its length is found further on, and the equation traced again.
    """
    shape = vector.builder.nodes[vector.place].shape if isinstance(vector, Symbol) else vector.shape
    return 1.0 / max(shape[0], 1)


def _placed(builder: Builder, value: Any) -> int:
    if isinstance(value, Symbol):
        if value.builder is not builder:
            raise refused("a value of another equation was used.")
        return value.place
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise refused(f"{_kind(value)} cannot be part of an equation; pass it as a parameter.")
    return _recorded(builder, lambda: builder.number(float(value))).place


def _recorded(builder: Builder, make: Callable[[], int]) -> Symbol:
    try:
        return Symbol(builder, make())
    except ModelError as error:
        raise refused(str(error)) from None


def refused(message: str) -> ModelError:
    """Make the error for a line of an equation: the innermost frame outside of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    code, line = frame.f_code, frame.f_lineno
    text = linecache.getline(code.co_filename, line).strip()
    return ModelError(f"{code.co_name}, line {line}{f' ({text})' if text else ''}: {message}")


def _title(equation: Callable[..., Any]) -> str:
    code = getattr(equation, "__code__", None)
    name = getattr(equation, "__name__", type(equation).__name__)
    return name if code is None else f"{name}, line {code.co_firstlineno}"


def _kind(value: Any) -> str:
    if isinstance(value, _Matrix):
        return f"the matrix {value.name}"
    return f"{value!r}" if isinstance(value, (str, type(None), bool)) else f"a value of type {type(value).__name__}"
