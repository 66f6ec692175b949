"""Half precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import InputError
from edge_rnn.formats.matrix import PLAIN, Fitting, Matrix
from edge_rnn.typing import F32

__all__ = ["Float16"]


@dataclass(frozen=True, slots=True, eq=False)
class Float16(Matrix):
    """Half precision (IEEE 754 binary16): ``values (R, K)`` float16."""

    format: ClassVar[str] = "float16"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"values": "float16"})
    tried: ClassVar[tuple[str, ...]] = ("float16",)
    about: ClassVar[str] = "half precision"
    precisions: ClassVar[tuple[str, ...]] = ("float16",)

    values: NDArray[np.float16]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    def dense(self) -> F32:
        return self.values.astype(np.float32)

    def _check(self) -> None:
        self._is_matrix(self.values, "values")

    @classmethod
    def quantized(cls, matrix: F32, fitting: Fitting = PLAIN, option: str = "") -> Float16:
        """Round weights to the nearest float16.

        Raises
        ------
        InputError
            A weight is beyond 65504.
        """
        largest = float(np.abs(matrix).max())
        if largest > float(np.finfo(np.float16).max):
            raise InputError(f"float16 cannot hold the weight {largest:.4g}, expected at most 65504; use int8.")
        return cls(matrix.astype(np.float16))
