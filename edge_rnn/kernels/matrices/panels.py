"""Packing: matrices into panels that a kernel reads once, front to back.

A panel holds all that a group of units needs: for each segment (bias, input weights, recurrent weights) its rows, and
in a row the gates of these units side by side. So the gates of a unit meet in registers: there is no gate buffer and no
second pass. The last groups are narrower; units are padded to 8 with zeros. ``segments`` says what a matrix has in a
panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.kernels.program.record import Packed, padded

if TYPE_CHECKING:
    from edge_rnn.kernels.matrices.segments import Segment

__all__ = ["bias_of", "chains", "gates_of", "pack_panels", "widths"]


def widths(block: int, gates: int, widest: int = 1 << 16) -> tuple[int, ...]:
    """Units in a panel, widest first, for cells that accumulate ``gates`` sums a unit in ``block`` vectors of 8.

    >>> widths(8, 4), widths(8, 3), widths(8, 1), widths(4, 4), widths(8, 1, 16)
    ((16, 8), (16, 8), (64, 32, 16, 8), (8,), (16, 8))
    """
    most = max(min(block // gates, widest // 8), 1)
    return tuple(8 << power for power in range(most.bit_length() - 1, -1, -1))


def chains(block: int, gates: int, width: int) -> int:
    """Number of sums that :func:`edge_rnn.kernels.matrices.rows.fma_rows` splits each of ``gates`` accumulators into.

    Enough for 8 registers of sums, or as many as there are. Blocks of 16 are for registers of 16 floats; there no more
    than 8 (Sapphire Rapids: GRU (1,20) with 2 chains for each of 3 gates 69 ns, with 3 chains 94 ns).
    """
    if block == 16:
        return max(8 // (gates * max(width // 16, 1)), 1)
    return -(-min(block, 8) // (gates * width // 8))


def bias_of(fields: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    """Bias ``name`` of a layer's fields as float64 ``(G*H,)``, zeros where there is none; sums of biases round once."""
    matrix = fields["weight"] if "weight" in fields else fields["weight_hh"]
    bias = fields[name]
    return np.zeros(matrix.shape[0]) if bias is None else np.asarray(bias, np.float64)


def gates_of(rows: NDArray[Any], scales: Sequence[float]) -> NDArray[Any]:
    """A bias ``(G*H,)`` as ``(G, H)``, each gate times its scale, a power of two."""
    gates: NDArray[Any] = rows.reshape(len(scales), -1)
    return np.asarray(gates * np.array(scales, rows.dtype)[:, None])


def pack_panels(bias: NDArray[Any], segments: Sequence[Segment], widths: Sequence[int], pad: float = 0.0) -> Packed:
    """Weights of one layer, panel after panel.

    Parameters
    ----------
    bias
        ``(sums, units)``: where the sums of each unit start.
    segments
        The matrices, for the same units.
    widths
        See :func:`widths`.
    pad
        What the bias holds for units that do not exist.
    """
    units = bias.shape[1]
    whole = np.pad(bias, ((0, 0), (0, padded(units) - units)), constant_values=pad).astype(np.float32)
    pieces: list[NDArray[np.float32]] = []
    start, unit_floats = 0, 0
    for width in widths:
        while padded(units) - start >= width:
            panel = [whole[:, start : start + width].ravel(), *(s.panel(start, width) for s in segments)]
            unit_floats = unit_floats or sum(piece.size for piece in panel) // width
            pieces += panel
            start += width
    return Packed(np.concatenate(pieces), unit_floats)
