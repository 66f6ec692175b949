"""Contents of a ``.tflite`` file as plain data: subgraphs of tensors, and of operators that read and produce them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.typing import F32

__all__ = ["Contents", "Subgraph", "Tensor", "TfliteOperator", "shape_text"]


_MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """Tensor of a subgraph.

    Parameters
    ----------
    place
        Index in the subgraph.
    shape, signature
        Lengths of its axes; in ``signature``, -1 for an arbitrary length.
    type
        ``"FLOAT32"``, ``"INT8"`` and so on.
    data
        uint8, a view of the file; None if the tensor is computed.
    variable
        True if it keeps its value from one invocation to the next.
    scale, zero_point, axis
        ``(1,)`` or one per index along ``axis``: the value is ``scale * (stored - zero_point)``. Empty if the tensor is
        not quantized.
    refusal
        Reason why its data cannot be read; empty if they can.
    """

    place: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    type: str
    data: NDArray[np.uint8] | None
    variable: bool
    scale: F32
    zero_point: NDArray[np.int64]
    axis: int
    refusal: str

    @property
    def title(self) -> str:
        """Index and name, for messages."""
        return f"tensor {self.place} {self.name[:80]!r}" if self.name else f"tensor {self.place}"

    @property
    def label(self) -> str:
        """Name, or the index if it has none."""
        return self.name or f"tensor {self.place}"


@dataclass(frozen=True, slots=True, eq=False)
class TfliteOperator:
    """Operator: its kind by the schema's name, indices of its tensors (-1 for none), and its options, if any.

    Parameters
    ----------
    custom
        Name of a custom operator, or of one of TensorFlow's own, which begins with ``Flex``; empty for all others.
    label
        Kind and index, for messages.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    custom: str
    label: str

    def refuse(self, reason: str) -> UnsupportedError:
        """Return the error that says why the operator is not supported."""
        return UnsupportedError(f"from_tflite cannot read the {self.label}: {reason}")

    def damaged(self, reason: str) -> FileError:
        """Return the error for contradictory contents, worded after the label."""
        return FileError(f"from_tflite: the {self.label} {reason}")

    def has(self, position: int) -> bool:
        """True if the operator has this input."""
        return position < len(self.inputs) and self.inputs[position] >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Subgraph:
    """Tensors, and operators in order, with the indices of the tensors that are its inputs and outputs."""

    tensors: tuple[Tensor, ...]
    operators: tuple[TfliteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    producers: Mapping[int, TfliteOperator]

    def advice(self, operator: TfliteOperator, *, skips: bool) -> str:
        """Sentence that names the arguments of from_tflite for the part before an operator, and for the rest.

        The rest begins with the operator, which may take a whole window of steps at once, unless ``skips``.
        """
        before = self.source(operator)
        before = before if before in self.producers else None
        after = next((place for place in operator.outputs if 0 <= place not in self.outputs), None) if skips else before
        found = [] if before is None else [f"upto={self._name(before)!r} reads the part before it"]
        if after is not None:
            found.append(f"after={self._name(after)!r} reads what follows")
        return f"{', '.join(found)}." if found else ""

    def source(self, operator: TfliteOperator, begins: Sequence[int] = ()) -> int | None:
        """First tensor that an operator reads and that is not constant, before its axes are moved behind ``begins``."""
        place = self._computed(operator)
        return None if place is None else self.before(place, _MOVES, begins)

    def before(self, place: int, kinds: Sequence[str], begins: Sequence[int] = ()) -> int:
        """Tensor that a tensor is computed from by operators of some kinds alone, no further back than ``begins``."""
        for _ in self.operators:  # a damaged file may go in a circle
            made = self.producers.get(place)
            before = None if made is None or made.kind not in kinds or place in begins else self._computed(made)
            if before is None:
                break
            place = before
        return place

    def _computed(self, operator: TfliteOperator) -> int | None:
        reads = (place for place in operator.inputs if place >= 0)
        return next((place for place in reads if place in self.producers or place in self.inputs), None)

    def _name(self, place: int) -> str | int:
        """Name of a tensor, or its index if that is shorter."""
        label = self.tensors[place].label
        return label if len(label) <= 80 else place


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Subgraphs of a file: the first is the network. ``file_bytes`` is the file's length."""

    subgraphs: tuple[Subgraph, ...]
    file_bytes: int


def shape_text(shape: Sequence[int]) -> str:
    """Shape as NumPy prints it, truncated if long."""
    listed = ", ".join(map(str, shape[:8])) + (", ..." if len(shape) > 8 else "")
    return f"({listed},)" if len(shape) == 1 else f"({listed})"
