"""Grids of parameters: all rows in the full run, some of them in the usual run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

__all__ = ["thinned"]


def thinned(rows: Iterable[Any], usual: Callable[..., bool]) -> list[Any]:
    """Parameters for ``pytest.mark.parametrize``: rows for which ``usual`` is false are marked ``slow``.

    A row is a tuple, or a single value. Most of what a grid costs are kernels that nothing else compiles; what stays
    in the usual run shall have each value of each parameter at least once.
    """
    found = []
    for row in rows:
        values = row if isinstance(row, tuple) else (row,)
        found.append(pytest.param(*values, marks=() if usual(*values) else pytest.mark.slow))
    assert any(not each.marks for each in found), "nothing is left of the grid"
    return found
