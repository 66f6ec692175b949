"""Garbage collection kept out of the time between a sample and its output."""

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
"""Objects made and not freed, since the last collection, that are worth one: as Python's own first threshold."""

_TOO_MANY = 200_000
"""With so many a collection comes whether there is time for it or not."""

_ROOM = 4
"""Slack that there has to be, in longest collections of late."""

_SHORT_NS = 200_000
"""What a collection is taken to last at least."""

_USERS_OWN = 1000
"""Objects that are frozen by a ``gc.freeze()`` of the user's, at least: it takes all there are, which is thousands.
Python 3.12 begins with 375."""

_lock = threading.Lock()
_put_back: list[Callable[[], None]] = []
_loops = 0


class SlackCollector:
    """Collects when the loop has nothing to do.

    Attributes
    ----------
    collections
        How many there were.
    """

    __slots__ = ("_longest_ns", "collections")

    def __init__(self) -> None:
        self._longest_ns = _SHORT_NS
        self.collections = 0

    def offer(self, slack_ns: int) -> None:
        """Collect if it is worth it and takes a fraction of this time."""
        made = gc.get_count()[0]
        if made < _ENOUGH or (slack_ns < _ROOM * self._longest_ns and made < _TOO_MANY):
            return
        start = time.perf_counter_ns()
        gc.collect()
        took_ns = time.perf_counter_ns() - start
        self._longest_ns = max(_SHORT_NS, took_ns, self._longest_ns // 2)  # a slow one is forgotten after some more
        self.collections += 1


@contextlib.contextmanager
def off_the_hot_path(collect: Collect) -> Iterator[SlackCollector | None]:
    """Have Python collect by itself (``"python"``), never (``"never"``), or when the loop waits (``"slack"``).

    In the latter two what is there at the start is frozen, so that no collection looks at it; at the end everything is
    as it was. Of several loops in one process the first does that, and the last one puts it back. Where the user has
    frozen objects himself these stay frozen, and no others are: they could only be let go of all together.

    Yields
    ------
    What to offer slack time to, for ``"slack"``.
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
    """Freeze what there is, and have Python collect nothing; what undoes it."""
    back: list[Callable[[], None]] = []
    if gc.isenabled():
        back.append(gc.enable)
    gc.disable()
    gc.collect()
    if gc.get_freeze_count() < _USERS_OWN:
        gc.freeze()
        back.append(gc.unfreeze)
    return back
