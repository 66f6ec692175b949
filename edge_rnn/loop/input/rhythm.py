"""The pauses that are usual between samples, and the longest one that is not worth a word."""

from __future__ import annotations

__all__ = ["Rhythm"]

_TIMES = 10
"""A pause that is longer than the usual ones by this factor is a silence."""
_LEAST_S = 5.0
_FEW = 20
"""Pauses before which the usual ones are not known: samples may come in bursts."""
_FIRST_S = 60.0
_GROWTH = 4
"""One pause makes the bound longer by this factor at most: it may have been an outage."""
_REMEMBERED = 20
"""Times the longest pause, after which it is forgotten."""


class Rhythm:
    """A bound on pauses that follows those that were seen: ten times the longest of late, 5 s at least.

    Until twenty pauses have been seen it is 60 s at least. Bursts with silences between them have the silences as their
    usual pauses; one that does not come again is forgotten after twenty times its own length.

    Parameters
    ----------
    fixed_s
        The bound in seconds where the user gives it; None to follow.

    Attributes
    ----------
    bound_s
        The bound in seconds.
    """

    __slots__ = ("_count", "_follows", "_longest_s", "_passed_s", "_since_s", "bound_s")

    def __init__(self, fixed_s: float | None) -> None:
        self._follows = fixed_s is None
        self.bound_s = _FIRST_S if fixed_s is None else fixed_s
        self._count = 0
        self._longest_s = 0.0
        self._since_s = 0.0  # the longest after the longest
        self._passed_s = 0.0

    def note(self, pause_s: float) -> None:
        """Take in a pause between two samples, in seconds."""
        if not self._follows:
            return
        self._count += 1
        pause_s = min(pause_s, self.bound_s * _GROWTH / _TIMES)
        self._passed_s += pause_s
        if pause_s >= self._longest_s:
            self._longest_s, self._since_s, self._passed_s = pause_s, 0.0, 0.0
        elif self._passed_s > _REMEMBERED * self._longest_s:
            self._longest_s, self._since_s, self._passed_s = max(self._since_s, pause_s), 0.0, 0.0
        elif pause_s > self._since_s:
            self._since_s = pause_s
        self.bound_s = max(_TIMES * self._longest_s, _LEAST_S if self._count >= _FEW else _FIRST_S)
