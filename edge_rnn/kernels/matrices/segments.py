"""Packing of a layer's matrices, one class per format: the matrix's data in a panel, and its vector's preparation.

``panels`` has the base class and describes segments, ``multiply`` has the loops that read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge_rnn.formats import GROUP, PANEL, SMALLEST_RANGE
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.panels import Segment, pack_panels, widths
from edge_rnn.kernels.program.record import Operand, Packed, padded
from edge_rnn.typing import F32, AnyArray

__all__ = [
    "DEPTH",
    "QUANTIZED_HEADER",
    "format_in",
    "formats_of",
    "lanes_for",
    "named",
    "rounds_vectors",
    "segment",
    "weights_per_float",
    "widths_for",
]

DEPTH = {"vnni": 4, "sdot": 4, "pmaddwd": 2, "mla": 1}
"""Adjacent rows of each unit, by :attr:`Target.dot`: as many as one instruction adds up."""

QUANTIZED_HEADER = 8
"""Floats before the integers of a rounded vector; the first one is the step."""


class _Float32(Segment):
    """Rows of float32.

    A panel of 128 units would be the only one of a layer with 128, and a sweep over one panel never turns back.
    (Sapphire Rapids, panels of 64 : of 128, ns per step: Elman (40,128) 435 : 595, Dense (128,128) 353 : 449.)
    """

    widest: ClassVar[int] = 64
    per_float: ClassVar[int] = 1

    def panel(self, start: int, width: int) -> F32:
        return _floats(self.scaled(self.split(self.matrix, start, width)).transpose(2, 0, 1))

    def stored(self) -> tuple[AnyArray, F32]:
        return self.matrix, self.per_row()


class _Float16(Segment):
    """Rows of float16, padded to an even number."""

    per_float: ClassVar[int] = 2

    def panel(self, start: int, width: int) -> F32:
        rows = self.scaled(self.split(self.matrix.values, start, width)).transpose(2, 0, 1)
        return _floats(np.pad(rows, ((0, rows.shape[0] % 2), (0, 0), (0, 0))))

    def stored(self) -> tuple[AnyArray, F32]:
        return self.matrix.values, self.per_row()


class _LowRank(Segment):
    """Left matrix of a low-rank product; the right one is an operation of its own, whose result this one multiplies."""

    loop: ClassVar[str] = "float32"
    per_float: ClassVar[int] = 1

    def panel(self, start: int, width: int) -> F32:
        return _floats(self.scaled(self.split(self.matrix.left, start, width)).transpose(2, 0, 1))

    def operand(self, bound: float | None) -> Operand:
        right = self.matrix.right
        zeros = np.zeros((1, len(right)))
        packed = pack_panels(zeros, [_Float32(right, (1.0,), self.target)], widths_for(self.target, 1, ("float32",)))
        return Operand("dense_none", packed, padded(len(right)), len(right))

    def stored(self) -> tuple[AnyArray, F32]:
        return self.matrix.left, self.per_row()


class _Sparse(Segment):
    """Number of rows (8 equal int32), indices of the values that they multiply, and the rows."""

    widest: ClassVar[int] = PANEL

    def panel(self, start: int, width: int) -> F32:
        place, part = divmod(start, PANEL)
        index, values = self.matrix.index[place], self.matrix.values[place][:, :, part : part + width]
        room = -(-(8 + index.size) // 16) * 16  # a whole number of floats per unit
        head = np.zeros(room, np.int32)
        head[:8], head[8 : 8 + index.size] = index.size, index
        rows = values[:, self.which] * np.array(self.chosen, np.float32)[:, None]
        return np.concatenate([_floats(head), _floats(rows)])


class _Int8(Segment):
    """Scale of each row, initial values of the sums (``vnni`` alone), and the values, ``DEPTH`` rows side by side."""

    planes: ClassVar[dict[str, int]] = {"vnni": 2, "sdot": 2}  # for high and for low bytes
    per_float: ClassVar[int] = 4

    def panel(self, start: int, width: int) -> F32:
        values = self.split(self.matrix.values, start, width)
        scale = self.scaled(self.split(self.matrix.scale, start, width))
        return np.concatenate([*self.header(scale, values), _floats(self.interleaved(values, 4))])

    def operand(self, bound: float | None) -> Operand:
        return _quantized(self.function, self.matrix, bound)

    def dots_operand(self, bound: float | None) -> Operand | None:
        return None  # the vector stays float32, which is fast enough for so few rows

    @property
    def function(self) -> str:
        return "quantize16"

    def header(self, scale: AnyArray, values: NDArray[np.int8]) -> list[F32]:
        """Scales ``(G, width)``, and for ``vnni`` the correction for the 128 that is added to the vector's bytes."""
        if self.target.dot != "vnni":
            return [_floats(scale)]
        return [_floats(scale), _floats(-128 * values.sum(axis=2, dtype=np.int32))]

    def interleaved(self, values: NDArray[np.int8], multiple: int) -> NDArray[np.int8]:
        """Reorder ``(G, width, K)`` to ``(K / depth, G, width, depth)``, with K padded to a multiple."""
        depth, columns = DEPTH[self.target.dot], values.shape[2]
        whole = np.pad(values, ((0, 0), (0, 0), (0, -columns % multiple)))
        return whole.reshape(*whole.shape[:2], -1, depth).transpose(2, 0, 1, 3)

    def stored(self) -> tuple[AnyArray, F32]:
        return self.matrix.values, self.matrix.scale * self.per_row()


