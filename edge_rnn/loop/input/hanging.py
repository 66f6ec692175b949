"""Abandoned threads, capped in number so that a source that never returns cannot exhaust memory."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["MAX_HANGING", "Hanging", "close_aside"]

MAX_HANGING = 8


class Hanging:
    """Threads that a feed has abandoned: readers, and threads that close a source. Thread-safe."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """True if the cap is reached; no further source is then created, and none is abandoned."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return len(self._threads) >= MAX_HANGING

    def add(self, thread: threading.Thread) -> None:
        """Abandon a thread."""
        with self._lock:
            self._threads.append(thread)

    def close(self, thing: Any, wait_s: float = 1.0) -> None:
        """Close in a separate thread, and abandon that thread if it hangs; see :func:`close_aside`."""
        thread = close_aside(thing, wait_s)
        if thread is not None:
            self.add(thread)


def close_aside(thing: Any, wait_s: float) -> threading.Thread | None:
    """Call ``thing.close()``, if it exists, in a separate thread, because it may hang or raise. Errors are ignored.

    Returns
    -------
    The thread, if it has not finished after ``wait_s`` seconds.
    """
    close = getattr(thing, "close", None)
    if close is None:
        return None

    def call() -> None:
        try:
            close()
        except Exception:  # the object is discarded either way
            return

    thread = threading.Thread(target=call, name="edge_rnn close", daemon=True)
    thread.start()
    thread.join(wait_s)
    return thread if thread.is_alive() else None
