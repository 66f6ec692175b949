"""Base class of layers, and checks of their arguments."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.activation import parse
from edge_rnn.arrays import plain_array
from edge_rnn.checks import choice, real
from edge_rnn.equations.graph import Graph
from edge_rnn.equations.operations import EVERYTHING, Interval
from edge_rnn.errors import ModelError, ModelTypeError
from edge_rnn.formats import Matrix
from edge_rnn.typing import F32

__all__ = ["INPUT", "SELDOM", "Layer", "Weight", "float32_copy", "products"]


Weight = F32 | Matrix
"""Matrix of a layer: float32, or in a format of :mod:`edge_rnn.formats`."""

SELDOM = {"seldom": True}
"""Metadata of fields that are left out of :attr:`Layer.options` while they have their defaults."""

INPUT = "input"
"""Name by which a layer's ``inputs`` refer to the model's own input."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Layer:
    """Base class of layers: a name, and the names of the layers that it reads.

    Parameters
    ----------
    name
        Unique in the model: a letter or ``_``, then up to 63 letters, digits, ``_`` or ``-``. If empty, the model names
        it after its kind and index: ``gru1``.
    inputs
        Names of earlier layers, or ``"input"``. Empty: the layer before this one.

    Notes
    -----
    A new kind of layer is a frozen dataclass with array fields and plain options (str, bool, int, float). Files,
    fingerprints and parameter counts follow from its fields; reference, kernel and ONNX form are found by its name.
    """

    matrices: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Fields that may be in another format than float32, with their multiplicand: ``"input"``, or a state."""

    emits: ClassVar[str] = ""
    """State whose new value is the layer's output; empty if the output is stored separately."""

    rings: ClassVar[tuple[str, ...]] = ()
    """States that a step updates only in part, in place. Any other state is replaced as a whole, next to its old
    value, which a discarded step leaves unchanged.
    """

    usual: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({})
    """Option values to precompile, by field."""

    name: str = ""
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or (self.name and not _NAME.fullmatch(self.name)) or self.name == INPUT:
            raise (ModelError if isinstance(self.name, str) else ModelTypeError)(
                f"{self.kind} got the name {self.name!r}; expected a letter or _ followed by up to 63 letters, digits, "
                f"_ or -, and not {INPUT!r}."
            )
        inputs = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
        if not isinstance(inputs, Sequence) or not all(isinstance(name, str) for name in inputs):
            raise ModelTypeError(f"{self.title} inputs got {self.inputs!r}, expected names of layers.")
        object.__setattr__(self, "inputs", tuple(inputs))

    @property
    def kind(self) -> str:
        """Name of the class: ``"LSTM"``."""
        return type(self).__name__

    @property
    def title(self) -> str:
        """Kind and name, for messages: ``LSTM 'rnn'``."""
        return f"{self.kind} {self.name!r}" if self.name else self.kind

    @property
    def graph(self) -> Graph | None:
        """The equation that the layer computes; None for a layer that has a kernel and a reference of its own."""
        return None

    @property
    def recorded_from(self) -> Hashable:
        """Value whose ``repr`` identifies the graph; None without a graph."""
        return self.graph

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the layer by name, except its name and inputs: arrays, matrices and options."""
        return self._fields

    @property
    def _fields(self) -> dict[str, Any]:
        own = (f.name for f in fields(self) if f.name not in Layer.__dataclass_fields__)
        return {name: getattr(self, name) for name in own}

    def replaced(self, **changes: Any) -> Self:
        """Copy of the layer with some of its fields changed."""
        return replace(self, **changes)

    def probe(self) -> tuple[Layer, dict[str, slice]]:
        """Make a layer that outputs all vectors that matrices multiply, except the input; with each matrix's slice."""
        raise NotImplementedError

    def gates_of(self, name: str) -> int:
        """Number of gates that the rows of a matrix are split into."""
        return len(getattr(self, "gates", "y"))

    @property
    def arrays(self) -> dict[str, F32]:
        """Arrays that are not None, by field name, in the order of definition."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    @property
    def formats(self) -> dict[str, Matrix]:
        """Matrices in another format than float32, by field name, in the order of definition."""
        values = {name: getattr(self, name) for name in self.matrices}
        return {name: value for name, value in values.items() if isinstance(value, Matrix)}

    @property
    def options(self) -> dict[str, Any]:
        """Other fields that are set, except ``name`` and ``inputs``: plain values.

        Those marked as :data:`SELDOM` count as set if they differ from their defaults.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        skip = {"name", "inputs", *self.arrays, *self.formats}
        skip |= {f.name for f in fields(self) if f.metadata == SELDOM and values[f.name] == f.default}
        return {name: value for name, value in values.items() if name not in skip and value is not None}

    @classmethod
    def of_options(cls, options: Mapping[str, Any], arrays: Mapping[str, Any], **more: Any) -> Self:
        """Rebuild a layer from its :attr:`options`, :attr:`arrays` and :attr:`formats`."""
        return cls(**more, **arrays, **options)

    @property
    def num_parameters(self) -> int:
        """Number of values in the arrays and matrices."""
        return sum(a.size for a in self.arrays.values()) + sum(m.size for m in self.formats.values())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds per step in the layer's matrices and scalings (activations are not counted)."""
        return 0

    @property
    def initial_state(self) -> dict[str, F32]:
        """State at the start of a stream, by name; each float32 ``(size,)``. Empty for a stateless layer."""
        return {}

    @property
    def bounded_state(self) -> bool:
        """True if the state stays finite as long as the inputs are finite."""
        return True

    @property
    def hides_input(self) -> bool:
        """True if a value that the layer reads may be NaN while its output is finite."""
        return False

    @property
    def hides_state(self) -> bool:
        """True if a new state may be NaN while the output is finite."""
        return False

    @property
    def output_bound(self) -> float | None:
        """Upper bound of the absolute output for any input, or None if unbounded."""
        return None

    @property
    def rounding_bound(self) -> float | None:
        """Output range for rounding to integers; None if the largest value of each vector is better."""
        return self.output_bound

    def rounding_ranges(self) -> dict[str, Interval]:
        """Ranges for rounding states to integers; EVERYTHING if the largest value of each vector is better."""
        bound = inf if self.rounding_bound is None else self.rounding_bound
        return {name: (-bound, bound) if name == self.emits else EVERYTHING for name in self.initial_state}

    def state_bound(self, name: str) -> float | None:
        """Range for rounding a state to integers; None if the largest value of each vector is better."""
        low, high = self.rounding_ranges()[name]
        return None if max(-low, high) == inf else max(-low, high)

    def output_size(self, input_sizes: Sequence[int]) -> int:
        """Return the output length for given input lengths; raise ModelError if these do not fit."""
        raise NotImplementedError

    def _set_array(self, name: str, value: ArrayLike | Matrix, shape: tuple[int | str, ...]) -> tuple[int, ...]:
        """Store ``value`` as a checked float32 copy and return its shape; letters in ``shape`` stand for any length."""
        array = self._checked(name, value)
        expected = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
        fits = len(shape) == len(array.shape) and all(
            got > 0 if isinstance(want, str) else got == want for got, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            raise ModelError(f"{self.title} {name} got shape {array.shape}, expected {expected}.")
        object.__setattr__(self, name, array)
        return array.shape

    def _checked(self, name: str, value: ArrayLike | Matrix) -> Weight:
        """Return a read-only float32 copy of ``value``, or ``value`` itself if in another accepted format."""
        if isinstance(value, Matrix) and name in self.matrices:
            gates = self.gates_of(name)
            if misfit := value.misfit(gates):
                raise ModelError(f"{self.title} {name} got {misfit}, expected {gates}.")
            return value
        return float32_copy(self.title, name, value)

    def _check_option(self, name: str, allowed: Sequence[Any]) -> None:
        choice(self.title, name, getattr(self, name), allowed, error=ModelError)

    def _check_activation(self, name: str, *others: str) -> None:
        """Check an activation, and store its shortest spelling."""
        text = getattr(self, name)
        if text in others:
            return
        try:
            object.__setattr__(self, name, str(parse(text)) if isinstance(text, str) else parse(repr(text)))
        except ValueError as error:
            more = "".join(f", or {other!r}" for other in others)
            raise ModelError(f"{self.title} {name} got {text!r}, {error}{more}.") from None

    def _check_clip(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        words = "a positive number or None"
        value = real(self.title, name, value, 0, above=True, expected=words, error=ModelError)
        object.__setattr__(self, name, value)

    def _check_input_size(self, expected: int, input_sizes: Sequence[int]) -> None:
        got = sum(input_sizes)
        if got != expected:
            parts = " + ".join(map(str, input_sizes)) + " = " if len(input_sizes) > 1 else ""
            raise ModelError(f"{self.title} reads {parts}{got} values, expected {expected}, from its weights.")


def float32_copy(owner: str, name: str, value: ArrayLike) -> F32:
    """Return a read-only float32 copy of ``value``; every value must be finite."""
    try:
        given = plain_array(value)
    except ValueError as error:
        raise ModelError(f"{owner} {name} is not an array: {error}.") from None
    if given.dtype.kind not in "fiu":
        raise ModelTypeError(f"{owner} {name} got dtype {given.dtype}, expected numbers that fit float32.")
    with np.errstate(over="ignore"):
        array = np.array(given, dtype=np.float32, order="C")
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ModelError(f"{owner} {name} holds {given[place]} at {place}; expected finite float32 values.")
    array.setflags(write=False)
    return array


def products(weight: Weight) -> int:
    """Multiply-adds of the matrix-vector product."""
    return weight.multiply_adds if isinstance(weight, Matrix) else weight.size
