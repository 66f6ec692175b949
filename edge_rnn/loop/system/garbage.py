"""Garbage collection outside the time between a sample and its output."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal, get_args

__all__ = ["COLLECT", "Collect", "SlackCollector", "off_the_hot_path"]

Collect = Literal["slack", "never", "python"]
COLLECT: tuple[Collect, ...] = get_args(Collect)

_ENOUGH = 700
"""Net allocations since the last collection that make one worthwhile: Python's own first threshold."""

_TOO_MANY = 200_000
"""Net allocations that force a collection even without slack time."""

_ROOM = 4
"""Slack time needed for a collection, as a multiple of the longest recent one."""

_SHORT_NS = 200_000
"""Lower bound in ns of the estimated duration of a collection."""

_USERS_OWN = 1000
"""Frozen objects above which a ``gc.freeze()`` of the user's is assumed: it freezes all objects, which are thousands.
Python 3.12 starts with 375."""

_lock = threading.Lock()
_put_back: list[Callable[[], None]] = []
_loops = 0


class SlackCollector:
    """Collects garbage while the loop is idle.

    Attributes
    ----------
    collections
        Number of collections.
    """

    __slots__ = ("_longest_ns", "collections")

    def __init__(self) -> None:
        self._longest_ns = _SHORT_NS
        self.collections = 0

    def offer(self, slack_ns: int) -> None:
        """Collect if worthwhile and if it takes a fraction of ``slack_ns``."""
        made = gc.get_count()[0]
        if made < _ENOUGH or (slack_ns < _ROOM * self._longest_ns and made < _TOO_MANY):
            return
        start = time.perf_counter_ns()
        gc.collect()
        took_ns = time.perf_counter_ns() - start
        self._longest_ns = max(_SHORT_NS, took_ns, self._longest_ns // 2)  # a slow one is forgotten after a few more
        self.collections += 1


@contextlib.contextmanager
def off_the_hot_path(collect: Collect) -> Iterator[SlackCollector | None]:
    """Set when garbage is collected: by Python (``"python"``), never (``"never"``), or while idle (``"slack"``).

    For the latter two, the objects that exist at the start are frozen, so that no collection examines them; everything
    is restored at the end. With several loops in one process, the first one freezes and the last one restores. If the
    user has frozen objects, these stay frozen and no others are added, because ``gc.unfreeze`` releases all of them at
    once.

    Yields
    ------
    The collector to offer slack time to, for ``"slack"``; else None.
    """
    global _loops
    if collect == "python":
        yield None
        return
    with _lock:
        if _loops == 0:
            _put_back.extend(_switch_off())
        _loops += 1
    try:
        yield SlackCollector() if collect == "slack" else None
    finally:
        with _lock:
            _loops -= 1
            while _loops == 0 and _put_back:
                _put_back.pop()()


def _switch_off() -> list[Callable[[], None]]:
    """Freeze all objects and disable collection; return the functions that undo this, in order."""
    back: list[Callable[[], None]] = []
    if gc.isenabled():
        back.append(gc.enable)
    gc.disable()
    gc.collect()
    if gc.get_freeze_count() < _USERS_OWN:
        gc.freeze()
        back.append(gc.unfreeze)
    return back
