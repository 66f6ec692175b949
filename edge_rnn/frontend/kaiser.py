"""Low-pass filters by Kaiser's window, in float64.

Source: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", ISCAS 1974, pp. 20-23;
the formulas as in A. V. Oppenheim and R. W. Schafer, "Discrete-Time Signal Processing", 3rd ed., section 7.6, (7.75)
and (7.76).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["beta_of", "half_length_of", "low_pass"]

_BLOCK = 1 << 14


def beta_of(attenuation_db: float) -> float:
    """Shape of the window for a stop band that is ``attenuation_db`` down, (7.75)."""
    if attenuation_db > 50:
        return float(0.1102 * (attenuation_db - 8.7))
    if attenuation_db >= 21:
        return float(0.5842 * (attenuation_db - 21) ** 0.4 + 0.07886 * (attenuation_db - 21))
    return 0.0


def half_length_of(attenuation_db: float, transition: float) -> int:
    """Taps on either side of the middle one, (7.76).

    Parameters
    ----------
    attenuation_db
        How far the stop band is down.
    transition
        Width of the band between pass band and stop band, as a share of half the sample rate.
    """
    return math.ceil((attenuation_db - 7.95) / (2.285 * math.pi * transition) / 2)


def low_pass(half_length: int, cutoff: float, beta: float) -> NDArray[np.float64]:
    """Taps of a linear-phase low-pass filter, ``(2 * half_length + 1,)``, their sum 1.

    Parameters
    ----------
    half_length
        Taps on either side of the middle one.
    cutoff
        Where it is 6 dB down, as a share of half the sample rate.
    beta
        Shape of the window.
    """
    taps = np.empty(2 * half_length + 1)
    for begin in range(0, half_length + 1, _BLOCK):  # one half, and a block at a time, as both take some arrays
        n = np.arange(begin, min(begin + _BLOCK, half_length + 1))
        window = np.i0(beta * np.sqrt(1 - (n / max(half_length, 1)) ** 2)) / np.i0(beta)
        taps[half_length + n] = taps[half_length - n] = cutoff * np.sinc(cutoff * n) * window
    taps /= taps.sum()
    return taps
