"""Packing: matrices into panels that a kernel reads once, front to back.

A panel holds all that a group of units needs: for each segment (bias, input weights, recurrent weights) its rows, and
in a row the gates of these units side by side. So the gates of a unit meet in registers: there is no gate buffer and no
second pass. The last groups are narrower; units are padded to 8 with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.kernels.record import padded

__all__ = ["bias_of", "chains", "gates_of", "pack_panels", "widths"]


def widths(block: int, gates: int) -> tuple[int, ...]:
    """Units in a panel, widest first, for cells that accumulate ``gates`` sums a unit in ``block`` vectors of 8.

    >>> widths(8, 4), widths(8, 3), widths(8, 1), widths(4, 4)
    ((16, 8), (16, 8), (64, 32, 16, 8), (8,))
    """
    most = max(block // gates, 1)
    return tuple(8 << power for power in range(most.bit_length() - 1, -1, -1))


def chains(block: int, gates: int, width: int) -> int:
    """Into how many independent sums :func:`edge_rnn.kernels.rows.fma_rows` splits each of ``gates`` accumulators.

    Enough for 8 registers of sums, or as many as there are. Blocks of 16 are for registers of 16 floats.
    """
    registers = gates * max(width // (16 if block == 16 else 8), 1)
    return -(-min(block, 8) // registers)


def bias_of(fields: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    """Bias ``name`` of a layer's fields as float64 ``(G*H,)``, zeros where there is none; sums of biases round once."""
    matrix = fields["weight"] if "weight" in fields else fields["weight_hh"]
    bias = fields[name]
    return np.zeros(matrix.shape[0]) if bias is None else np.asarray(bias, np.float64)


def gates_of(rows: NDArray[Any], scales: Sequence[float]) -> NDArray[Any]:
    """``(G*H, K)`` or ``(G*H,)`` as ``(G, H, K)`` or ``(G, H, 1)``, each gate times its scale, a power of two."""
    gates: NDArray[Any] = rows.reshape(len(scales), rows.shape[0] // len(scales), -1)
    scaled: NDArray[Any] = gates * np.array(scales, rows.dtype)[:, None, None]
    return scaled


def pack_panels(segments: Sequence[NDArray[Any]], block: int, gates: int, pad: float = 0.0) -> NDArray[np.float32]:
    """Weights of one layer, panel after panel.

    Parameters
    ----------
    segments
        Each ``(gates of this segment, units, rows)``: for a bias there is one row.
    block, gates
        See :func:`widths`.
    pad
        What the first segment, the bias, holds for units that do not exist.

    Returns
    -------
    ``(n,)`` float32.
    """
    units = segments[0].shape[1]
    missing = padded(units) - units
    filled = []
    for place, segment in enumerate(segments):
        value = pad if place == 0 else 0.0
        filled.append(np.pad(segment, ((0, 0), (0, missing), (0, 0)), constant_values=value))
    pieces = []
    start = 0
    for width in widths(block, gates):
        while units + missing - start >= width:
            pieces += [segment[:, start : start + width].transpose(2, 0, 1).ravel() for segment in filled]
            start += width
    return np.concatenate(pieces).astype(np.float32, copy=False)
