"""Formats that store fewer float32 weights: pruned in blocks, and products of two thin matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from edge_rnn.errors import InputError
from edge_rnn.formats.matrix import PLAIN, Fitting, Matrix, parse
from edge_rnn.formats.rounding import damped
from edge_rnn.spelling import counted
from edge_rnn.typing import F32, F64, I32

__all__ = ["PANEL", "LowRank", "Sparse"]

PANEL = 16
"""Units whose weights are pruned together in :class:`Sparse`."""


@dataclass(frozen=True, slots=True, eq=False)
class Sparse(Matrix):
    """Block-pruned float32 matrix: each panel of 16 units keeps only some columns, the same for all gates.

    Parameters
    ----------
    values
        ``(P, C, G, 16)`` float32: the C columns that each of ``P = ceil(H / 16)`` panels of units keeps.
    index
        ``(P, C)`` int32: indices of these columns, in rising order.
    units
        H; the matrix has ``G * H`` rows.
    columns
        K.
    """

    format: ClassVar[str] = "sparse"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"values": "float32", "index": "int32"})
    option: ClassVar[str] = r"0?\.\d+"
    grammar: ClassVar[str] = "sparse:SHARE (0 < SHARE < 1)"
    tried: ClassVar[tuple[str, ...]] = ("sparse:0.5", "sparse:0.75")
    about: ClassVar[str] = "half of the columns removed in each block of 16 units, or another share"

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

    def misfit(self, gates: int) -> str:
        found = self.values.shape[2]
        return "" if found == gates else f"blocks of {found} gates"

    @property
    def spelling(self) -> str:
        return f"sparse:{1 - self.multiply_adds / self.size:.6g}"

    def has_spelling(self, spelling: str) -> bool:
        found = parse(spelling)
        return found is not None and found[0] is Sparse and self.index.shape[1] == _kept(self.columns, found[1])

    @classmethod
    def quantized(cls, matrix: F32, fitting: Fitting = PLAIN, option: str = "0.5") -> Sparse:
        columns = matrix.shape[1]
        keep = _kept(columns, option)
        if keep == columns:
            what = counted(columns, "column")
            raise InputError(f"sparse:{option} drops none of {what}, expected a larger share.")
        return cls.of(matrix, fitting.gates, keep, fitting.moments)

    @classmethod
    def of(cls, matrix: F32, gates: int, keep: int, moments: F64 | None = None) -> Sparse:
        """Keep the columns of each 16 units that matter most: by the energy of their weights times that of the vectors.

        Parameters
        ----------
        gates
            G; ``matrix`` has ``G * H`` rows.
        keep
            Number of columns to keep.
        moments
            See :class:`~edge_rnn.formats.Fitting`.
        """
        columns = matrix.shape[1]
        units = len(matrix) // gates
        panels = -(-units // PANEL)
        whole = np.zeros((gates, panels * PANEL, columns), np.float32)
        whole[:, :units] = matrix.reshape(gates, units, columns)
        blocks = whole.reshape(gates, panels, PANEL, columns).transpose(1, 3, 0, 2)  # (P, K, G, 16)
        meets = np.ones(columns) if moments is None else np.diag(moments)
        energy = np.square(blocks.astype(np.float64)).sum(axis=(2, 3)) * meets
        index = np.sort(np.argsort(-energy, axis=1, kind="stable")[:, :keep], axis=1).astype(np.int32)
        return cls(np.take_along_axis(blocks, index[:, :, None, None], axis=1), index, units, columns)


@dataclass(frozen=True, slots=True, eq=False)
class LowRank(Matrix):
    """Low-rank product of two float32 matrices: ``left (R, r)`` times ``right (r, K)``."""

    format: ClassVar[str] = "rank"
    dtypes: ClassVar[Mapping[str, str]] = MappingProxyType({"left": "float32", "right": "float32"})
    option: ClassVar[str] = r"[1-9]\d*"
    grammar: ClassVar[str] = "rank:NUMBER"
    tried: ClassVar[tuple[str, ...]] = ("rank:25%", "rank:50%")
    about: ClassVar[str] = "of the largest rank that saves memory"
    by_shape: ClassVar[bool] = True

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

    @property
    def spelling(self) -> str:
        return f"rank:{self.left.shape[1]}"

    @classmethod
    def for_shape(cls, spelling: str, shape: tuple[int, int]) -> str:
        """Resolve ``"rank:25%"``, a share of the largest rank that saves memory; other spellings are unchanged."""
        if not spelling.endswith("%"):
            return spelling
        try:
            share = float(spelling.removeprefix("rank:")[:-1]) / 100
        except ValueError:
            return spelling
        rank = int(share * (shape[0] * shape[1] - 1) / (shape[0] + shape[1]))
        return f"rank:{rank}" if rank > 0 else ""

    @classmethod
    def quantized(cls, matrix: F32, fitting: Fitting = PLAIN, option: str = "1") -> LowRank:
        rank, (rows, columns) = int(option), matrix.shape
        if rank * (rows + columns) >= rows * columns:
            most = (rows * columns - 1) // (rows + columns)
            raise InputError(f"rank:{rank} saves nothing for {rows} x {columns}, expected at most {most}.")
        return cls.of(matrix, rank, fitting.moments)

    @classmethod
    def of(cls, matrix: F32, rank: int, moments: F64 | None = None) -> LowRank:
        """Best approximation of ``rank``, by a singular value decomposition [1]_ of the matrix times the root of ``M``.

        References
        ----------
        .. [1] C. Eckart, G. Young, "The approximation of one matrix by another of lower rank", Psychometrika 1 (1936),
           doi:10.1007/BF02288367.
        """
        if moments is None:
            root = inverse = np.eye(matrix.shape[1])
        else:
            values, vectors = np.linalg.eigh(damped(moments))
            root, inverse = (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T
        u, s, v = np.linalg.svd(matrix.astype(np.float64) @ root, full_matrices=False)
        share = np.sqrt(s[:rank])  # both factors of the same magnitude
        left, right = u[:, :rank] * share, (share[:, None] * v[:rank]) @ inverse
        return cls(left.astype(np.float32), right.astype(np.float32))


def _kept(columns: int, share: str) -> int:
    """Number of columns that remain when a share is dropped; at least one."""
    return max(1, round(columns * (1 - float(share))))
