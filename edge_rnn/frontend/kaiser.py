"""Low-pass filter design with a Kaiser window, in float64.

Source: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", ISCAS 1974, pp. 20-23;
formulas as in A. V. Oppenheim and R. W. Schafer, "Discrete-Time Signal Processing", 3rd ed., section 7.6, (7.75) and
(7.76).
"""

from __future__ import annotations

import math

import numpy as np

from edge_rnn.typing import F64

__all__ = ["beta_of", "half_length_of", "low_pass"]

_BLOCK = 1 << 14


def beta_of(attenuation_db: float) -> float:
    """Shape parameter beta of the window for a stop-band attenuation of ``attenuation_db``, (7.75)."""
    if attenuation_db > 50:
        return float(0.1102 * (attenuation_db - 8.7))
    if attenuation_db >= 21:
        return float(0.5842 * (attenuation_db - 21) ** 0.4 + 0.07886 * (attenuation_db - 21))
    return 0.0


def half_length_of(attenuation_db: float, transition: float) -> int:
    """Number of taps on each side of the center tap, (7.76).

    Parameters
    ----------
    attenuation_db
        Stop-band attenuation.
    transition
        Width of the transition band as a fraction of the Nyquist frequency.
    """
    return math.ceil((attenuation_db - 7.95) / (2.285 * math.pi * transition) / 2)


def low_pass(half_length: int, cutoff: float, beta: float) -> F64:
    """Taps of a linear-phase low-pass filter, ``(2 * half_length + 1,)``, with sum 1.

    Parameters
    ----------
    half_length
        Number of taps on each side of the center tap.
    cutoff
        Frequency at which the response is -6 dB, as a fraction of the Nyquist frequency.
    beta
        Shape parameter of the window.
    """
    taps = np.empty(2 * half_length + 1)
    for begin in range(0, half_length + 1, _BLOCK):  # blocks of one half bound the temporaries
        n = np.arange(begin, min(begin + _BLOCK, half_length + 1))
        window = np.i0(beta * np.sqrt(1 - (n / max(half_length, 1)) ** 2)) / np.i0(beta)
        taps[half_length + n] = taps[half_length - n] = cutoff * np.sinc(cutoff * n) * window
    taps /= taps.sum()
    return taps
