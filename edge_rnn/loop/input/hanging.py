"""Threads that were given up, of which only so many may hang: a source that never lets go must not fill the memory."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["MAX_HANGING", "Hanging", "close_aside"]

MAX_HANGING = 8


class Hanging:
    """Threads that a feed has left to themselves, readers and those that close a source. For any thread."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether as many hang as may; then no further source is made, and none is given up."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return len(self._threads) >= MAX_HANGING

    def add(self, thread: threading.Thread) -> None:
        """Leave a thread to itself."""
        with self._lock:
            self._threads.append(thread)

    def close(self, thing: Any, wait_s: float = 1.0) -> None:
        """See :func:`close_aside`."""
        thread = close_aside(thing, wait_s)
        if thread is not None:
            self.add(thread)


def close_aside(thing: Any, wait_s: float) -> threading.Thread | None:
    """Call ``thing.close()``, if there is one, in a thread: it may hang, or raise, and neither is of use any more.

    Returns
    -------
    The thread, if it is not done after ``wait_s`` seconds.
    """
    close = getattr(thing, "close", None)
    if close is None:
        return None

    def call() -> None:
        try:
            close()
        except Exception:  # it is let go of anyway
            return

    thread = threading.Thread(target=call, name="edge_rnn close", daemon=True)
    thread.start()
    thread.join(wait_s)
    return thread if thread.is_alive() else None
