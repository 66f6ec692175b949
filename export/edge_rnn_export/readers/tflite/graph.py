"""Contents of a ``.tflite`` file as plain data: tensors, and operators that read and produce them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.typing import F32

__all__ = ["Graph", "Operator", "Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """Tensor of the graph.

    Parameters
    ----------
    place
        Index in the file.
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


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """Operator: its kind by the schema's name, indices of its tensors (-1 for none), and its options, if any."""

    place: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Kind and index, for messages."""
        return f"from_tflite: {self.kind} (operator {self.place})"


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """First subgraph of a file, which is the one that runs; ``file_bytes`` is the file's length."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    producers: Mapping[int, Operator]
    file_bytes: int
