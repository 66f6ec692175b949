"""Matrices in formats smaller than float32: what is stored, and the float32 matrix that it stands for.

A layer's matrix is a float32 array or one of these. ``np.asarray`` of either is the matrix that the layer computes
with, so reference and readers need not know; kernels take the stored arrays. How a float32 matrix is turned into one of
these is :mod:`edge_rnn.quantization.apply`'s business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge_rnn.checks import is_number
from edge_rnn.errors import ModelError
from edge_rnn.typing import F32, I32, AnyArray

__all__ = ["FORMATS", "GROUP", "PANEL", "SMALLEST_RANGE", "STEPS", "STEPS_8", "STEPS_16", "W8A8", "Float16", "Int4"]
__all__ += ["Int8", "LowRank", "Matrix", "Sparse", "format_of"]


GROUP = 32
"""Columns that share a scale in a row of :class:`Int4`."""

PANEL = 16
"""Units whose weights are pruned together in :class:`Sparse`."""


STEPS_16 = 127 * 256 + 127
"""Steps to either side of zero that a vector of 16 bits is rounded to: what two signed bytes hold."""

STEPS_8 = 127
"""Steps to either side of zero that a vector of 8 bits is rounded to, and a weight of :class:`Int8`."""

STEPS = {"int8": STEPS_16, "int4": STEPS_16, "w8a8": STEPS_8}
"""Steps to either side of zero of a vector, by the format of the matrix that it is multiplied with."""

SMALLEST_RANGE = 1e-30
"""Least range of a vector that is rounded to integers: float32 holds a step of it and the step's inverse."""

_LARGEST_RANGE = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, eq=False)
class Matrix(ABC):
    """A matrix ``(R, K)`` in a format of its own; arrays are checked, C-contiguous and read-only.

    Notes
    -----
    A further format is a frozen dataclass with array fields (their dtypes in ``dtypes``) and plain options. Files and
    fingerprints follow from its fields; its kernel is found by ``format``.
    """

    format: ClassVar[str]
    """Name of the format, as :func:`edge_rnn.quantize` and files spell it."""
    dtypes: ClassVar[Mapping[str, str]]
    """Dtype of each array field."""

    def __post_init__(self) -> None:
        for name, dtype in self.dtypes.items():
            array = np.array(getattr(self, name), dtype=dtype, order="C")
            if not np.isfinite(array).all():
                raise ModelError(f"{self.format} matrix: {name} holds a value that is not finite.")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        self._check()

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(R, K)``."""

    @abstractmethod
    def dense(self) -> F32:
        """The matrix that this stands for, ``(R, K)`` float32."""

    @abstractmethod
    def _check(self) -> None:
        """Raise ModelError where shapes or values do not fit together."""

    @property
    def size(self) -> int:
        """``R * K``."""
        return self.shape[0] * self.shape[1]

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """What is stored, by field name."""
        return {name: getattr(self, name) for name in self.dtypes}

    @property
    def options(self) -> dict[str, Any]:
        """The other fields: plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.dtypes}

    @property
    def nbytes(self) -> int:
        """Bytes of what is stored."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a product with a vector."""
        return self.size

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> AnyArray:
        return self.dense() if dtype is None else self.dense().astype(dtype)

    def _refuse(self, what: str) -> None:
        raise ModelError(f"{self.format} matrix: {what}.")

    def _check_range(self, given: object) -> None:
        if given is None:
            return
        if not (is_number(given) and SMALLEST_RANGE <= given <= _LARGEST_RANGE):
            self._refuse(
                f"input_range got {given!r}, expected None or a number from {SMALLEST_RANGE:g} to {_LARGEST_RANGE:.3g}"
            )

    def _is_matrix(self, array: AnyArray, name: str) -> None:
        if array.ndim != 2 or 0 in array.shape:
            self._refuse(f"{name} got shape {array.shape}, expected (rows, columns)")


@dataclass(frozen=True, slots=True, eq=False)
class Float16(Matrix):
    """Half precision (IEEE 754 binary16): ``values (R, K)`` float16."""

    format: ClassVar[str] = "float16"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"values": "float16"})

    values: NDArray[np.float16]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def dense(self) -> F32:
        return self.values.astype(np.float32)

    def _check(self) -> None:
        self._is_matrix(self.values, "values")


