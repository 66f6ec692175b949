"""Graph of a foreign network as plain data: operators in order, inputs, outputs and constants by name.

Front ends make it of ONNX files, PyTorch modules and the like. Operators are ONNX's, with ONNX's semantics
(https://onnx.ai/onnx/operators).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray

__all__ = ["LATEST_OPSET", "Constant", "Graph", "Operator", "Port"]

LATEST_OPSET = 23
"""Operator set of front ends that write operators themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """Operator of the graph.

    Parameters
    ----------
    kind
        Name of an ONNX operator.
    name
        Name for messages, and for the layer that it becomes: the part before the last slash, if there is one.
    inputs, outputs
        Names of values; empty if omitted.
    attributes
        Numbers, strings, lists of them, and arrays. Integers that ONNX has as attributes or as inputs, depending on the
        operator set, such as axes, may be either.
    bodies
        Graphs of a Loop, Scan or If, by the name of the attribute. They may read values of the graphs around them.
    refusal
        Reason why the operator cannot be read regardless of its inputs, or empty.
    reader
        Function that reads the network, for messages.
    label
        Description for messages, by default ``GRU node '/rnn/GRU'``.
    beyond
        Options of an LSTM that ONNX lacks, by the layer's fields: ``coupled="input"``, ``cell_clip``,
        ``projection_clip``, and for ``weight_hr`` the place of the input with the projection.
    advice
        Sentence at the end of a refusal: the way to read the rest of the network.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[str, Graph] = field(default_factory=dict)
    refusal: str = ""
    reader: str = "from_onnx"
    label: str = ""
    beyond: Mapping[str, Any] = field(default_factory=dict)
    advice: str = ""

    @property
    def title(self) -> str:
        """Description for messages."""
        return self.label or f"{self.kind[:40]} node {self.name[:80]!r}"

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error that says why the operator is not supported."""
        advice = f" {self.advice}" if self.advice else ""
        return UnsupportedError(f"{self.reader} cannot read the {self.title}: {reason}{advice}")

    def damaged(self, reason: str) -> FileError:
        """Return the error for contradictory contents, worded after the operator's title."""
        return FileError(f"{self.reader}: the {self.title} {reason}")


@dataclass(frozen=True, slots=True, eq=False)
class Port:
    """Input of the graph: lengths of its axes, a name or None for an open one; True for integers."""

    name: str
    shape: tuple[int | str | None, ...]
    integers: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Constant of a graph: True for floating point, and a function that returns its values."""

    floating: bool
    load: Callable[[], AnyArray]

    @classmethod
    def of(cls, array: AnyArray) -> Constant:
        """Constant of an array."""
        return cls(np.asarray(array).dtype.kind == "f", lambda: array)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Graph of a network.

    Parameters
    ----------
    operators
        Operators, each after those whose outputs it reads.
    inputs
        Inputs without constants.
    outputs
        Names of the outputs.
    constants
        Weights and other constants by name.
    budget
        Memory budget for everything derived from the network.
    opset
        Version of ONNX's operators.
    reader
        Function that reads the network, for messages.
    shapes
        Shapes of values besides the inputs, where the network tells them: lengths, names or None.
    known_as
        Names under which a user knows values, if those of the graph are others.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Constant]
    budget: Budget
    opset: int = LATEST_OPSET
    reader: str = "from_onnx"
    shapes: Mapping[str, tuple[int | str | None, ...]] = field(default_factory=dict)
    known_as: Mapping[str, str] = field(default_factory=dict)
    _arrays: dict[str, AnyArray] = field(default_factory=dict)

    def constant(self, name: str) -> AnyArray:
        """Values of a constant."""
        if name not in self._arrays:
            self._arrays[name] = self.constants[name].load()
        return self._arrays[name]

    def holds_weights(self, name: str) -> bool:
        """True if a constant holds floating-point numbers."""
        return self.constants[name].floating
