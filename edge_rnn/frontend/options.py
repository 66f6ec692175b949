"""Checks of what front ends and back ends are made with, each with an error that names the option."""

from __future__ import annotations

import math
from collections.abc import Collection
from fractions import Fraction
from typing import Any

import numpy as np

from edge_rnn.errors import InputError
from edge_rnn.spelling import counted

__all__ = ["MOST_BYTES", "MOST_CHANNELS", "choice", "fits_memory", "fits_rate", "real", "whole"]

MOST_CHANNELS = 1 << 12
"""Channels that a sample has at most."""

MOST_BYTES = 1 << 26
"""Memory that a front end takes at most, and all of a chain together: 64 MB."""

_MOST_VECTORS, _MOST_NUMBERS = 1 << 12, 1 << 16
"""Feature vectors that one sample gives at most, and numbers in these."""


def whole(where: str, name: str, value: Any, least: int = 1, most: int = 1 << 24) -> int:
    """A whole number from ``least`` to ``most``.

    Raises
    ------
    InputError
        It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise InputError(f"{where} {name} got {value!r}, expected a whole number from {least} to {most}.")
    return int(value)


def real(where: str, name: str, value: Any, least: float, most: float = math.inf, *, above: bool = False) -> float:
    """A finite number from ``least`` to ``most``, or above ``least``.

    Raises
    ------
    InputError
        It is none.
    """
    fits = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (fits and math.isfinite(value) and least <= value <= most and not (above and value == least)):
        bounds = f"{'above' if above else 'from'} {least:g}" + (f" to {most:g}" if most < math.inf else "")
        raise InputError(f"{where} {name} got {value!r}, expected a number {bounds}.")
    return float(value)


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


def choice(where: str, name: str, value: Any, known: Collection[str]) -> None:
    """One of a few words.

    Raises
    ------
    InputError
        It is none.
    """
    if value not in known:
        raise InputError(f"{where} {name} got {value!r}, expected {', '.join(known)}.")
