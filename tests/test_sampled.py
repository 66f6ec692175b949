"""Grids with only a few cases in the usual run, see tests/support/sampled.py."""

from __future__ import annotations

from itertools import product

import pytest

from sampled import choose

SHOWN = [{("cell", cell), ("format", form)} for cell, form in product("abc", "xyz")]


def test_three_cases_show_a_grid_of_three_by_three() -> None:
    assert choose(SHOWN, 9) == {0, 4, 8}


def test_no_more_are_kept_than_asked_for() -> None:
    assert choose(SHOWN, 2) == {0, 4}
    assert choose([{("each", place)} for place in range(9)], 4) == {0, 1, 2, 3}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("a", "b"), list(product("xy", "uv")))
def test_parameters_of_one_row_count_each(a: str, b: str, request: pytest.FixtureRequest) -> None:
    assert (request.node.get_closest_marker("slow") is None) == ((a, b) in {("x", "u"), ("y", "v")})


@pytest.mark.sampled(2)
@pytest.mark.parametrize("each", range(5))
def test_the_others_are_slow(each: int, request: pytest.FixtureRequest) -> None:
    """Run with ``-m ''``, all five are there, and the last three are marked."""
    assert (request.node.get_closest_marker("slow") is not None) == (each >= 2)
