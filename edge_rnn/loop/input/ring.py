"""Samples between the thread that reads them and the loop: a ring of fixed size."""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np

from edge_rnn.typing import F32

__all__ = ["Item", "Ring"]


class Item(NamedTuple):
    """What was taken off the ring, but for the numbers."""

    problem: str
    """What is wrong with the sample; empty if nothing is."""
    t_s: float
    """The source's time; NaN for none."""
    arrived_ns: int
    """When it came, by the clock that goes on while the machine sleeps."""


_NOTHING = Item("", math.nan, 0)


class Ring:
    """The last ``size`` samples that nobody has taken yet.

    Parameters
    ----------
    size
        How many.
    width
        Numbers in a sample.
    drops_oldest
        What becomes of a sample when all places are taken: it pushes out the oldest; or the one who puts it waits.

    Attributes
    ----------
    waiting
        How many are there.
    dropped
        How many were pushed out or thrown away.
    ended
        Whether no more will come.
    """

    def __init__(self, size: int, width: int, *, drops_oldest: bool) -> None:
        self._rows = np.zeros((size, width), np.float32)
        self._items = [_NOTHING] * size
        self._drops_oldest = drops_oldest
        self._first = 0
        self._changed = threading.Condition()
        self.waiting = 0
        self.dropped = 0
        self.ended = False

    def put(self, row: F32, item: Item, going_on: threading.Event) -> bool:
        """Add a sample; False if ``going_on`` was cleared before there was a place."""
        with self._changed:
            while self.waiting == len(self._items):
                if self._drops_oldest:
                    self._advance(1)
                    self.dropped += 1
                    break
                if not going_on.is_set():
                    return False
                self._changed.wait(0.05)
            if not going_on.is_set():
                return False
            place = (self._first + self.waiting) % len(self._items)
            self._rows[place] = row
            self._items[place] = item
            self.waiting += 1
            self._changed.notify_all()
        return True

    def end(self) -> None:
        """No more will come."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def take(self, x: F32) -> Item:
        """The oldest sample, its numbers into ``x``; there has to be one."""
        with self._changed:
            item = self._items[self._first]
            x[:] = self._rows[self._first]
            self._advance(1)
            self._changed.notify_all()
        return item

    def discard(self, keep: int) -> None:
        """Throw away all but the newest ``keep``."""
        with self._changed:
            count = max(0, self.waiting - keep)
            self._advance(count)
            self.dropped += count
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until a sample is there, none will come any more, or the time is over."""
        with self._changed:
            if not self.waiting and not self.ended:
                self._changed.wait(seconds)

    def _advance(self, count: int) -> None:
        for i in range(count):
            self._items[(self._first + i) % len(self._items)] = _NOTHING
        self._first = (self._first + count) % len(self._items)
        self.waiting -= count
