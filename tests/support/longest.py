"""Order of tests: the longest start first, in all workers of pytest-xdist, so that none of them ends the run alone."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

__all__ = ["LONGEST", "dealt"]

LONGEST = (
    "test_site_builds_without_a_warning",
    "test_no_network_is_read_wrong_and_enough_are_read",
    "test_tool_finds_nothing[mypy]",
    "test_many_damaged_files",
    "test_shipped_kernels_of_every_fifth_network",
    "test_blocks_run",
    "test_streams_and_banks_of_many",
    "test_no_network_of_many_is_read_wrong",
    "test_nothing_grows_in_a_million_samples",
    "test_code_for_another_cpu_gives_the_same_bits",
    "test_kernels_stay_within_their_memory",
    "test_the_same_for_cpus_that_multiply_otherwise",
    "test_kill_at",
)
"""Tests that take from five seconds to some minutes, by the start of their names, the longest first."""


def dealt(first: list[Any], others: list[Any], workers: int) -> list[Any]:
    """All entries, such that each worker's part of the list begins with its share of ``first``, dealt like cards.

    A worker gets as many adjacent entries as the others; one that has none left later takes the end of another's part.
    """
    rest, order = iter(others), list[Any]()
    for worker in range(workers):
        size = (len(first) + len(others) - len(order)) // (workers - worker)
        share = first[worker::workers]
        order += [*share, *islice(rest, max(size - len(share), 0))]
    return [*order, *rest]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests that are left after ``-m``."""
    places = [next((place for place, name in enumerate(LONGEST) if item.name.startswith(name)), None) for item in items]
    ranked = sorted((place, number) for number, place in enumerate(places) if place is not None)
    others = [item for item, place in zip(items, places, strict=True) if place is None]
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    items[:] = dealt([items[number] for _, number in ranked], others, workers)
