"""Limits of front ends and back ends, checked before memory is allocated."""

from __future__ import annotations

import math
from fractions import Fraction

from edge_rnn.errors import InputError
from edge_rnn.spelling import counted

__all__ = ["MOST_BYTES", "MOST_CHANNELS", "MOST_SAMPLES", "fits_memory", "fits_rate"]

MOST_CHANNELS = 1 << 12
"""Maximum number of channels per sample."""

MOST_SAMPLES = 1 << 24
"""Maximum length of a window, or of another span, in samples."""

MOST_BYTES = 1 << 26
"""Maximum memory of a front end, and of a whole chain: 64 MB."""

_MOST_VECTORS, _MOST_NUMBERS = 1 << 12, 1 << 16
"""Maximum number of feature vectors per sample, and of values in them."""


def fits_memory(where: str, what: str, count: int, remedy: str) -> None:
    """Check that ``count`` bytes do not exceed ``MOST_BYTES``, before they are allocated.

    Raises
    ------
    InputError
        They do.
    """
    if count > MOST_BYTES:
        raise InputError(
            f"{where} got {what}, which takes {count / 2**20:,.0f} MB of memory, expected at most "
            f"{MOST_BYTES >> 20} MB; {remedy}."
        )


def fits_rate(where: str, what: str, ratio: Fraction, size: int) -> None:
    """Check that a sample does not produce too many feature vectors, or values in them, to compute in time.

    Parameters
    ----------
    ratio
        Feature vectors per sample.
    size
        Values per feature vector.

    Raises
    ------
    InputError
        It produces more than the maximum.
    """
    if ratio > _MOST_VECTORS or ratio * size > _MOST_NUMBERS:
        many = math.ceil(ratio)
        raise InputError(
            f"{where} got {what}, which makes {counted(many, 'vector')} of {counted(size, 'value')} from each "
            f"sample, expected at most {_MOST_VECTORS:,} vectors and {_MOST_NUMBERS:,} values; choose rates that "
            "are closer to each other."
        )
