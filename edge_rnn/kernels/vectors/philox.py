"""Counter-based random numbers, a function of seed and counter that is the same on every machine: Philox4x32-10.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011),
doi:10.1145/2063384.2063405; known answers in Random123's ``kat_vectors``. It uses only integers, so nothing is rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.compiler import helper

__all__ = ["philox", "share"]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@helper
def philox(seed: Any, place: Any) -> Any:
    """32 random bits as uint64: the first word for the key ``seed`` and the counter ``place``, both 64 bits."""
    seed, place = np.uint64(seed), np.uint64(place)
    key0, key1 = seed & _LOW, seed >> _HALF
    x0, x1, x2, x3 = place & _LOW, place >> _HALF, np.uint64(0), np.uint64(0)
    for _ in range(10):
        a, b = _M0 * x0, _M1 * x2
        x0, x1, x2, x3 = (b >> _HALF) ^ x1 ^ key0, b & _LOW, (a >> _HALF) ^ x3 ^ key1, a & _LOW
        key0, key1 = (key0 + _W0) & _LOW, (key1 + _W1) & _LOW
    return x0


@helper
def share(part: Any, whole: Any) -> Any:
    """``floor(part * whole / 2**32)``, int64; ``part`` from 0 to 2**32, ``whole`` below 2**62."""
    part, whole = np.uint64(part), np.uint64(whole)
    return np.int64(part * (whole >> _HALF) + ((part * (whole & _LOW)) >> _HALF))
