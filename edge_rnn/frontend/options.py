"""Checks of what front ends and back ends are made with, each with an error that names the option."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from edge_rnn.errors import InputError

__all__ = ["MOST_CHANNELS", "MOST_NUMBERS", "choice", "real", "whole"]

MOST_CHANNELS = 1 << 12
"""Channels that a sample has at most."""

MOST_NUMBERS = 1 << 22
"""Numbers that a front end keeps of its samples at most: 32 MB, and as much again to move them."""


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


def choice(where: str, name: str, value: Any, known: Collection[str]) -> None:
    """One of a few words.

    Raises
    ------
    InputError
        It is none.
    """
    if value not in known:
        raise InputError(f"{where} {name} got {value!r}, expected {', '.join(known)}.")
