"""Custom cells: layers that are defined by an equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from edge_rnn.equations.bounds import intervals, kept_intervals, parameter_intervals, state_intervals
from edge_rnn.equations.exposure import exposed
from edge_rnn.equations.graph import NAME, Builder, Graph
from edge_rnn.equations.json_form import from_json, to_json
from edge_rnn.equations.operations import EVERYTHING, Interval
from edge_rnn.equations.printing import as_text
from edge_rnn.errors import ModelError
from edge_rnn.formats import Matrix
from edge_rnn.layers.layer import INPUT, Layer, Weight, float32_copy, products
from edge_rnn.typing import F32

__all__ = ["Cell"]

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
        if not isinstance(self.equation, Graph):
            raise ModelError("Cell got no equation; make a layer by calling a function that edge_rnn.cell decorates.")
        if not NAME.fullmatch(self.function):
            raise ModelError(f"Cell got the function {self.function!r}, expected a name; define the function with def.")
        needed = {name: self.parameters.get(name) for name in self.equation.parameters}
        if clash := set(needed) & set(dict(self.equation.sizes)):
            raise ModelError(
                f"{self.title} has a state and a parameter called {min(clash)}; call one of them otherwise."
            )
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
        if isinstance(value, Matrix):
            return value
        if value is None:
            raise ModelError(f"{self.title} got no {name}, which its equation reads; pass it by name.")
        array = float32_copy(self.title, name, value)
        return array if array.ndim or isinstance(value, np.ndarray) else float(value)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name != "parameters" and name in self.parameters:
            return self.parameters[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        made = partial(type(self), name=self.name, inputs=self.inputs)
        return made, (self.equation, {**self.parameters}, {**self.starts}, self.function)

    def __repr__(self) -> str:
        return f"<{self.title}: {'; '.join(as_text(self.equation).splitlines())}>"

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
        if not isinstance(function, str) or not NAME.fullmatch(function):
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
    def reads_time(self) -> bool:
        """True if the last value that the layer reads is the time since the last sample, as a single number."""
        nodes, last = self.equation.nodes, (self.equation.input_size - 1, (1,))
        parts = {place for place, n in enumerate(nodes) if n.op == "part" and (n.start, n.shape) == last}
        times = {place for place in parts if nodes[nodes[place].args[0]].op == "input"}
        return any(node.op == "total" and node.args[0] in times for node in nodes)

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
        return self._bound(self.state_intervals(), self._limits)

    @property
    def rounding_bound(self) -> float | None:
        from_zero, limits = dict.fromkeys(self.starts, (0.0, 0.0)), self._limits
        bound = self._bound(state_intervals(self.equation, EVERYTHING, from_zero, limits), limits)
        return bound if bound == self.output_bound else None

    def _bound(self, states: Mapping[str, Interval], limits: Mapping[str, Interval]) -> float | None:
        if emitted := self.equation.emitted:
            low, high = states[emitted]
        else:
            low, high = intervals(self.equation, EVERYTHING, states, limits)[self.equation.output]
        most = max(-low, high)
        return None if most == inf else most

    @property
    def _limits(self) -> dict[str, Interval]:
        return parameter_intervals(self.parameters)

    @property
    def bounded_state(self) -> bool:
        return all(max(-low, high) < inf for low, high in self.state_intervals().values())

    @property
    def hides_input(self) -> bool:
        shown = exposed(self.equation)
        return not any(shown[place] for place, node in enumerate(self.equation.nodes) if node.op == "input")

    @property
    def hides_state(self) -> bool:
        shown = exposed(self.equation)
        return not all(shown[place] for place in self.equation.states)

    def rounding_ranges(self) -> dict[str, Interval]:
        return kept_intervals(self.equation, EVERYTHING, self.starts, self.parameters)

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return self.equation.output_size
