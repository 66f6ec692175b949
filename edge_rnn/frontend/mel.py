"""The mel scale and its triangular filters, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SCALES", "FilterBank", "filter_rows", "hz_of_mel", "mel_of_hz"]

SCALES = ("slaney", "htk")
"""``"htk"``: 2595 log10(1 + f / 700), S. Young et al., "The HTK Book", 5.4.6. ``"slaney"``: linear up to 1 kHz,
logarithmic above, M. Slaney, "Auditory Toolbox", Interval Research TR 1998-010; librosa's default."""

_BREAK_HZ = 1000.0
_HZ_PER_MEL = 200.0 / 3
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_STEP = math.log(6.4) / 27


def mel_of_hz(hz: ArrayLike, scale: str) -> NDArray[np.float64]:
    """Mels of frequencies."""
    f = np.asarray(hz, np.float64)
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + f / 700))
    above = _BREAK_MEL + np.log(np.maximum(f, _BREAK_HZ) / _BREAK_HZ) / _STEP
    return np.where(f < _BREAK_HZ, f / _HZ_PER_MEL, above)


def hz_of_mel(mel: ArrayLike, scale: str) -> NDArray[np.float64]:
    """Frequencies of mels."""
    m = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(700 * (10 ** (m / 2595) - 1))
    above = _BREAK_HZ * np.exp(_STEP * (np.maximum(m, _BREAK_MEL) - _BREAK_MEL))
    return np.where(m < _BREAK_MEL, m * _HZ_PER_MEL, above)


def filter_rows(
    rate_hz: float, fft: int, bands: int, fmin_hz: float, fmax_hz: float, scale: str, norm: str, triangles: str
) -> Iterator[NDArray[np.float64]]:
    """Weights of one band after the other, ``(fft // 2 + 1,)``: triangles with corners evenly apart on the mel scale.

    All of them together would take hundreds of megabytes where frames are long and bands many.

    Parameters
    ----------
    scale
        One of ``SCALES``.
    norm
        ``"none"``: the peak is 1. ``"slaney"``: the area is, in 1/Hz.
    triangles
        Their sides are straight lines over ``"hz"`` (librosa, torchaudio) or over ``"mel"`` (HTK, Kaldi, TensorFlow).
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
    """A matrix of weights of which few are not zero, applied without those that are.

    Parameters
    ----------
    rows
        Weights of one band after the other, each ``(bins,)``.
    """

    __slots__ = ("_bins", "_products", "_starts", "_weights")

    def __init__(self, rows: Iterable[NDArray[np.float64]]) -> None:
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
        """Bytes of all arrays."""
        return self._bins.nbytes + self._weights.nbytes + self._starts.nbytes + self._products.nbytes

    def apply(self, spectrum: NDArray[np.float64], bands: NDArray[np.float64]) -> None:
        """Write what each band holds of ``spectrum`` ``(bins,)`` to ``bands`` ``(bands,)``."""
        np.take(spectrum, self._bins, out=self._products, mode="clip")  # of bounds that are right it makes no copy
        np.multiply(self._products, self._weights, out=self._products)
        np.add.reduceat(self._products, self._starts, out=bands)
