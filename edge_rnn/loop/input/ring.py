"""Fixed-size ring buffer of samples between the reader thread and the loop."""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np

from edge_rnn.typing import F32

__all__ = ["Item", "Ring"]


class Item(NamedTuple):
    """One entry of the ring, without its values."""

    problem: str
    """Problem with the sample; empty if there is none."""
    t_s: float
    """Time from the source, in seconds; NaN for none."""
    arrived_ns: int
    """Time of arrival, by the clock that keeps running during system suspend."""


_NOTHING = Item("", math.nan, 0)


class Ring:
    """The last ``size`` samples that have not been taken yet.

    Parameters
    ----------
    size
        Capacity in samples.
    width
        Values per sample.
    drops_oldest
        What to do when the ring is full: True to evict the oldest sample, False to block the writer.

    Attributes
    ----------
    waiting
        Number of samples in the ring.
    dropped
        Number of samples evicted or discarded.
    ended
        True if no more samples will come.
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
        """Add a sample; False if ``going_on`` was cleared before a place was free."""
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
        """Mark the end of the input."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def take(self, x: F32) -> Item:
        """Take the oldest sample, copying its values into ``x``. The ring must not be empty."""
        with self._changed:
            item = self._items[self._first]
            x[:] = self._rows[self._first]
            self._advance(1)
            self._changed.notify_all()
        return item

    def discard(self, keep: int) -> None:
        """Discard all but the newest ``keep`` samples."""
        with self._changed:
            count = max(0, self.waiting - keep)
            self._advance(count)
            self.dropped += count
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until a sample is available or the input has ended, ``seconds`` at most."""
        with self._changed:
            if not self.waiting and not self.ended:
                self._changed.wait(seconds)

    def _advance(self, count: int) -> None:
        for i in range(count):
            self._items[(self._first + i) % len(self._items)] = _NOTHING
        self._first = (self._first + count) % len(self._items)
        self.waiting -= count
