"""Window functions for frames of sound, in float64."""

from __future__ import annotations

import numpy as np

from edge_rnn.typing import F64

__all__ = ["TAPERS", "taper"]

TAPERS = ("hann", "hann_symmetric", "hamming", "hamming_symmetric", "povey", "rectangular")
"""``"hann"`` and ``"hamming"`` are periodic, as in librosa and PyTorch; the symmetric ones and Povey's are Kaldi's."""


def taper(name: str, length: int) -> F64:
    """Window ``name`` from ``TAPERS``, ``(length,)``.

    Periodic windows have a cosine of period ``length``; symmetric ones, of period ``length - 1``, so that both ends are
    equal. Povey's window is the symmetric Hann window to the power 0.85 (Kaldi, feat/feature-window.cc).
    """
    kind, _, form = name.partition("_")
    period = max(length - 1 if form or kind == "povey" else length, 1)
    wave = np.cos(2 * np.pi * np.arange(length) / period)
    if kind == "rectangular":
        return np.ones(length)
    if kind == "hamming":
        return np.asarray(0.54 - 0.46 * wave)
    hann = 0.5 - 0.5 * wave
    return np.asarray(np.maximum(hann, 0) ** 0.85 if kind == "povey" else hann)
