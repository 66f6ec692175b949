"""Usual pauses between samples, and the longest pause that is not reported."""

from __future__ import annotations

__all__ = ["Rhythm"]

_TIMES = 10
"""Ratio to the usual pause above which a pause counts as a silence."""
_LEAST_S = 5.0
_FEW = 20
"""Pauses needed before the usual pause counts as known: samples may come in bursts."""
_FIRST_S = 60.0
_GROWTH = 4
"""Largest factor by which one pause raises the bound: it may have been an outage."""
_REMEMBERED = 20
"""Multiple of the longest pause after which that pause is forgotten."""


class Rhythm:
    """Adaptive bound on pauses: ten times the longest recent pause, at least 5 s.

    Until twenty pauses have been seen the bound is at least 60 s. If samples come in bursts, the silences between them
    count as usual pauses; a pause that does not recur is forgotten after twenty times its own length.

    Parameters
    ----------
    fixed_s
        Fixed bound in seconds, set by the user; None for the adaptive bound.

    Attributes
    ----------
    bound_s
        Current bound in seconds.
    """

    __slots__ = ("_count", "_follows", "_longest_s", "_passed_s", "_since_s", "bound_s")

    def __init__(self, fixed_s: float | None) -> None:
        self._follows = fixed_s is None
        self.bound_s = _FIRST_S if fixed_s is None else fixed_s
        self._count = 0
        self._longest_s = 0.0
        self._since_s = 0.0  # the longest pause since the longest one
        self._passed_s = 0.0

    def note(self, pause_s: float) -> None:
        """Record a pause between two samples, in seconds."""
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
