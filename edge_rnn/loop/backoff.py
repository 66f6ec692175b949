"""Delays between tries: at once, then ones that double up to a cap."""

from __future__ import annotations

__all__ = ["Backoff", "spell_delay"]


class Backoff:
    """How long to wait after each failure in a row: not at all, ``first_s``, twice that, and so on, at most ``cap_s``.

    Parameters
    ----------
    first_s, cap_s
        Seconds.
    """

    __slots__ = ("_cap_s", "_first_s", "_next_s")

    def __init__(self, first_s: float = 0.1, cap_s: float = 30.0) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._next_s = 0.0

    def failed(self) -> float:
        """Seconds to wait now."""
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self._cap_s) if delay_s else self._first_s
        return delay_s

    def succeeded(self) -> None:
        """Begin from the start at the next failure."""
        self._next_s = 0.0


def spell_delay(delay_s: float) -> str:
    """Write in words when something is tried again."""
    return f"in {delay_s:g} s" if delay_s else "at once, and then less and less often"
