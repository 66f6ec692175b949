"""Exponential backoff: retry at once, then after delays that double up to a cap."""

from __future__ import annotations

__all__ = ["Backoff", "spell_delay"]


class Backoff:
    """Delays after consecutive failures: 0, ``first_s``, twice that, and so on, up to ``cap_s``.

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
        """Count a failure and return the delay in seconds before the next attempt."""
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self._cap_s) if delay_s else self._first_s
        return delay_s

    def succeeded(self) -> None:
        """Reset the delay, so that the next failure starts the sequence again."""
        self._next_s = 0.0


def spell_delay(delay_s: float) -> str:
    """Describe the delay before the next attempt, for a message."""
    return f"in {delay_s:g} s" if delay_s else "immediately, then with increasing delays"
