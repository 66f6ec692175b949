"""Checks of arguments: numbers and choices, each with an error that names the argument.

``where`` is the call or the class, as the user writes it: ``"StreamBank"``. ``expected`` replaces the description of
accepted values in the message.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np

from edge_rnn.errors import EdgeRnnError, InputError, InputTypeError, of_wrong_type

__all__ = ["choice", "is_number", "is_whole", "real", "whole"]


def is_whole(value: object) -> TypeGuard[int]:
    """Return True for an integer of Python or NumPy, but not for True and False."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Return True for a real number of Python or NumPy, infinity included, but not for True and False."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def whole(where: str, name: str, value: Any, least: int = 1, most: int | None = None, *, expected: str = "") -> int:
    """Check that ``value`` is a whole number from ``least`` to ``most``; return it as an ``int``.

    Raises
    ------
    InputError
        It is not; InputTypeError if the type is wrong.
    """
    if not is_whole(value) or value < least or (most is not None and value > most):
        bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
        kind = InputError if is_whole(value) else InputTypeError
        raise kind(f"{where} {name} got {value!r}, expected {expected or f'a whole number {bounds}'}.")
    return int(value)


def real(
    where: str,
    name: str,
    value: Any,
    least: float,
    most: float = math.inf,
    *,
    above: bool = False,
    expected: str = "",
    error: type[EdgeRnnError] = InputError,
) -> float:
    """Check that ``value`` is a finite number from ``least`` to ``most``; return it as a ``float``.

    With ``above``, it has to be larger than ``least``.

    Raises
    ------
    InputError
        It is not; ``error`` if that is given. For a wrong type, the class that :func:`of_wrong_type` returns.
    """
    fits = is_number(value) and math.isfinite(value) and least <= value <= most and not (above and value == least)
    if not fits:
        bounds = f"{'above' if above else 'from'} {least:g}" + (f" to {most:g}" if most < math.inf else "")
        kind = error if is_number(value) else of_wrong_type(error)
        raise kind(f"{where} {name} got {value!r}, expected {expected or f'a number {bounds}'}.")
    return float(value)


def choice(
    where: str,
    name: str,
    value: object,
    known: Iterable[Any],
    *,
    otherwise: str = "",
    error: type[EdgeRnnError] = InputError,
) -> None:
    """Check that ``value`` is one of a few words, numbers or constants; 1 does not count as True.

    Parameters
    ----------
    where, name, value, known
        The call, its argument, the value, and the accepted values.
    otherwise
        Text after the list in the message: ``"or None for all"``.
    error
        Class of the error.

    Raises
    ------
    InputError
        It is not; ``error`` if that is given. For a wrong type, the class that :func:`of_wrong_type` returns.
    """
    known = tuple(known)
    if not any(_is(value, each) for each in known):
        listed = ", ".join([*map(repr, known), *filter(None, [otherwise])])
        kind = error if isinstance(value, tuple(map(type, known))) else of_wrong_type(error)
        raise kind(f"{where} {name} got {value!r}, expected one of {listed}.")


def _is(value: object, each: object) -> bool:
    plain = type(each) in (str, int) and isinstance(value, type(each)) and not isinstance(value, bool)
    return value is each or (plain and value == each)