class _W8A8(_Int8):
    planes: ClassVar[dict[str, int]] = {}
    per_float: ClassVar[int] = 0

    @property
    def function(self) -> str:
        return "quantize8"


class _Int4(_Int8):
    """Layout of :class:`_Int8` for each 32 columns; two values per byte, the second one ``DEPTH`` columns later."""

    per_float: ClassVar[int] = 0

    def panel(self, start: int, width: int) -> F32:
        values = self.split(self.matrix.values, start, width)
        scale = self.scaled(self.split(self.matrix.scale, start, width))
        pieces = []
        for group in range(scale.shape[2]):
            part = values[:, :, GROUP * group : GROUP * (group + 1)]
            rows = self.interleaved(part, 8)
            nibbles = (rows[::2] & 15) | (rows[1::2] << 4)
            pieces += [*self.header(scale[:, :, group], part), _floats(nibbles.astype(np.int8))]
        return np.concatenate(pieces)


def _quantized(function: str, matrix: Any, bound: float | None) -> Operand:
    """Rounding of a vector: by a fixed step if its values have a known bound, else by its own largest value."""
    columns, steps = matrix.shape[1], matrix.vector_steps
    limits = [limit for limit in (matrix.input_range, bound) if limit is not None]
    fixed = np.zeros(8, np.float32)
    if limits:
        limit = max(min(limits), SMALLEST_RANGE)
        fixed[:2] = limit / steps, steps / limit
    return Operand(function, Packed(fixed), QUANTIZED_HEADER + padded(columns) // 2, columns)


_SEGMENTS: dict[str, type[Segment]] = {
    "float32": _Float32,
    "float16": _Float16,
    "int8": _Int8,
    "w8a8": _W8A8,
    "int4": _Int4,
    "sparse": _Sparse,
    "rank": _LowRank,
}


def segment(matrix: Any, scales: Sequence[float], target: Target) -> Segment:
    """Make the segment of a layer's matrix, by its format."""
    return _SEGMENTS[getattr(matrix, "format", "float32")](matrix, scales, target)


def formats_of(*segments: Segment) -> tuple[str, ...]:
    """Names of the segments' formats in :mod:`edge_rnn.kernels.matrices.multiply`, where low rank is float32."""
    names = {cls: cls.loop or name for name, cls in _SEGMENTS.items()}
    return tuple(names[type(each)] for each in segments)


def weights_per_float(format_: str) -> int:
    """Weights of a format that fit a float32; 0 if they are not read as floats."""
    return _SEGMENTS[format_].per_float


def rounds_vectors(format_: str) -> bool:
    """True if a format rounds the vectors, and its products are sums of integers."""
    return issubclass(_SEGMENTS[format_], _Int8)


def widths_for(target: Target, gates: int, formats: Sequence[str]) -> tuple[int, ...]:
    """Widths of panels in units, widest first, for a function that reads these formats: see :func:`widths`."""
    kinds = [_SEGMENTS[name] for name in formats]
    # With AVX-512 there are 32 registers, of 512 or of 256 bits; a block fills half of them.
    planes = 1 if target.dot == "vnni" else max(kind.planes.get(target.dot, 1) for kind in kinds)
    return widths(target.block // planes, gates, min(kind.widest for kind in kinds))


def lanes_for(target: Target, gates: int, formats: Sequence[str]) -> int | None:
    """Most units of a panel that such a function computes at once; None for all of them.

    Only rows of float32 can be computed in parts.
    """
    return target.lanes(gates) if {*formats} == {"float32"} else None


def named(name: str, format_: str) -> str:
    """Name of the compiled function for a matrix of this format: the bare name for float32."""
    return name if format_ == "float32" else f"{name}__{format_}"


def format_in(name: str) -> tuple[str, str]:
    """Split the name of a compiled function into the bare name and the format of its matrix."""
    bare, _, format_ = name.partition("__")
    return bare, format_ or "float32"


def _floats(array: AnyArray) -> F32:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.float32)
