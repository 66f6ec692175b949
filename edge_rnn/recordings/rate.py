"""Sample rates: comparison, and measurement from time stamps."""

from __future__ import annotations

import math
from statistics import fmean, median

from edge_rnn.recordings.times import UNITS

__all__ = ["SAME", "RateMeter", "check_rate", "same_rate"]

SAME = 0.05
"""Relative difference up to which two rates count as equal: sensor oscillators are off by a few percent."""

_INTERVALS, _MOST_INTERVALS = 16, 128
_FEWEST = 2


def same_rate(one_hz: float, other_hz: float, share: float = SAME) -> bool:
    """Return True if two rates differ by no more than ``share`` of the larger one."""
    return abs(one_hz - other_hz) <= share * max(one_hz, other_hz)


REMEDY = "resample (--resample, resample=True), or accept the rate (--any-rate, any_rate=True)"
"""Remedies for a rate mismatch."""


def check_rate(found_hz: float, model_hz: float | None, what: str, more: str = "", remedy: str = REMEDY) -> str:
    """Describe a rate mismatch and its remedy in a sentence; empty if the rates match or the model has none.

    Parameters
    ----------
    what
        Subject that has the rate: ``"--rate"``, ``"recording.wav"``.
    more, remedy
        Possible cause, and what to do.
    """
    if model_hz is None or same_rate(found_hz, model_hz):
        return ""
    return f"the sample rate of {what} is {found_hz:.6g} Hz, but the model is for {model_hz:.6g} Hz{more}; {remedy}."


class RateMeter:
    """Measures the rate from the times of the first 17 samples, or more if several have the same time.

    Memory is fixed. Single gaps and jitter do no harm: the result is the median interval, or the mean if that is closer
    to the expected rate, as with times rounded to few digits.

    Parameters
    ----------
    expected_hz
        The model's rate; None for none.

    Attributes
    ----------
    rate_hz
        Measured rate; None until known.
    """

    def __init__(self, expected_hz: float | None = None) -> None:
        self._expected_hz = expected_hz
        self._last_s = math.nan
        self._intervals: list[float] = []
        self.rate_hz: float | None = None
        self.done = False

    def add(self, t_s: float) -> bool:
        """Add the time of a sample; return True once, when the rate becomes known."""
        if self.done or not math.isfinite(t_s):
            return False
        interval, self._last_s = t_s - self._last_s, t_s
        if interval >= 0:
            self._intervals.append(interval)
        count = len(self._intervals)
        enough = count >= _INTERVALS and (0.0 not in self._intervals or count >= _MOST_INTERVALS)
        return self.finish() if enough else False

    def finish(self) -> bool:
        """Complete the measurement at the end of the input; return True if it gives a rate."""
        if self.done or len(self._intervals) < _FEWEST or not any(self._intervals):
            return False
        self.done = True
        found = [1 / each for each in (median(self._intervals), fmean(self._intervals)) if each > 0]
        if 0.0 in self._intervals:  # the clock is too coarse for single intervals
            found = found[-1:]
        self.rate_hz = found[0]
        expected_hz = self._expected_hz
        if expected_hz is not None:
            self.rate_hz = min(found, key=lambda hz: abs(math.log(hz / expected_hz)))
            if 0.0 in self._intervals and same_rate(self.rate_hz, expected_hz, self._coarseness()):
                self.rate_hz = expected_hz
        return True

    def unit_that_fits(self, unit: str) -> str:
        """Return another time unit for which the rate would match the expected one; empty for none."""
        if self.rate_hz is None or self._expected_hz is None or unit not in UNITS:
            return ""
        for other, parts in UNITS.items():
            if other != unit and same_rate(self.rate_hz / UNITS[unit] * parts, self._expected_hz):
                return other
        return ""

    def _coarseness(self) -> float:
        """Return the relative error of the rate due to the clock's resolution."""
        span = sum(self._intervals)
        return min(SAME + min(each for each in self._intervals if each > 0) / span, 1.0)
