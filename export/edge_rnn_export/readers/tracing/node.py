"""Operator being read: the values of its inputs, its attributes, and the error that names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import Signal, Value
from edge_rnn_export.readers.tracing.graph import Operator
from edge_rnn_export.readers.tracing.trace import Trace

__all__ = ["Node"]


@dataclass(slots=True, eq=False)
class Node:
    """Operator being read: the values of its inputs, and its attributes, which its reader takes one by one."""

    operator: Operator
    inputs: Sequence[Value]
    attributes: dict[str, Any]
    trace: Trace

    @property
    def kind(self) -> str:
        """Type of the operator."""
        return self.operator.kind

    @property
    def title(self) -> str:
        """Title for messages."""
        return self.operator.title

    @property
    def budget(self) -> Budget:
        """Memory budget of its results: codes by the number of traced steps, constants by the file size."""
        traced = any(isinstance(value, Signal) for value in self.inputs)
        return self.trace.budget if traced else self.trace.graph.budget

    def damaged(self, reason: str) -> FileError:
        """Return the error for contradictory contents, worded after the operator's title."""
        return self.operator.damaged(reason)

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error that says why the node is not supported."""
        return self.operator.refuse(reason)

    def take(self, name: str, default: Any, *kinds: type) -> Any:
        """Return an attribute, after checking that it has the type of ``default`` or one of ``kinds``."""
        value = self.attributes.pop(name, default)
        if value is not default and not isinstance(value, kinds or type(default)):
            raise self.damaged(f"has {name}={str(value)[:80]}, expected another type.")
        return value

    def input(self, place: int) -> Value:
        """Value of an input; None if it is omitted."""
        return self.inputs[place] if place < len(self.inputs) else None

    def signal(self, place: int) -> Signal:
        """Input that must be computed from samples."""
        value = self.input(place)
        if not isinstance(value, Signal):
            raise self.refuse(f"its input {place} is constant, expected samples or the output of a layer.")
        return value

    def numbers(self, place: int) -> AnyArray:
        """Input that must be constant."""
        value = self.input(place)
        if not isinstance(value, np.ndarray):
            names = self.operator.inputs
            what = repr(names[place][:80]) if place < len(names) and names[place] else "left out"
            raise self.refuse(
                f"its input {place}, {what}, is not in the file but computed or an input of the graph; expected "
                "an initializer."
            )
        return value

    def whole(self, place: int, name: str) -> list[int] | None:
        """Integers that newer operator sets have as an input and older ones as an attribute; None if missing."""
        attribute = self.take(name, None, list)
        if self.input(place) is None:
            return None if attribute is None else [int(value) for value in attribute]
        given = self.numbers(place)
        if given.dtype.kind not in "iu" or given.size > 64:
            raise self.damaged(f"has {name} of {given.dtype}, expected a few integers.")
        return [int(value) for value in given.reshape(-1)]
