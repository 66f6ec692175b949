"""Plugin for grids with only a few cases in the usual run: ``pytestmark = pytest.mark.sampled(4)``.

``sampled(most)`` on a function or a file keeps at most that many cases of each test function in the usual run and marks
the others ``slow``. Those kept show as many values of each parameter as that number allows: the next one is always the
case with the most values that none before has shown, the first of several.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence, Set

import pytest

__all__ = ["choose"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases that the usual run leaves out, before ``-m`` is applied."""
    grids: dict[str, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and not item.get_closest_marker("slow"):
            grids[item.nodeid.split("[")[0]].append(item)
    for cases in grids.values():
        marker = cases[0].get_closest_marker("sampled")
        if marker is None:
            continue
        kept = choose(
            [{(name, repr(value)) for name, value in case.callspec.params.items()} for case in cases], *marker.args
        )
        for place, case in enumerate(cases):
            if place not in kept:
                case.add_marker(pytest.mark.slow)


def choose(cases: Sequence[Set[Hashable]], most: int) -> set[int]:
    """Places of at most ``most`` of the cases, each a set of what it shows; fewer where those show everything."""
    left, kept = set[Hashable]().union(*cases), set[int]()
    while left and len(kept) < most:
        best = max(range(len(cases)), key=lambda place: len(cases[place] & left))
        kept.add(best)
        left -= cases[best]
    return kept
