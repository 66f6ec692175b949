"""Sample rates: the same or not, and what time stamps say of them."""

from __future__ import annotations

import math
from statistics import fmean, median

from edge_rnn.recordings.times import UNITS

__all__ = ["SAME", "RateMeter", "check_rate", "same_rate"]

SAME = 0.05
"""Share by which two rates may differ and count as the same: oscillators of sensors are off by a few percent."""

_INTERVALS, _MOST_INTERVALS = 16, 128
_FEWEST = 2


def same_rate(one_hz: float, other_hz: float, share: float = SAME) -> bool:
    """True if two rates differ by no more than ``share`` of the larger one."""
    return abs(one_hz - other_hz) <= share * max(one_hz, other_hz)


REMEDY = "resample (--resample, resample=True), or insist on it as it is (--any-rate, any_rate=True)"
"""Ways out of another rate."""


def check_rate(found_hz: float, model_hz: float | None, what: str, more: str = "", remedy: str = REMEDY) -> str:
    """Problem of a rate and what to do, in a sentence; empty where it is the model's, or the model has none.

    Parameters
    ----------
    what
        What has the rate: ``"--rate"``, ``"recording.wav"``.
    more, remedy
        Something to add about where it may come from, and what to do.
    """
    if model_hz is None or same_rate(found_hz, model_hz):
        return ""
    return f"the sample rate of {what} is {found_hz:.6g} Hz, but the model is for {model_hz:.6g} Hz{more}; {remedy}."


class RateMeter:
    """The rate that the times of the first samples tell: seventeen of them, more where several have the same time.

    Memory is fixed. Single gaps and jitter do no harm: what counts is the median, or the mean where that is nearer to
    what is expected, as with times that are rounded to few digits.

    Parameters
    ----------
    expected_hz
        The model's; None for none.

    Attributes
    ----------
    rate_hz
        None before it is known.
    """

    def __init__(self, expected_hz: float | None = None) -> None:
        self._expected_hz = expected_hz
        self._last_s = math.nan
        self._intervals: list[float] = []
        self.rate_hz: float | None = None
        self.done = False

    def add(self, t_s: float) -> bool:
        """Take the time of a sample; True once, when the rate is known by it."""
        if self.done or not math.isfinite(t_s):
            return False
        interval, self._last_s = t_s - self._last_s, t_s
        if interval >= 0:
            self._intervals.append(interval)
        count = len(self._intervals)
        enough = count >= _INTERVALS and (0.0 not in self._intervals or count >= _MOST_INTERVALS)
        return self.finish() if enough else False

    def finish(self) -> bool:
        """No more will come; True if what has come says a rate."""
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
        """Another unit of the times by which the rate would be the expected one; empty for none."""
        if self.rate_hz is None or self._expected_hz is None or unit not in UNITS:
            return ""
        for other, parts in UNITS.items():
            if other != unit and same_rate(self.rate_hz / UNITS[unit] * parts, self._expected_hz):
                return other
        return ""

    def _coarseness(self) -> float:
        """Share by which a rate may be off for the clock's steps."""
        span = sum(self._intervals)
        return min(SAME + min(each for each in self._intervals if each > 0) / span, 1.0)
