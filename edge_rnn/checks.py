"""Checks of numbers and choices that are handed to a call, each with an error that names the argument.

``where`` in each is the call or the class, as the user writes it: ``"StreamBank"``. ``expected`` replaces what the
message says of the values that are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np

from edge_rnn.errors import EdgeRnnError, InputError, InputTypeError, of_wrong_type

__all__ = ["choice", "is_number", "is_whole", "real", "whole"]


def is_whole(value: object) -> TypeGuard[int]:
    """Tell an integer, of Python or NumPy, from everything else: True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Tell a real number, of Python or NumPy, from everything else: True and False are none, infinity is one."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def whole(where: str, name: str, value: Any, least: int = 1, most: int | None = None, *, expected: str = "") -> int:
    """A whole number from ``least`` to ``most``, as an ``int``.

    Raises
    ------
    InputError
        It is none; an InputTypeError where its type is another.
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
    """A finite number from ``least`` to ``most``, or above ``least``, as a ``float``.

    Raises
    ------
    InputError
        It is none; ``error`` where that is given. Of a wrong type: the kind that :func:`of_wrong_type` names.
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
    """One of a few words, numbers or constants: 1 is not True.

    Parameters
    ----------
    where, name, value, known
        The call, its argument, what it got, and what it takes.
    otherwise
        What the message says behind the list: ``"or None for all"``.
    error
        Class of the error.

    Raises
    ------
    InputError
        It is none; ``error`` where that is given. Of a wrong type: the kind that :func:`of_wrong_type` names.
    """
    known = tuple(known)
    if not any(_is(value, each) for each in known):
        listed = ", ".join([*map(repr, known), *filter(None, [otherwise])])
        kind = error if isinstance(value, tuple(map(type, known))) else of_wrong_type(error)
        raise kind(f"{where} {name} got {value!r}, expected one of {listed}.")


def _is(value: object, each: object) -> bool:
    plain = type(each) in (str, int) and isinstance(value, type(each)) and not isinstance(value, bool)
    return value is each or (plain and value == each)
