"""Write the operators of a network layer by layer, in ONNX's terms."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.keras.network import Layer
from edge_rnn_export.readers.keras.source import Source
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port

__all__ = ["READER", "At", "Emission", "Tensor", "broadcast", "operand", "tensor_of"]

READER = "from_keras"
"""Name of the reader in messages."""

MAX_OPERATORS = 2**13
"""Maximum number of operators: a model inside a model may be called many times."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """Value of the network.

    Parameters
    ----------
    name
        Name in the graph.
    shape
        Shape with the batch; None for open or unknown lengths.
    integers
        True for integers.
    state
        True for the final state of a recurrent layer.
    """

    name: str
    shape: tuple[int | None, ...]
    integers: bool = False
    state: bool = False

    @property
    def size(self) -> int | None:
        """Length of the last axis, the features."""
        return self.shape[-1] if self.shape else None


Input = str | Tensor | AnyArray | float | Sequence[int]
"""Input of an operator: a value, numbers, or a list of integers; an empty string for one that is left out."""


@dataclass(slots=True, eq=False)
class Emission:
    """Graph so far.

    Parameters
    ----------
    source
        Weights, and Keras's major version.
    states
        Inputs that are states, and the outputs with their new values, of models that take a single step.
    steps
        First recurrent layer, and the number of steps that it reads, None if open.
    joins
        Description of the first layer that joins steps and features, for messages.
    """

    source: Source
    operators: list[Operator] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    steps: tuple[str, int | None] | None = None
    joins: str = ""
    numbers: Iterator[int] = field(default_factory=count)

    def body(self) -> Emission:
        """Start the body of a Scan, which may read the same constants."""
        return Emission(self.source, constants=self.constants, numbers=self.numbers)

    def add(self, kind: str, name: str, read: Sequence[str], outputs: int, label: str = "", **more: Any) -> list[str]:
        """Add an operator, and return the names of its outputs."""
        number = next(self.numbers)
        if number >= MAX_OPERATORS:
            raise UnsupportedError(f"its layers make more than {MAX_OPERATORS} operators.")
        names = [f"{name}.{number}.{place}" for place in range(outputs)]
        bodies = more.pop("bodies", {})
        self.operators.append(Operator(kind, name, tuple(read), tuple(names), more, bodies, reader=READER, label=label))
        return names

    def graph(self, outputs: Sequence[str], budget: Budget) -> Graph:
        """Return the graph with these outputs."""
        ends = (*outputs, *self.states.values())
        return Graph(tuple(self.operators), tuple(self.ports), ends, self.constants, budget, reader=READER)

    def identity(self, name: str, tensor: Tensor) -> None:
        """Give a value a name of its own, as an output of the model."""
        if any(port.name == name for port in self.ports):
            raise UnsupportedError("there is no layer with weights between input and output.")
        self.operators.append(Operator("Identity", name, (tensor.name,), (name,), reader=READER))

    def integers(self, values: Sequence[int]) -> Constant:
        """Constant of integers."""
        return Constant.of(np.asarray(values, np.int64))

    def constant(self, base: str, array: AnyArray) -> str:
        """Name of a new constant."""
        name = f"{base}.{len(self.constants)}"
        self.constants[name] = Constant.of(array)
        return name


@dataclass(frozen=True, slots=True, eq=False)
class At:
    """Layer whose operators are being written: a call adds an operator and returns its output's name."""

    layer: Layer
    emission: Emission
    wrapper: Layer | None = None

    @property
    def title(self) -> str:
        """Kind and name, for messages."""
        return self.layer.title

    @property
    def config(self) -> Any:
        """Options of the layer."""
        return self.layer.config

    @property
    def version(self) -> int:
        """Keras's major version; 0 if unknown."""
        return self.emission.source.version

    def body(self) -> At:
        """Start the body of a Scan."""
        return At(self.layer, self.emission.body(), self.wrapper)

    def inside(self, layer: Layer) -> At:
        """Layer that this one wraps, which bears its name."""
        return At(layer, self.emission, self.wrapper or self.layer)

    def __call__(self, kind: str, *inputs: Input, **attributes: Any) -> str:
        """Add an operator with one output."""
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, outputs: int, *inputs: Input, **attributes: Any) -> tuple[str, ...]:
        """Add an operator, and return the names of its outputs."""
        base = "/".join((*(name.replace("/", "_") for name in (self.wrapper or self.layer).names), kind))
        read = [self._input(base, each) for each in inputs]
        return tuple(self.emission.add(kind, base, read, outputs, self.title, **attributes))

    def _input(self, base: str, given: Input) -> str:
        if isinstance(given, str):
            return given
        if isinstance(given, Tensor):
            return given.name
        if isinstance(given, np.ndarray):
            return self.emission.constant(base, given)
        return self.emission.constant(base, np.asarray(given, np.float64 if isinstance(given, float) else np.int64))

    def arrays(self, *names: str) -> list[AnyArray]:
        """Arrays of the layer, under Keras's names in their order; see :class:`Source`."""
        arrays = list(self.emission.source.arrays(self.layer, names))
        for name, array in zip((name for name in names if not name.startswith("-")), arrays, strict=True):
            odd = array[~np.isfinite(array)]
            if odd.size:
                raise FileError(f"{self.title} {name} holds {odd[0]}, expected finite numbers.")
        return arrays

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error that says why the layer cannot be read."""
        return UnsupportedError(f"{READER} cannot read the {self.title}: {reason}")

    def check_shape(self, name: str, array: AnyArray, shape: tuple[int | None, ...]) -> None:
        """Check the shape of an array against the layer's options and input; None fits anything."""
        fits = array.ndim == len(shape) and all(b in (a, None) for a, b in zip(array.shape, shape, strict=True))
        if not fits:
            raise FileError(
                f"{self.title} {name} got shape {array.shape}, expected {shape}, from its units and its input."
            )


def broadcast(at: At, *shapes: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Shape of an elementwise operation, by NumPy's rules; an open length only fits itself or 1."""
    found: list[int | None] = []
    for place in range(max(map(len, shapes))):
        lengths = {shape[-1 - place] for shape in shapes if place < len(shape)} - {1}
        if len(lengths - {None}) > 1:
            raise at.refuse(
                f"it combines the shapes {' and '.join(map(str, shapes[:8]))}, expected equal lengths or 1."
            )
        found.append(next(iter(lengths - {None}), None) if lengths else 1)
    return tuple(reversed(found))


def tensor_of(at: At, value: Any) -> Tensor:
    """Argument that must be the output of a layer."""
    if not isinstance(value, Tensor):
        raise at.refuse(f"it takes {reprlib.repr(value)}, expected the output of a layer.")
    return value


def operand(at: At, value: Any) -> tuple[Input, tuple[int | None, ...]]:
    """Argument that is the output of a layer or numbers, and its shape."""
    if isinstance(value, Tensor):
        return value, value.shape
    if isinstance(value, bool) or not isinstance(value, int | float | list | np.ndarray):
        raise at.refuse(f"it takes {reprlib.repr(value)}, expected outputs of layers and numbers.")
    try:
        array = np.asarray(value, np.float64)
    except ValueError:
        raise at.refuse(f"it takes {reprlib.repr(value)}, expected outputs of layers and numbers.") from None
    return array, array.shape
