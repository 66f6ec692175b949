"""Base class of matrices in formats smaller than float32, and the registry of formats."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike

from edge_rnn.checks import is_number
from edge_rnn.errors import ModelError
from edge_rnn.typing import F32, F64, AnyArray

__all__ = ["FORMATS", "PLAIN", "SMALLEST_RANGE", "Fitting", "Matrix", "format_of", "grammar", "parse"]
__all__ += ["precisions", "uniform"]


SMALLEST_RANGE = 1e-30
"""Smallest range of a vector that is rounded to integers, such that float32 holds a step and the step's inverse."""

_LARGEST_RANGE = float(np.finfo(np.float32).max)

FORMATS: dict[str, type[Matrix]] = {}
"""Formats by the name that files use; each subclass of :class:`Matrix` registers itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitting:
    """Conditions that a matrix is quantized for: its layer, and the vectors that it multiplies.

    Parameters
    ----------
    gates
        G; the matrix has ``G * H`` rows.
    moments
        Second moments ``(K, K)`` of the vectors that the matrix multiplies; None for the identity.
    feedback
        With moments: True to compensate the rounding error of each column in later ones, see
        :func:`edge_rnn.formats.rounding.rounded`.
    scales
        Result of :meth:`Matrix.scales` for the matrix and the moments; computed if None.
    input_range
        Range of the vectors, for a format that has one.
    """

    gates: int = 1
    moments: F64 | None = None
    feedback: bool = True
    scales: F64 | None = None
    input_range: float | None = None


PLAIN = Fitting()
"""Conditions without a recording: weights are rounded to the nearest value."""


@dataclass(frozen=True, slots=True, eq=False)
class Matrix(ABC):
    """Base class of a matrix ``(R, K)`` in a format; arrays are checked, C-contiguous and read-only.

    Notes
    -----
    A new format is a frozen dataclass with array fields (their dtypes in ``dtypes``) and plain options. Files and
    fingerprints follow from its fields; its kernel is found by ``format``. Class variables and methods hold all that
    quantization, search, export and self-tests need to know of the format. A subclass that has a ``format`` is
    registered.
    """

    format: ClassVar[str]
    """Name of the format in files, and before the colon of a spelling such as ``"sparse:0.75"``."""
    dtypes: ClassVar[Mapping[str, str]]
    """Dtype of each array field."""

    option: ClassVar[str] = ""
    """Regular expression for the part of a spelling after the colon; empty for a spelling without a colon."""
    grammar: ClassVar[str] = ""
    """Spelling in error messages, for a format with an option: ``"rank:NUMBER"``."""
    tried: ClassVar[tuple[str, ...]] = ()
    """Spellings that :func:`edge_rnn.quantization.shrink` tries by default."""
    about: ClassVar[str] = ""
    """Description of the first of these, for the help."""
    by_shape: ClassVar[bool] = False
    """True if the spellings that are tried depend on the shape of a matrix."""

    vector_steps: ClassVar[int | None] = None
    """Steps to either side of zero that the multiplied vector is rounded to; None if it is not rounded."""
    scales_of: ClassVar[str] = ""
    """Name of the format whose :meth:`scales` this one shares; empty for a format without scales."""
    has_range: ClassVar[bool] = False
    """True if the range of a multiplied state can be taken from a recording."""

    precisions: ClassVar[tuple[str, ...]] = ()
    """Precisions of ONNX graphs that store the matrix unchanged. For a given precision, float32 matrices are rounded to
    the first format that lists it."""

    def __init_subclass__(cls) -> None:
        name = cls.__dict__.get("format")
        if name is None:
            return
        other = FORMATS.get(name, cls)
        # A dataclass with slots is created twice; the second class replaces the first.
        if (other.__module__, other.__name__) != (cls.__module__, cls.__name__):
            raise TypeError(f"{cls.__name__} has the format {name!r}, which {other.__name__} has already.")
        FORMATS[name] = cls

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
        """Shape ``(R, K)``."""

    @abstractmethod
    def dense(self) -> F32:
        """Matrix that the stored arrays stand for, ``(R, K)`` float32."""

    @abstractmethod
    def _check(self) -> None:
        """Raise ModelError if shapes or values do not fit together."""

    @classmethod
    @abstractmethod
    def quantized(cls, matrix: F32, fitting: Fitting = PLAIN, option: str = "") -> Self:
        """Convert a float32 matrix ``(R, K)`` to this format with the least error.

        Parameters
        ----------
        fitting
            Conditions to fit it to.
        option
            Part of the spelling after the colon.

        Raises
        ------
        InputError
            The format cannot hold the matrix, or saves no memory.
        """

    @classmethod
    def scales(cls, matrix: F32, moments: F64 | None) -> F64:
        """Scales, for a format that has them; computed once for all rounding methods."""
        raise NotImplementedError(cls.format)

    @classmethod
    def for_shape(cls, spelling: str, shape: tuple[int, int]) -> str:
        """Resolve a spelling of ``tried`` for a matrix of this shape; empty if the matrix cannot have it."""
        return spelling

    @property
    def spelling(self) -> str:
        """Spelling of the format, as :func:`edge_rnn.quantize` takes it."""
        return self.format

    def has_spelling(self, spelling: str) -> bool:
        """True if quantizing a matrix of this shape to ``spelling`` gives this format and option."""
        return self.spelling == spelling

    def misfit(self, gates: int) -> str:
        """Reason why a layer with this many gates cannot have it, such as ``"blocks of 3 gates"``; empty if it can."""
        return ""

    @property
    def size(self) -> int:
        """Number of weights, ``R * K``."""
        return self.shape[0] * self.shape[1]

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """Stored arrays by field name."""
        return {name: getattr(self, name) for name in self.dtypes}

    @property
    def options(self) -> dict[str, Any]:
        """Fields that are not arrays: plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.dtypes}

    @property
    def nbytes(self) -> int:
        """Bytes of the stored arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a matrix-vector product."""
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


def format_of(matrix: object) -> str:
    """Name of a matrix's format: ``"float32"`` for a plain array."""
    return matrix.format if isinstance(matrix, Matrix) else "float32"


def parse(spelling: str) -> tuple[type[Matrix], str] | None:
    """Class and option of a spelling such as ``"sparse:0.75"``; None for float32 and for an invalid spelling."""
    name, colon, option = spelling.partition(":")
    found = FORMATS.get(name)
    if found is None or bool(colon) != bool(found.option) or not re.fullmatch(found.option, option):
        return None
    return found, option


def grammar() -> str:
    """List of all spellings, for messages."""
    *most, last = ("float32", *(each.grammar or name for name, each in FORMATS.items()))
    return f"{', '.join(most)} or {last}"


def precisions() -> tuple[str, ...]:
    """Precisions of ONNX graphs: float32, and those that store a matrix of some format unchanged."""
    return ("float32", *dict.fromkeys(name for each in FORMATS.values() for name in each.precisions))


def uniform() -> tuple[str, ...]:
    """Formats without options, which any matrix can have."""
    return tuple(name for name, each in FORMATS.items() if not each.option)
