"""Collection that starts at another folder in each worker of pytest-xdist, so that workers share what they compile.

Python compiles a module, and pytest rewrites the assertions of a test file, the first time; then it is read from
``__pycache__``. Workers that import the same files at the same moment would each compile all of them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

__all__ = ["rotated"]


def rotated(entries: list[Any], worker: int, workers: int) -> list[Any]:
    """Entries from this worker's own on; those before it follow at the end."""
    start = len(entries) * worker // workers
    return entries[start:] + entries[:start]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    given = getattr(collector.config, "workerinput", None)
    if given is not None and isinstance(collector, pytest.Dir):
        report.result = rotated(report.result, int(given["workerid"].removeprefix("gw")), given["workercount"])
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files in order again, before others arrange them: all workers must have the same list."""
    items.sort(key=lambda item: item.path)
