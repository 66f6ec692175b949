"""Round a float32 matrix to integers and scales with the least error of its products.

For an error ``D (R, K)`` of the matrix and second moments ``M = mean of x x^T (K, K)`` of the vectors that it
multiplies, the mean squared error of row ``r`` is ``D[r] M D[r]^T``. Without a recording ``M`` is the identity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_rnn.formats.matrix import SMALLEST_RANGE
from edge_rnn.typing import F32, F64

__all__ = ["damped", "input_range", "rounded", "scales"]

Moments = F64 | None

_CLIPS = np.linspace(1.0, 0.5, 26)
"""Clipping limits that are tried, as shares of a row's largest weight."""

_HOPELESS = 16.0
"""Ratio to a row's least error so far above which smaller shares are not tried: they only clip more."""

_ROWS = 128
"""Rows of a matrix that are tried together, so that intermediate arrays stay in the caches."""

_COLUMNS = 32
"""Columns whose rounding errors are passed on to later columns in one product."""

_DAMPING = 0.01
"""Share of the mean of the diagonal of ``M`` that is added to it: a recording never shows all inputs that may come."""


def scales(matrix: F32, moments: Moments, most: int, group: int) -> F64:
    """Scales ``(R, groups)`` with the least error of the products, for rows rounded to the nearest.

    Parameters
    ----------
    most
        Largest stored integer.
    group
        Columns that share a scale.
    """
    wide = matrix.astype(np.float64)
    m = None if moments is None else damped(moments)
    starts = range(0, matrix.shape[1], group)
    return np.stack([_scales(wide, m, most, slice(start, start + group)) for start in starts], axis=1)


def input_range(vectors: F64, steps: int) -> float | None:
    """Range with the least squared error for vectors ``(T, K)`` that are rounded to ``2 * steps + 1`` values.

    None if all vectors are zero or nearly so.
    """
    largest = float(np.abs(vectors).max())
    if largest < 2 * SMALLEST_RANGE:  # the best range may be half of it
        return None

    def error(limit: float) -> float:
        near = np.round(np.clip(vectors, -limit, limit) * (steps / limit)) * (limit / steps)
        return float(np.square(near - vectors).mean())

    return float(min((largest * clip for clip in _CLIPS), key=error))


def damped(moments: F64) -> F64:
    """Add a small share of the mean diagonal to the diagonal of moments, so that they can be inverted."""
    mean = float(np.diag(moments).mean())
    return moments + np.eye(len(moments)) * (_DAMPING * mean if mean > 0 else 1.0)


def rounded(matrix: F32, moments: Moments, most: int, group: int, feedback: bool, scale: F64) -> NDArray[np.int8]:
    """Round a matrix to integers ``(R, K)``, given scales ``(R, groups)``.

    Parameters
    ----------
    matrix
        ``(R, K)``.
    moments
        ``(K, K)``, or None for the identity.
    most, group
        See :func:`scales`.
    feedback
        With moments: True to compensate the rounding error of each column in later ones (optimal brain quantization
        [1]_ in the order of columns [2]_), instead of rounding each to the nearest.
    scale
        Result of :func:`scales`.

    References
    ----------
    .. [1] E. Frantar, D. Alistarh, "Optimal brain compression", NeurIPS 2022, arXiv:2208.11580.
    .. [2] E. Frantar et al., "GPTQ: Accurate post-training quantization for generative pre-trained transformers",
       ICLR 2023, arXiv:2210.17323.
    """
    rows, columns = matrix.shape
    wide = matrix.astype(np.float64)
    of_column = np.repeat(scale, group, axis=1)[:, :columns]
    if moments is None or not feedback:
        return _nearest(wide, of_column, most).astype(np.int8)
    # Column by column: the rest of the row compensates the rounding error, as far as the vectors are correlated. Errors
    # go to the columns of the same block at once, and to all later ones in one product per block: the same sums.
    factor = np.linalg.cholesky(np.linalg.inv(damped(moments))).T
    values, left, steps = np.zeros((columns, rows)), wide.T.copy(), np.ascontiguousarray(of_column.T)
    for start in range(0, columns, _COLUMNS):
        end = min(start + _COLUMNS, columns)
        taken = np.zeros((end - start, rows))
        for k in range(start, end):
            values[k] = _nearest(left[k], steps[k], most)
            taken[k - start] = (left[k] - values[k] * steps[k]) / factor[k, k]
            left[k:end] -= factor[k, k:end, None] * taken[k - start]
        left[end:] -= factor[start:end, end:].T @ taken
    return np.ascontiguousarray(values.T.astype(np.int8))


def _scales(wide: F64, moments: Moments, most: int, columns: slice) -> F64:
    """Scale of some columns for each row, clipped where that reduces the error of the products; 0 for rows of zeros."""
    square = None if moments is None else np.ascontiguousarray(moments[columns, columns])
    parts = [wide[start : start + _ROWS, columns] for start in range(0, len(wide), _ROWS)]
    return np.concatenate([_least(np.ascontiguousarray(part), square, most) for part in parts])


def _least(part: F64, square: F64 | None, most: int) -> F64:
    """Scale with the least error for each of some rows; the larger one of two that are equal."""

    def error(rows: F64, scale: F64) -> F64:
        off = _nearest(rows, scale[:, None], most) * scale[:, None] - rows
        return np.asarray(np.einsum("rk,rk->r", off if square is None else off @ square, off))

    full = np.abs(part).max(axis=1) / most
    full = np.where(full < np.finfo(np.float32).tiny, 0.0, full).astype(np.float32).astype(np.float64)
    best, least = full.copy(), error(part, full)
    open_ = np.arange(len(part))
    for clip in _CLIPS[1:]:
        scale = (full[open_] * clip).astype(np.float32).astype(np.float64)
        found = error(part[open_], scale)
        better = found < least[open_]
        best[open_[better]], least[open_[better]] = scale[better], found[better]
        open_ = open_[found <= _HOPELESS * least[open_]]
        if not len(open_):
            break
    return best


def _nearest(values: F64, scale: F64, most: int) -> F64:
    return np.clip(np.round(values / np.where(scale > 0, scale, np.inf)), -most, most)
