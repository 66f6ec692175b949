"""What a loop has to say: told at once, but not a thousand times, and kept for whoever asks later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_rnn.loop.system.clock import Clock
from edge_rnn.printable import printable

__all__ = ["Journal"]

_log = logging.getLogger("edge_rnn.loop")


@dataclass(slots=True)
class _Kind:
    count: int = 0
    untold: int = 0
    last: str = ""
    last_s: float = 0.0
    told_ns: int | None = None


class Journal:
    """Messages by kind. Of each kind one is handed on in ``every_s``, with how many were not; all are counted.

    A message may repeat what a file or a sensor said: it becomes one line of plain text (:mod:`edge_rnn.printable`).

    Parameters
    ----------
    report
        Where messages go; by default to the logger ``edge_rnn.loop``, as warnings.
    clock
        To tell the time by.
    every_s
        Seconds between two messages of a kind.

    Notes
    -----
    May be used from any thread. Its memory is bounded by the number of kinds, which the code has in it.
    """

    def __init__(self, report: Callable[[str], None] | None, clock: Clock, every_s: float = 60.0) -> None:
        self._report = report or _log.warning
        self._clock = clock
        self._every_ns = int(1e9 * every_s)
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.Lock()

    def tell(self, kind: str, text: str) -> None:
        """Say ``text``, unless one of its kind was said a short while ago."""
        text = printable(text)
        with self._lock:
            entry = self._kinds.setdefault(kind, _Kind())
            entry.count += 1
            entry.last, entry.last_s = text, self._clock.wall_s()
            now_ns = self._clock.now_ns()
            if entry.told_ns is not None and now_ns - entry.told_ns < self._every_ns:
                entry.untold += 1
                return
            more = f" (and {entry.untold} more of this kind since)" if entry.untold else ""
            entry.told_ns, entry.untold = now_ns, 0
        self.say(text + more)

    def say(self, text: str) -> None:
        """Say ``text`` at once, and do not keep it."""
        try:
            self._report(printable(text))
        except Exception:  # stderr that is closed or full, or whatever else, must not end the loop or its threads
            return

    def as_json(self) -> dict[str, Any]:
        """How many of each kind, the last one and its Unix time."""
        with self._lock:
            return {
                kind: {"count": entry.count, "last": entry.last, "at": round(entry.last_s, 3)}
                for kind, entry in self._kinds.items()
            }