@dataclass(frozen=True, slots=True, eq=False)
class Int8(Matrix):
    """8 bits, a scale a row; what it is multiplied with is rounded to 16 bits (W8A16).

    Parameters
    ----------
    values
        ``(R, K)`` int8, -127 to 127.
    scale
        ``(R,)`` float32, zero or more: row ``r`` stands for ``scale[r] * values[r]``.
    input_range
        Largest size that the vector is expected to have: its values are rounded to steps of ``input_range / 32639`` and
        clipped beyond. None: what the layers before it allow, or else the largest of each vector.
    """

    format: ClassVar[str] = "int8"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"values": "int8", "scale": "float32"})

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


@dataclass(frozen=True, slots=True, eq=False)
class W8A8(Int8):
    """As :class:`Int8`, but what it is multiplied with is rounded to 8 bits too: steps of ``input_range / 127``."""

    format: ClassVar[str] = "w8a8"


@dataclass(frozen=True, slots=True, eq=False)
class Int4(Matrix):
    """4 bits, a scale for each 32 columns of a row; what it is multiplied with is rounded to 16 bits.

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
        """From ``values (R, K)`` int8, -7 to 7."""
        shifted = np.pad(values + np.int8(8), ((0, 0), (0, values.shape[1] % 2)), constant_values=8).astype(np.uint8)
        packed = (shifted[:, ::2] | shifted[:, 1::2] << 4).astype(np.uint8)
        return cls(packed, scale, values.shape[1], input_range)


@dataclass(frozen=True, slots=True, eq=False)
class Sparse(Matrix):
    """Pruned in blocks: for each 16 units only some columns are there, float32, the same for every gate.

    Parameters
    ----------
    values
        ``(P, C, G, 16)`` float32: for each of ``P = ceil(H / 16)`` panels of units its C columns that are kept.
    index
        ``(P, C)`` int32: which columns these are, in rising order.
    units
        H; the matrix has ``G * H`` rows.
    columns
        K.
    """

    format: ClassVar[str] = "sparse"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"values": "float32", "index": "int32"})

    values: F32
    index: I32
    units: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[2] * self.units, self.columns

    @property
    def multiply_adds(self) -> int:
        return int(self.index.shape[1]) * self.shape[0]

    def dense(self) -> F32:
        panels, _, gates, width = self.values.shape
        whole = np.zeros((panels, self.columns, gates, width), np.float32)
        np.put_along_axis(whole, self.index[:, :, None, None], self.values, axis=1)
        rows = whole.transpose(2, 0, 3, 1).reshape(gates, panels * width, self.columns)
        return np.ascontiguousarray(rows[:, : self.units].reshape(-1, self.columns))

    def _check(self) -> None:
        values, index = self.values, self.index
        if values.ndim != 4 or values.shape[3] != PANEL or index.shape != values.shape[:2] or 0 in values.shape:
            self._refuse(f"got values {values.shape} and index {index.shape}, expected (P, C, G, {PANEL}) and (P, C)")
        if type(self.units) is not int or len(values) != -(-self.units // PANEL):
            self._refuse(f"units got {self.units!r}, expected a number that {len(values)} panels of {PANEL} hold")
        if type(self.columns) is not int or (index < 0).any() or (index >= self.columns).any():
            self._refuse(f"index holds columns beyond 0 to {self.columns!r}")
        if (np.diff(index, axis=1) <= 0).any():
            self._refuse("index is not in rising order")
        if values.transpose(0, 3, 1, 2).reshape(len(values) * PANEL, -1)[self.units :].any():
            self._refuse("values of units that do not exist are not zero")


@dataclass(frozen=True, slots=True, eq=False)
class LowRank(Matrix):
    """Product of two matrices: ``left (R, r)`` times ``right (r, K)``, both float32."""

    format: ClassVar[str] = "rank"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"left": "float32", "right": "float32"})

    left: F32
    right: F32

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    @property
    def multiply_adds(self) -> int:
        return self.left.size + self.right.size

    def dense(self) -> F32:
        return (self.left.astype(np.float64) @ self.right).astype(np.float32)

    def _check(self) -> None:
        self._is_matrix(self.left, "left")
        self._is_matrix(self.right, "right")
        if self.left.shape[1] != self.right.shape[0]:
            self._refuse(f"got left {self.left.shape} and right {self.right.shape}, expected (R, r) and (r, K)")


FORMATS: Mapping[str, type[Matrix]] = MappingProxyType(
    {cls.format: cls for cls in (Float16, Int8, W8A8, Int4, Sparse, LowRank)}
)
"""Formats by name, as files refer to them."""


def format_of(matrix: object) -> str:
    """Name of a matrix's format: ``"float32"`` for a plain array."""
    return matrix.format if isinstance(matrix, Matrix) else "float32"
