"""Operators and constants of a graph, written one after the other for PyTorch's operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.graph import Constant, Operator

__all__ = ["READER", "Pieces", "Traced", "Writer", "counting"]

READER = "from_torch"

_MAX_OPERATORS = 2**15


def counting(title: str, where: str, kind: str) -> UnsupportedError:
    """Return the error about a forward that computes with its number of calls."""
    return UnsupportedError(
        f"{READER} cannot read {title}: it counts in the {where} ({kind}) and computes with it, and a stream keeps "
        f"floating-point states alone; compute that part outside."
    )


@dataclass(frozen=True, slots=True)
class Traced:
    """Value that depends on the inputs: its name in the graph and its shape."""

    name: str
    shape: tuple[int, ...] = ()
    integers: bool = False


@dataclass(frozen=True, slots=True)
class Pieces:
    """Value whose slices along an axis were overwritten one by one, as ``out[t] = y`` does."""

    base: Traced | AnyArray
    axis: int
    written: Mapping[int, Traced]
    shape: tuple[int, ...]


@dataclass(slots=True)
class Writer:
    """Operators and constants that are written one after the other."""

    operators: list[Operator] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    path: str = ""
    label: str = ""
    op: str = ""
    shapes: Sequence[tuple[int, ...]] = ()
    aliases: dict[str, Traced] = field(default_factory=dict)
    recurrent: set[str] = field(default_factory=set)
    unknown: set[Any] = field(default_factory=set)
    rounds: bool = False
    written: dict[Any, Any] = field(default_factory=dict)
    weights: Counter[Any] = field(default_factory=Counter)
    repeated: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the only output of the PyTorch operator that is being written."""
        return self.shapes[0]

    def emit(
        self,
        kind: str,
        *inputs: Any,
        shape: tuple[int, ...] | None = None,
        name: str = "",
        **attributes: Any,
    ) -> Traced:
        """Write an operator with one output, by default of the shape of PyTorch's.

        Inputs are traced values, arrays and numbers, or None for one that is left out.
        """
        (found,) = self.emit_all(
            kind, *inputs, shapes=[self.shape if shape is None else shape], name=name, **attributes
        )
        return found

    def emit_all(
        self,
        kind: str,
        *inputs: Any,
        shapes: Sequence[tuple[int, ...]],
        name: str = "",
        refusal: str = "",
        beyond: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> list[Traced]:
        """Write an operator with an output for each shape."""
        if len(self.operators) >= _MAX_OPERATORS:
            raise UnsupportedError(f"{READER} got a forward of more than {_MAX_OPERATORS} operators.")
        read = tuple("" if value is None else self._named(value) for value in inputs)
        found = [Traced(f"%{len(self.operators)}.{place}", shape) for place, shape in enumerate(shapes)]
        title = name or self.path.replace(".", "_")
        self.operators.append(
            Operator(
                kind,
                f"{title}/{self.op}",
                read,
                tuple(each.name for each in found),
                attributes,
                refusal=refusal,
                beyond=beyond or {},
                reader=READER,
                label=self.label,
            )
        )
        return found

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error that names the operator being written."""
        return UnsupportedError(f"{READER} cannot read the {self.label}: {reason}")

    def reshaped(self, value: Traced | AnyArray, shape: tuple[int, ...]) -> Traced:
        """Value in another shape."""
        if isinstance(value, Traced) and value.shape == shape:
            return value
        return self.emit("Reshape", value, np.array(shape, np.int64), shape=shape)

    def whole(self, pieces: Pieces) -> Traced:
        """Join what was written piece by piece."""
        shape = tuple(1 if axis == pieces.axis else length for axis, length in enumerate(pieces.shape))
        parts = []
        for place in range(pieces.shape[pieces.axis]):
            if place in pieces.written:
                parts.append(self.reshaped(pieces.written[place], shape))
            else:
                part = self.emit("Gather", pieces.base, np.array([place]), axis=pieces.axis, shape=shape)
                parts.append(part)
        return self.emit("Concat", *parts, axis=pieces.axis, shape=pieces.shape)

    def _named(self, value: Any) -> str:
        if isinstance(value, Traced):
            return value.name
        name = f"constant {len(self.constants)}"
        array = np.asarray(value)
        self.constants[name] = Constant.of(array.astype(np.float32) if array.dtype.kind == "f" else array)
        return name
