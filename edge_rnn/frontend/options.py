"""Bounds of what front ends and back ends are made with, asked for before memory is allocated."""

from __future__ import annotations

import math
from fractions import Fraction

from edge_rnn.errors import InputError
from edge_rnn.spelling import counted

__all__ = ["MOST_BYTES", "MOST_CHANNELS", "MOST_SAMPLES", "fits_memory", "fits_rate"]

MOST_CHANNELS = 1 << 12
"""Channels that a sample has at most."""

MOST_SAMPLES = 1 << 24
"""Samples that a window has, or that something lasts, at most."""

MOST_BYTES = 1 << 26
"""Memory that a front end takes at most, and all of a chain together: 64 MB."""

_MOST_VECTORS, _MOST_NUMBERS = 1 << 12, 1 << 16
"""Feature vectors that one sample gives at most, and numbers in these."""


def fits_memory(where: str, what: str, count: int, remedy: str) -> None:
    """Nothing, where ``count`` bytes are no more than ``MOST_BYTES``; asked before they are allocated.

    Raises
    ------
    InputError
        They are more.
    """
    if count > MOST_BYTES:
        raise InputError(
            f"{where} got {what}, which takes {count / 2**20:,.0f} MB of memory, expected {MOST_BYTES >> 20} MB at "
            f"most; {remedy}."
        )


def fits_rate(where: str, what: str, ratio: Fraction, size: int) -> None:
    """Nothing, where a sample gives no more feature vectors, and numbers in these, than can be asked for in time.

    Parameters
    ----------
    ratio
        Feature vectors for each sample.
    size
        Numbers of each.

    Raises
    ------
    InputError
        It gives more.
    """
    if ratio > _MOST_VECTORS or ratio * size > _MOST_NUMBERS:
        many = math.ceil(ratio)
        raise InputError(
            f"{where} got {what}, which makes {counted(many, 'vector')} of {counted(size, 'number')} of each sample, "
            f"expected {_MOST_VECTORS:,} vectors and {_MOST_NUMBERS:,} numbers at most; choose rates that are nearer "
            f"to each other."
        )
