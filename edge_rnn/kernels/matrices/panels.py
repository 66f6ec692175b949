"""Pack matrices into panels that a kernel reads once, front to back.

A panel holds all weights of a group of units: for each segment (bias, input weights, recurrent weights) its rows, and
in each row the gates of these units side by side. So all gates of a unit are in registers together, without a gate
buffer and without a second pass. The last groups are narrower; units are padded to 8 with zeros.

A segment is the part of one matrix in a panel: first the data that its format needs, then its rows (one per value of
the multiplied vector), in each row the gates of the panel's units side by side. Its length is a multiple of 32 bytes.
``segments`` has a class for each format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Operand, Packed, padded
from edge_rnn.typing import F32, AnyArray

__all__ = ["DOTS", "Segment", "chains", "pack_panels", "widths"]

DOTS = 4
"""Number of dot products that :mod:`edge_rnn.kernels.matrices.dots` computes at a time."""


def widths(block: int, gates: int, widest: int = 1 << 16) -> tuple[int, ...]:
    """Widths of panels in units, widest first, for ``gates`` sums per unit, accumulated in ``block`` vectors of 8.

    >>> widths(8, 4), widths(8, 3), widths(8, 1), widths(4, 4), widths(8, 1, 16)
    ((16, 8), (16, 8), (64, 32, 16, 8), (8,), (16, 8))
    """
    most = max(min(block // gates, widest // 8), 1)
    return tuple(8 << power for power in range(most.bit_length() - 1, -1, -1))


def chains(block: int, gates: int, width: int) -> int:
    """Number of sums that :func:`edge_rnn.kernels.matrices.rows.fma_rows` splits each of ``gates`` accumulators into.

    Enough to fill 8 registers, or as many as there are. Blocks of 16 are for registers of 16 floats; with these, at
    most 8 sums in all (Sapphire Rapids: GRU (1,20) with 2 chains for each of 3 gates 69 ns, with 3 chains 94 ns).
    """
    if block == 16:
        return max(8 // (gates * max(width // 16, 1)), 1)
    return -(-min(block, 8) // (gates * width // 8))


@dataclass(frozen=True, slots=True)
class Segment(ABC):
    """Matrix of ``G`` gates by ``H`` units, to be packed into panels.

    Parameters
    ----------
    matrix
        A float32 array, or an object of :mod:`edge_rnn.formats`.
    scales
        Factor of each gate of the matrix, a power of two.
    target
        The CPU.
    gates
        Gates to pack, in the order in which they are adjacent; None for all.
    """

    widest: ClassVar[int] = 1 << 16
    """Most units in a panel."""
    planes: ClassVar[dict[str, int]] = {}
    """Number of sums that one sum is split into, by :attr:`Target.dot`, where it is more than one."""
    loop: ClassVar[str] = ""
    """Format whose loop multiplies with it; empty if it has its own."""
    per_float: ClassVar[int] = 0
    """Weights that fit a float32, for a format that is read as floats, also by the dot products of a small Dense: see
    :func:`edge_rnn.kernels.matrices.weight_loads.load_of`. 0 for other formats."""

    matrix: Any
    scales: Sequence[float]
    target: Target
    gates: tuple[int, ...] | None = None

    def part(self, *gates: int) -> Segment:
        """Segment of some gates alone."""
        return replace(self, gates=gates)

    @property
    def which(self) -> list[int]:
        """Indices of the gates to pack."""
        return list(range(len(self.scales)) if self.gates is None else self.gates)

    @property
    def chosen(self) -> Sequence[float]:
        """Scales of the gates to pack."""
        return [self.scales[gate] for gate in self.which]

    @abstractmethod
    def panel(self, start: int, width: int) -> F32:
        """Pack ``width`` units from ``start`` on; return the bytes as float32. Units beyond the last are zero."""

    def operand(self, bound: float | None) -> Operand | None:
        """Preparation of the vector that the matrix multiplies, given a bound of its absolute values; None for none."""
        return None

    def dots_operand(self, bound: float | None) -> Operand | None:
        """Preparation of the vector for dot products, which read :meth:`stored`."""
        return self.operand(bound)

    def stored(self) -> tuple[AnyArray, F32]:
        """Rows ``(G*H, K)`` as stored, and the factor of each, ``(G*H,)``."""
        raise NotImplementedError(type(self).__name__)

    def split(self, rows: AnyArray, start: int, width: int) -> AnyArray:
        """Take the rows of a panel, ``(G, width, …)``, from ``(G*H, …)``; zeros in the padding."""
        gates = rows.reshape(len(self.scales), -1, *rows.shape[1:])[:, start : start + width][self.which]
        return np.pad(gates, [(0, 0), (0, width - gates.shape[1]), *([(0, 0)] * (gates.ndim - 2))])

    def per_row(self) -> F32:
        """Scale of each row's gate, ``(G*H,)``."""
        return np.repeat(np.array(self.scales, np.float32), self.matrix.shape[0] // len(self.scales))

    def scaled(self, gates: AnyArray) -> AnyArray:
        """Multiply each gate of ``(G, …)`` by its scale."""
        factors: AnyArray = np.array(self.chosen, gates.dtype).reshape(-1, *[1] * (gates.ndim - 1))
        return np.asarray(gates * factors)


def pack_panels(bias: AnyArray, segments: Sequence[Segment], widths: Sequence[int], pad: float = 0.0) -> Packed:
    """Pack the weights of one layer, panel after panel.

    Parameters
    ----------
    bias
        ``(sums, units)``: initial values of the sums of each unit.
    segments
        The matrices, for the same units.
    widths
        See :func:`widths`.
    pad
        Bias in the padding.
    """
    units = bias.shape[1]
    whole = np.pad(bias, ((0, 0), (0, padded(units) - units)), constant_values=pad).astype(np.float32)
    pieces: list[F32] = []
    start, unit_floats = 0, 0
    for width in widths:
        while padded(units) - start >= width:
            panel = [whole[:, start : start + width].ravel(), *(s.panel(start, width) for s in segments)]
            unit_floats = unit_floats or sum(piece.size for piece in panel) // width
            pieces += panel
            start += width
    return Packed(np.concatenate(pieces), unit_floats)
