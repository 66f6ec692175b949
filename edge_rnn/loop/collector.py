"""Garbage collection kept out of the time between a sample and its output."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from typing import Literal, get_args

__all__ = ["COLLECT", "Collect", "SlackCollector", "off_the_hot_path"]

Collect = Literal["slack", "never", "python"]
COLLECT: tuple[Collect, ...] = get_args(Collect)

_ENOUGH = 700
"""Objects made and not freed, since the last collection, that are worth one: as Python's own first threshold."""

_TOO_MANY = 200_000
"""With so many a collection comes whether there is time for it or not."""

_ROOM = 4
"""Slack that there has to be, in longest collections so far."""


class SlackCollector:
    """Collects when the loop has nothing to do.

    Attributes
    ----------
    collections
        How many there were.
    """

    __slots__ = ("_longest_ns", "collections")

    def __init__(self) -> None:
        self._longest_ns = 200_000
        self.collections = 0

    def offer(self, slack_ns: int) -> None:
        """Collect if it is worth it and takes a fraction of this time."""
        made = gc.get_count()[0]
        if made < _ENOUGH or (slack_ns < _ROOM * self._longest_ns and made < _TOO_MANY):
            return
        start = time.perf_counter_ns()
        gc.collect()
        self._longest_ns = max(self._longest_ns, time.perf_counter_ns() - start)
        self.collections += 1


@contextlib.contextmanager
def off_the_hot_path(collect: Collect) -> Iterator[SlackCollector | None]:
    """Have Python collect by itself (``"python"``), never (``"never"``), or when the loop waits (``"slack"``).

    In the latter two what is there at the start is frozen, so that no collection looks at it; at the end everything is
    as it was.

    Yields
    ------
    What to offer slack time to, for ``"slack"``.
    """
    if collect == "python":
        yield None
        return
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield SlackCollector() if collect == "slack" else None
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
