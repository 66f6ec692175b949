"""Custom cells: layers that are defined by an equation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, update_wrapper
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from edge_rnn.checks import is_whole
from edge_rnn.equations.bounds import intervals, kept_intervals, parameter_intervals, state_intervals
from edge_rnn.equations.graph import Builder, Graph
from edge_rnn.equations.json_form import from_json, to_json
from edge_rnn.equations.operations import EVERYTHING, Interval
from edge_rnn.equations.symbols import trace
from edge_rnn.errors import ModelError
from edge_rnn.formats import Matrix
from edge_rnn.layers.layer import INPUT, Layer, Weight, float32_copy, products
from edge_rnn.typing import F32

__all__ = ["Cell", "CellFunction", "cell"]

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TAKEN = ("cell", "state")
_START = "start."
"""Prefix of initial states among a layer's arrays. The dot keeps them apart from parameters, whose names have none."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell(Layer):
    """Layer that is defined by an equation; :func:`edge_rnn.cell` makes them.

    Parameters
    ----------
    equation
        Graph of one step.
    parameters
        float32 arrays, matrices in any format of :mod:`edge_rnn.formats`, and numbers, by name.
    starts
        Initial states by name; zeros for a state that is missing.
    function
        Name of the function that the equation was traced from.
    """

    equation: Graph
    parameters: Mapping[str, Weight | float]
    starts: Mapping[str, F32]
    function: str = "cell"

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        if not isinstance(self.equation, Graph) or not _PARAMETER.fullmatch(self.function):
            raise ModelError("Cell got no equation; make a layer by calling a function that edge_rnn.cell decorates.")
        needed = {name: self.parameters.get(name) for name in self.equation.parameters}
        checked = {name: self._parameter(name, value) for name, value in needed.items()}
        shapes = {name: np.shape(value) for name, value in checked.items()}
        from_json(to_json(self.equation), shapes)  # raises if a parameter does not have the shape that was traced
        starts = {}
        for name, size in self.equation.sizes:
            start = (
                float32_copy(self.title, name, self.starts[name]) if name in self.starts else np.zeros(size, np.float32)
            )
            if start.shape != (size,):
                raise ModelError(f"{self.title} {name} got shape {start.shape}, expected ({size},).")
            starts[name] = start
        object.__setattr__(self, "parameters", MappingProxyType(checked))
        object.__setattr__(self, "starts", MappingProxyType(starts))

    def _parameter(self, name: str, value: Any) -> Weight | float:
        if name in _TAKEN or hasattr(type(self), name):
            raise ModelError(f"{self.title} has a parameter called {name}, a name that layers use already; rename it.")
        if isinstance(value, (Matrix, float)):
            return value
        if value is None:
            raise ModelError(f"{self.title} got no {name}, which its equation reads; pass it by name.")
        return float32_copy(self.title, name, value)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name != "parameters" and name in self.parameters:
            return self.parameters[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        made = partial(type(self), name=self.name, inputs=self.inputs)
        return made, (self.equation, {**self.parameters}, {**self.starts}, self.function)

    @property
    def title(self) -> str:
        return f"{self.function} {self.name!r}" if self.name else self.function

    @property
    def graph(self) -> Graph:
        return self.equation

    @property
    def emits(self) -> str:  # type: ignore[override]
        return self.equation.emitted

    @property
    def fields(self) -> dict[str, Any]:
        return dict(self.parameters)

    def replaced(self, **changes: Any) -> Self:
        kept: dict[str, Any] = {key: changes.pop(key, getattr(self, key)) for key in ("name", "inputs")}
        starts = {f"{_START}{name}": start for name, start in self.starts.items()}
        if unknown := set(changes) - {*self.parameters, *starts}:
            raise ModelError(f"{self.title} has no {min(unknown)}, expected one of {', '.join(self.parameters)}.")
        starts = {name.removeprefix(_START): changes.pop(name, start) for name, start in starts.items()}
        return type(self)(self.equation, {**self.parameters, **changes}, starts, self.function, **kept)

    @property
    def matrices(self) -> Mapping[str, str]:  # type: ignore[override]
        """Multiplicand of each matrix: ``"input"``, the name of a state, or empty for a value computed in the step."""
        found: dict[str, str] = {}
        for name, vector in self.equation.products:
            reads = {"input": INPUT, "state": vector.name}.get(vector.op, "")
            found[name] = reads if found.get(name, reads) == reads else ""
        return found

    def probe(self) -> tuple[Self, dict[str, slice]]:
        """Make a layer that outputs all vectors that matrices multiply, except the input; with each matrix's slice."""
        shapes = {name: np.shape(value) for name, value in self.parameters.items()}
        builder = Builder(self.equation.input_size, dict(self.equation.sizes), shapes)
        places = [builder.put(node) for node in self.equation.nodes]
        vectors: dict[int, slice] = {}
        found: dict[str, slice] = {}
        end = 0
        for node in self.equation.nodes:
            if node.op == "product" and self.matrices[node.name] != INPUT:
                (vector,) = node.args
                if vector not in vectors:
                    size = self.equation.nodes[vector].shape[0]
                    vectors[vector] = slice(end, end + size)
                    end += size
                found.setdefault(node.name, vectors[vector])
        output = builder.concat(*(places[vector] for vector in vectors))
        graph = builder.graph(output, {name: places[place] for name, place in self.equation.new_states.items()})
        return type(self)(graph, self.parameters, self.starts, self.function, inputs=self.inputs), found

    def gates_of(self, name: str) -> int:
        return self.equation.gates(name)

    @property
    def arrays(self) -> dict[str, F32]:
        arrays = {name: value for name, value in self.parameters.items() if isinstance(value, np.ndarray)}
        return arrays | {f"{_START}{name}": start for name, start in self.starts.items() if start.any()}

    @property
    def formats(self) -> dict[str, Matrix]:
        return {name: value for name, value in self.parameters.items() if isinstance(value, Matrix)}

    @property
    def options(self) -> dict[str, Any]:
        numbers = {name: value for name, value in self.parameters.items() if isinstance(value, float)}
        return {"function": self.function, "equation": to_json(self.equation), "numbers": numbers}

    @classmethod
    def of_options(cls, options: Mapping[str, Any], arrays: Mapping[str, Any], **more: Any) -> Self:
        """Rebuild a layer from its :attr:`options`, :attr:`arrays` and :attr:`formats`, which need not be trusted."""
        if not isinstance(options, Mapping) or set(options) != {"function", "equation", "numbers"}:
            raise ModelError("a cell got unknown or missing options, expected function, equation and numbers.")
        function, numbers = options["function"], options["numbers"]
        if not isinstance(function, str) or not _PARAMETER.fullmatch(function):
            raise ModelError(f"a cell got the function {str(function)[:80]!r}, expected a name.")
        if not isinstance(numbers, Mapping) or not all(type(v) is float and isfinite(v) for v in numbers.values()):
            raise ModelError(f"{function} got the numbers {str(numbers)[:80]}, expected finite numbers by name.")
        if clash := set(numbers) & set(arrays):
            raise ModelError(f"{function} got {min(clash)} as a number and as an array.")
        starts = {name.removeprefix(_START): array for name, array in arrays.items() if name.startswith(_START)}
        values = {name: array for name, array in arrays.items() if not name.startswith(_START)} | {**numbers}
        graph = from_json(options["equation"], {name: np.shape(value) for name, value in values.items()})
        if unread := set(values) - set(graph.parameters):
            raise ModelError(f"{options['function']} has {min(unread)}, which its equation does not read.")
        if unknown := set(starts) - set(dict(graph.sizes)):
            raise ModelError(f"{options['function']} has an initial value of an unknown state, {min(unknown)}.")
        return cls(graph, values, starts, options["function"], **more)

    @property
    def input_size(self) -> int:
        """Number of values read per step."""
        return self.equation.input_size

    @property
    def multiply_adds(self) -> int:
        matrices = [self.parameters[name] for name, _ in self.equation.products]
        return sum(products(matrix) for matrix in matrices if not isinstance(matrix, float))

    @property
    def initial_state(self) -> dict[str, F32]:
        return dict(self.starts)

    def state_intervals(self, x: Interval = EVERYTHING) -> dict[str, Interval]:
        """Interval that each state stays in, for any input within ``x``."""
        starts = {name: (float(start.min()), float(start.max())) for name, start in self.starts.items()}
        return state_intervals(self.equation, x, starts, self._limits)

    @property
    def output_bound(self) -> float | None:
        return self._bound(self.state_intervals())

    @property
    def rounding_bound(self) -> float | None:
        from_zero = dict.fromkeys(self.starts, (0.0, 0.0))
        bound = self._bound(state_intervals(self.equation, EVERYTHING, from_zero, self._limits))
        return bound if bound == self.output_bound else None

    def _bound(self, states: Mapping[str, Interval]) -> float | None:
        low, high = intervals(self.equation, EVERYTHING, states, self._limits)[self.equation.output]
        if self.equation.emitted:
            low, high = states[self.equation.emitted]
        most = max(-low, high)
        return None if most == inf else most

    @property
    def _limits(self) -> dict[str, Interval]:
        return parameter_intervals(self.parameters)

    @property
    def bounded_state(self) -> bool:
        return all(max(-low, high) < inf for low, high in self.state_intervals().values())

    def state_bound(self, name: str) -> float | None:
        low, high = kept_intervals(self.equation, EVERYTHING, self.starts, self.parameters)[name]
        return None if max(-low, high) == inf else max(-low, high)

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return self.equation.output_size


class CellFunction:
    """Function of a cell, which makes layers when it is called; see :func:`cell`."""

    def __init__(self, equation: Callable[..., Any]) -> None:
        update_wrapper(self, equation)
        self.equation = equation
        names = list(inspect.signature(equation).parameters)
        if len(names) < 3:
            raise ModelError(
                f"cell got {equation.__name__}({', '.join(names)}), expected a function of parameters, input and "
                f"states: def {equation.__name__}(p, x, h)."
            )
        self.states = tuple(names[2:])

    def __repr__(self) -> str:
        return f"<cell {self.equation.__name__}, states {', '.join(self.states)}>"

    def __call__(
        self, *, name: str = "", inputs: Sequence[str] = (), input_size: int | None = None, **given: Any
    ) -> Cell:
        """Make a layer with these parameters.

        Parameters
        ----------
        name, inputs
            See :class:`~edge_rnn.layers.Layer`.
        input_size
            Number of values read per step; needed only if it does not follow from a matrix.
        **given
            Parameters by name: arrays, matrices in a format, numbers. Values of other types are options, which the
            function may branch on. The name of a state takes its length, if that does not follow from a matrix, or its
            initial values.
        """
        title = self.equation.__name__
        starts, sizes = {}, dict[str, int | None]()
        for state in self.states:
            value = given.pop(state, None)
            sizes[state] = int(value) if is_whole(value) else None
            if value is not None and sizes[state] is None:
                starts[state] = start = float32_copy(title, state, value)
                if start.ndim != 1:
                    raise ModelError(
                        f"{title} {state} got shape {start.shape}, expected one value for each unit: (H,)."
                    )
                sizes[state] = start.size
        parameters = {key: self._parameter(key, value) for key, value in given.items()}
        graph = trace(self.equation, parameters, input_size, sizes)
        return Cell(graph, parameters, starts, title, name=name, inputs=tuple(inputs))

    def _parameter(self, name: str, value: Any) -> Any:
        if not _PARAMETER.fullmatch(name):
            raise ModelError(f"{self.equation.__name__} got a parameter {name!r}, expected letters, digits and _.")
        if value is None or isinstance(value, (Matrix, str, bool, int)):
            return value
        if isinstance(value, (float, np.floating)):
            return float(value)
        return float32_copy(self.equation.__name__, name, value)


def cell(equation: Callable[..., Any]) -> CellFunction:
    """Turn a function that computes one step into a kind of layer.

    Parameters
    ----------
    equation
        ``equation(p, x, h, …)``: ``p`` has the parameters as attributes, ``x`` is the input, and each state has an
        argument of its own. It returns the output and a dict of the new states. It may use ``@`` between a matrix and a
        vector, ``+ - * /``, slices, and the functions of :mod:`edge_rnn.equations`. An ``if`` may test options, not
        values.

    Returns
    -------
    CellFunction
        Makes a layer when it is called with parameters. Lengths follow from the matrices.

    Raises
    ------
    ModelError
        The function has no state. When it is called: it uses something that is not allowed in an equation; the message
        names the line.

    Examples
    --------
    >>> import numpy as np, edge_rnn
    >>> from edge_rnn.equations import sigmoid, tanh
    >>> @edge_rnn.cell
    ... def mgu(p, x, h):
    ...     f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    ...     h = (1 - f) * h + f * tanh(p.W_h @ x + p.U_h @ (f * h) + p.b_h)
    ...     return h, {"h": h}
    >>> w, u, b = np.ones((2, 3)), np.ones((2, 2)), np.zeros(2)
    >>> model = edge_rnn.Model([mgu(W_f=w, U_f=u, b_f=b, W_h=w, U_h=u, b_h=b)])
    >>> edge_rnn.Stream(model).step(np.ones(3, np.float32)).shape
    (2,)
    """
    return CellFunction(equation)
