"""The fixed-point FFT of TensorFlow Lite Micro's front end, bit for bit: 16-bit integers, rounded at each step.

Source: kissfft 1.3.0 (M. Borgerding, BSD-3-Clause) with ``FIXED_POINT=16``: ``kf_bfly4`` and ``kf_bfly2`` of
kiss_fft.c, ``kiss_fftr`` of kiss_fftr.c. This implementation computes all butterflies of a stage at once.
"""

from __future__ import annotations

import numpy as np

from edge_rnn.typing import F64, I32

__all__ = ["FixedFft"]

Ints = I32
Pair = tuple[Ints, Ints]

_TOP = 32767


class FixedFft:
    """Real FFT of ``length`` 16-bit integers, divided by ``length``.

    Parameters
    ----------
    length
        Length of the input: a power of two, at least 8.
    """

    def __init__(self, length: int) -> None:
        half = self._half = length // 2
        radices = []
        rest = half
        while rest > 1:
            radices.append(4 if rest % 4 == 0 else 2)
            rest //= radices[-1]
        order = np.arange(half).reshape(radices[::-1]).transpose(*reversed(range(len(radices)))).reshape(-1)
        self._order = np.ascontiguousarray(order)
        self._stages: list[tuple[int, int, list[Pair]]] = []
        span = 1
        for radix in reversed(radices):
            steps = np.arange(span)[:, None] * np.arange(1, radix)[None] * (half // (radix * span))
            turns = _circle(-2 * np.pi * steps / half)
            self._stages.append((radix, span, [(turns[0][:, i], turns[1][:, i]) for i in range(radix - 1)]))
            span *= radix
        self._super = _circle(-np.pi * ((np.arange(half // 2) + 1) / half + 0.5))

    def transform(self, samples: Ints) -> Pair:
        """Real and imaginary parts, ``(length // 2 + 1,)`` each, of ``samples`` ``(length,)`` int32 within 16 bits."""
        re, im = samples[0::2][self._order], samples[1::2][self._order]
        for radix, span, turns in self._stages:
            re, im = (part.reshape(-1, radix, span) for part in (re, im))
            butterfly = _four if radix == 4 else _two
            re, im = (part.reshape(-1) for part in butterfly(re, im, turns))
        return self._unfold(re, im)

    def _unfold(self, re: Ints, im: Ints) -> Pair:
        """Turn the complex FFT of half the length into the real FFT."""
        half = self._half
        re, im, negative = _divided(re, 2), _divided(im, 2), _divided(-im, 2)  # rounds differently from -im
        k = np.arange(1, half // 2 + 1)
        one_re, one_im = re[k] + re[half - k], im[k] + negative[half - k]
        other = re[k] - re[half - k], im[k] - negative[half - k]
        turned_re, turned_im = _product(*other, self._super)
        out_re, out_im = np.zeros(half + 1, np.int32), np.zeros(half + 1, np.int32)
        out_re[0], out_re[half] = re[0] + im[0], re[0] - im[0]
        out_re[k], out_im[k] = (one_re + turned_re) >> 1, (one_im + turned_im) >> 1
        out_re[half - k], out_im[half - k] = (one_re - turned_re) >> 1, (turned_im - one_im) >> 1
        return out_re, out_im


def _four(re: Ints, im: Ints, turns: list[Pair]) -> Pair:
    """Radix-4 butterflies of ``(groups, 4, span)``."""
    re, im = _divided(re, 4), _divided(im, 4)
    (b_re, b_im), (c_re, c_im), (d_re, d_im) = (
        _product(re[:, i], im[:, i], turn) for i, turn in enumerate(turns, start=1)
    )
    minus_re, minus_im = re[:, 0] - c_re, im[:, 0] - c_im
    plus_re, plus_im = re[:, 0] + c_re, im[:, 0] + c_im
    sum_re, sum_im, gap_re, gap_im = b_re + d_re, b_im + d_im, b_re - d_re, b_im - d_im
    return (
        np.stack([plus_re + sum_re, minus_re + gap_im, plus_re - sum_re, minus_re - gap_im], axis=1),
        np.stack([plus_im + sum_im, minus_im - gap_re, plus_im - sum_im, minus_im + gap_re], axis=1),
    )


def _two(re: Ints, im: Ints, turns: list[Pair]) -> Pair:
    """Radix-2 butterflies of ``(groups, 2, span)``."""
    re, im = _divided(re, 2), _divided(im, 2)
    b_re, b_im = _product(re[:, 1], im[:, 1], turns[0])
    a_re, a_im = re[:, 0], im[:, 0]
    return np.stack([a_re + b_re, a_re - b_re], axis=1), np.stack([a_im + b_im, a_im - b_im], axis=1)


def _product(re: Ints, im: Ints, turn: Pair) -> Pair:
    """Multiply complex values by twiddle factors."""
    cos, sin = turn
    return _rounded(re * cos - im * sin), _rounded(re * sin + im * cos)


def _divided(values: Ints, by: int) -> Ints:
    return _rounded(values * np.int32(_TOP // by))


def _rounded(values: Ints) -> Ints:
    return (values + np.int32(1 << 14)) >> np.int32(15)


def _circle(phase: F64) -> Pair:
    """Cosines and sines as 16-bit integers."""
    return (
        np.floor(0.5 + _TOP * np.cos(phase)).astype(np.int32),
        np.floor(0.5 + _TOP * np.sin(phase)).astype(np.int32),
    )
