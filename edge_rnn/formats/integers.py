"""Formats that store integers and scales, and round the vectors that they are multiplied with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edge_rnn.formats.matrix import PLAIN, Fitting, Matrix
from edge_rnn.formats.rounding import rounded, scales
from edge_rnn.typing import F32, F64

__all__ = ["GROUP", "STEPS_8", "STEPS_16", "W8A8", "Int4", "Int8"]

GROUP = 32
"""Columns that share a scale in a row of :class:`Int4`."""

STEPS_16 = 127 * 256 + 127
"""Steps to either side of zero that a vector of 16 bits is rounded to: the range of two signed bytes."""

STEPS_8 = 127
"""Steps to either side of zero that a vector of 8 bits is rounded to."""

_INT8, _INT4 = 127, 7
"""Largest stored values."""


@dataclass(frozen=True, slots=True, eq=False)
class Int8(Matrix):
    """8-bit integers with one scale per row; the multiplied vector is rounded to 16 bits (W8A16).

    Parameters
    ----------
    values
        ``(R, K)`` int8, -127 to 127.
    scale
        ``(R,)`` float32, zero or more: row ``r`` stands for ``scale[r] * values[r]``.
    input_range
        Largest expected absolute value of the vector: its values are rounded to steps of ``input_range / 32639`` and
        clipped to the range. None: the bound that the model guarantees, or the largest value of each vector if
        there is no bound.
    """

    format: ClassVar[str] = "int8"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"values": "int8", "scale": "float32"})
    tried: ClassVar[tuple[str, ...]] = ("int8",)
    about: ClassVar[str] = "one scale per row, 16-bit vectors"
    vector_steps: ClassVar[int | None] = STEPS_16
    scales_of: ClassVar[str] = "int8"
    precisions: ClassVar[tuple[str, ...]] = ("int8", "int8-weights")

    values: NDArray[np.int8]
    scale: F32
    input_range: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def dense(self) -> F32:
        return self.values * self.scale[:, None]

    def _check(self) -> None:
        self._is_matrix(self.values, "values")
        if self.scale.shape != self.values.shape[:1] or (self.scale < 0).any():
            self._refuse(f"scale got shape {self.scale.shape}, expected ({len(self.values)},), none negative")
        if (self.values == -128).any():
            self._refuse("values hold -128, expected -127 to 127")
        self._check_range(self.input_range)

    @classmethod
    def scales(cls, matrix: F32, moments: F64 | None) -> F64:
        """Scales ``(R, 1)`` with the least error of the products, for rows rounded to the nearest."""
        return scales(matrix, moments, _INT8, matrix.shape[1])

    @classmethod
    def quantized(cls, matrix: F32, fitting: Fitting = PLAIN, option: str = "") -> Self:
        scale = cls.scales(matrix, fitting.moments) if fitting.scales is None else fitting.scales
        values = rounded(matrix, fitting.moments, _INT8, matrix.shape[1], fitting.feedback, scale)
        return cls(values, scale[:, 0].astype(np.float32), fitting.input_range)


@dataclass(frozen=True, slots=True, eq=False)
class W8A8(Int8):
    """As :class:`Int8`, but the multiplied vector is rounded to 8 bits too: to steps of ``input_range / 127``."""

    format: ClassVar[str] = "w8a8"
    tried: ClassVar[tuple[str, ...]] = ("w8a8",)
    about: ClassVar[str] = "8-bit vectors"
    vector_steps: ClassVar[int | None] = STEPS_8
    has_range: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, eq=False)
class Int4(Matrix):
    """4-bit integers with one scale per 32 columns of a row; the multiplied vector is rounded to 16 bits.

    Parameters
    ----------
    packed
        ``(R, ceil(K / 2))`` uint8: column ``2 j`` in the low four bits of byte ``j``, ``2 j + 1`` in the high ones,
        each plus 8; values -7 to 7.
    scale
        ``(R, ceil(K / 32))`` float32, zero or more.
    columns
        K.
    input_range
        See :class:`Int8`.
    """

    format: ClassVar[str] = "int4"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"packed": "uint8", "scale": "float32"})
    tried: ClassVar[tuple[str, ...]] = ("int4",)
    about: ClassVar[str] = "one scale per 32 columns"
    vector_steps: ClassVar[int | None] = STEPS_16
    scales_of: ClassVar[str] = "int4"
    precisions: ClassVar[tuple[str, ...]] = ("int4",)

    packed: NDArray[np.uint8]
    scale: F32
    columns: int
    input_range: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.packed.shape[0], self.columns

    @property
    def values(self) -> NDArray[np.int8]:
        """``(R, K)`` int8, -7 to 7."""
        both = np.stack([self.packed & 15, self.packed >> 4], axis=-1).reshape(len(self.packed), -1)
        return both[:, : self.columns].astype(np.int8) - np.int8(8)

    def dense(self) -> F32:
        return self.values * np.repeat(self.scale, GROUP, axis=1)[:, : self.columns]

    def _check(self) -> None:
        self._is_matrix(self.packed, "packed")
        rows, given = len(self.packed), self.columns
        if type(given) is not int or self.packed.shape[1] != -(-given // 2):
            self._refuse(f"columns got {given!r}, expected a number that fits packed {self.packed.shape}")
        if self.scale.shape != (rows, -(-given // GROUP)) or (self.scale < 0).any():
            self._refuse(f"scale got {self.scale.shape}, expected ({rows}, {-(-given // GROUP)}), none negative")
        if (self.values == -8).any():
            self._refuse("packed holds -8, expected -7 to 7")
        self._check_range(self.input_range)

    @classmethod
    def of(cls, values: NDArray[np.int8], scale: F32, input_range: float | None = None) -> Int4:
        """Pack ``values (R, K)`` int8, -7 to 7."""
        shifted = np.pad(values + np.int8(8), ((0, 0), (0, values.shape[1] % 2)), constant_values=8).astype(np.uint8)
        packed = (shifted[:, ::2] | shifted[:, 1::2] << 4).astype(np.uint8)
        return cls(packed, scale, values.shape[1], input_range)

    @classmethod
    def scales(cls, matrix: F32, moments: F64 | None) -> F64:
        """Scales ``(R, groups)``, see :meth:`Int8.scales`."""
        return scales(matrix, moments, _INT4, GROUP)

    @classmethod
    def quantized(cls, matrix: F32, fitting: Fitting = PLAIN, option: str = "") -> Int4:
        scale = cls.scales(matrix, fitting.moments) if fitting.scales is None else fitting.scales
        values = rounded(matrix, fitting.moments, _INT4, GROUP, fitting.feedback, scale)
        return cls.of(values, scale.astype(np.float32), fitting.input_range)
