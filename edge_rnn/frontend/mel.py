"""Mel scale and triangular mel filters, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.typing import F64

__all__ = ["SCALES", "FilterBank", "filter_rows", "hz_of_mel", "mel_of_hz"]

SCALES = ("slaney", "htk")
"""``"htk"``: 2595 log10(1 + f / 700), S. Young et al., "The HTK Book", 5.4.6. ``"slaney"``: linear up to 1 kHz,
logarithmic above, M. Slaney, "Auditory Toolbox", Interval Research TR 1998-010; librosa's default."""

_BREAK_HZ = 1000.0
_HZ_PER_MEL = 200.0 / 3
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_STEP = math.log(6.4) / 27


def mel_of_hz(hz: ArrayLike, scale: str) -> F64:
    """Convert frequencies in Hz to mels."""
    f = np.asarray(hz, np.float64)
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + f / 700))
    above = _BREAK_MEL + np.log(np.maximum(f, _BREAK_HZ) / _BREAK_HZ) / _STEP
    return np.where(f < _BREAK_HZ, f / _HZ_PER_MEL, above)


def hz_of_mel(mel: ArrayLike, scale: str) -> F64:
    """Convert mels to frequencies in Hz."""
    m = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(700 * (10 ** (m / 2595) - 1))
    above = _BREAK_HZ * np.exp(_STEP * (np.maximum(m, _BREAK_MEL) - _BREAK_MEL))
    return np.where(m < _BREAK_MEL, m * _HZ_PER_MEL, above)


def filter_rows(
    rate_hz: float, fft: int, bands: int, fmin_hz: float, fmax_hz: float, scale: str, norm: str, triangles: str
) -> Iterator[F64]:
    """Yield the weights of each band, ``(fft // 2 + 1,)``: triangles with corners equally spaced on the mel scale.

    The whole matrix would take hundreds of megabytes for long frames and many bands.

    Parameters
    ----------
    scale
        One of ``SCALES``.
    norm
        ``"none"``: unit peak. ``"slaney"``: unit area, in 1/Hz.
    triangles
        Axis over which the sides are straight: ``"hz"`` (librosa, torchaudio) or ``"mel"`` (HTK, Kaldi, TensorFlow).
    """
    bins_hz = np.arange(fft // 2 + 1) * (rate_hz / fft)
    low, high = mel_of_hz([fmin_hz, fmax_hz], scale)
    corners = np.linspace(low, high, bands + 2)
    corners_hz = hz_of_mel(corners, scale)
    at, edges = (bins_hz, corners_hz) if triangles == "hz" else (mel_of_hz(bins_hz, scale), corners)
    for i in range(bands):
        left, middle, right = edges[i : i + 3]
        weights = np.maximum(0, np.minimum((at - left) / (middle - left), (right - at) / (right - middle)))
        yield weights * (2 / (corners_hz[i + 2] - corners_hz[i])) if norm == "slaney" else weights


class FilterBank:
    """Sparse weight matrix, applied without its zeros.

    Parameters
    ----------
    rows
        Weights of each band in order, ``(bins,)`` each.
    """

    __slots__ = ("_bins", "_products", "_starts", "_weights")

    def __init__(self, rows: Iterable[F64]) -> None:
        bins, weights = [], []
        for row in rows:
            filled = np.flatnonzero(row)
            bins.append(filled if filled.size else np.zeros(1, np.intp))  # an empty band is the first bin times zero
            weights.append(row[bins[-1]])
        self._bins, self._weights = np.concatenate(bins), np.concatenate(weights)
        self._starts = np.cumsum([0, *map(len, bins[:-1])])
        self._products = np.zeros(len(self._bins))

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return self._bins.nbytes + self._weights.nbytes + self._starts.nbytes + self._products.nbytes

    def apply(self, spectrum: F64, bands: F64) -> None:
        """Write the weighted sum of ``spectrum`` ``(bins,)`` in each band to ``bands`` ``(bands,)``."""
        np.take(spectrum, self._bins, out=self._products, mode="clip")  # "clip" avoids the copy of "raise"
        np.multiply(self._products, self._weights, out=self._products)
        np.add.reduceat(self._products, self._starts, out=bands)
