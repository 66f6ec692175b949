"""Journal of a loop: messages, reported at once but rate-limited, and kept for the status."""

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
    """Messages by kind. At most one message of each kind is reported per ``every_s``, with the number suppressed.

    Text from a file or a sensor is reduced to one line of printable text (:mod:`edge_rnn.printable`).

    Parameters
    ----------
    report
        Receiver of messages; by default the logger ``edge_rnn.loop``, at level WARNING.
    clock
        Source of the current time.
    every_s
        Minimum time in seconds between two messages of a kind.

    Notes
    -----
    Thread-safe. Memory is bounded by the number of kinds, which is fixed in the code.
    """

    def __init__(self, report: Callable[[str], None] | None, clock: Clock, every_s: float = 60.0) -> None:
        self._report = report or _log.warning
        self._clock = clock
        self._every_ns = int(1e9 * every_s)
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.Lock()

    def tell(self, kind: str, text: str) -> None:
        """Count ``text``; report it unless a message of this kind was reported less than ``every_s`` ago."""
        text = printable(text)
        with self._lock:
            entry = self._kinds.setdefault(kind, _Kind())
            entry.count += 1
            entry.last, entry.last_s = text, self._clock.wall_s()
            now_ns = self._clock.now_ns()
            if entry.told_ns is not None and now_ns - entry.told_ns < self._every_ns:
                entry.untold += 1
                return
            more = f" ({entry.untold} more of this kind since)" if entry.untold else ""
            entry.told_ns, entry.untold = now_ns, 0
        self.say(text + more)

    def say(self, text: str) -> None:
        """Report ``text`` at once, without counting or keeping it."""
        try:
            self._report(printable(text))
        except Exception:  # a closed or full stderr must not end the loop or its threads
            return

    def as_json(self) -> dict[str, Any]:
        """Return count, last message and its Unix time, by kind."""
        with self._lock:
            return {
                kind: {"count": entry.count, "last": entry.last, "at": round(entry.last_s, 3)}
                for kind, entry in self._kinds.items()
            }
