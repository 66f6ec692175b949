"""Checks of numbers and choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_rnn.checks import choice, is_number, is_whole, real, whole
from edge_rnn.errors import InputError, ModelError


def test_numbers_of_numpy_become_pythons_own() -> None:
    assert (whole("f", "n", np.int8(3)), type(whole("f", "n", np.int8(3)))) == (3, int)
    assert (real("f", "x", np.float32(0.5), 0), type(real("f", "x", 2, 0))) == (0.5, float)


def test_truth_values_and_texts_are_no_numbers() -> None:
    assert not any(is_whole(value) or is_number(value) for value in (True, np.True_, "1", None, 1j, [1]))
    assert [is_whole(value) for value in (1, np.uint64(1), 1.0)] == [True, True, False]
    assert [is_number(value) for value in (1, np.float16(1), math.inf)] == [True, True, True]


def test_bounds_are_taken() -> None:
    assert [whole("f", "n", value, 2, 4) for value in (2, 4)] == [2, 4]
    assert [real("f", "x", value, 2, 4) for value in (2, 4)] == [2.0, 4.0]
    assert whole("f", "n", 10**30) == 10**30


def test_a_choice_is_distinguished_from_equal_values() -> None:
    for value, known in (("a", "ab"), (1, (0, 1)), (True, (True, False)), (None, ("a", None)), (np.str_("a"), "ab")):
        choice("f", "x", value, known)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "below": (lambda: whole("f", "n", 0), InputError, "f n got 0, expected a whole number of 1 or more."),
    "above": (lambda: whole("f", "n", 5, 1, 4), InputError, "f n got 5, expected a whole number from 1 to 4."),
    "truth": (lambda: whole("f", "n", True, 1, 4), InputError, "f n got True, expected a whole number from 1 to 4."),
    "fraction": (lambda: whole("f", "n", 1.5, expected="steps"), InputError, "f n got 1.5, expected steps."),
    "not above": (lambda: real("f", "x", 0, 0, above=True), InputError, "f x got 0, expected a number above 0."),
    "nan": (lambda: real("f", "x", math.nan, 0, 1), InputError, "f x got nan, expected a number from 0 to 1."),
    "endless": (lambda: real("f", "x", math.inf, 0), InputError, "f x got inf, expected a number from 0."),
    "text": (lambda: real("f", "x", "1", 0, error=ModelError), ModelError, "f x got '1', expected a number from 0."),
    "1 for True": (lambda: choice("f", "x", 1, (True,)), InputError, "f x got 1, expected one of True."),
    "True for 1": (lambda: choice("f", "x", True, (0, 1)), InputError, "f x got True, expected one of 0, 1."),
    "1.0 for 1": (lambda: choice("f", "x", 1.0, (0, 1)), InputError, "f x got 1.0, expected one of 0, 1."),
    "list": (lambda: choice("f", "x", ["a"], {"a": 1}), InputError, "f x got ['a'], expected one of 'a'."),
    "more": (lambda: choice("f", "x", 0, "a", otherwise="or b"), InputError, "f x got 0, expected one of 'a', or b."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, kind, text = REFUSED[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
