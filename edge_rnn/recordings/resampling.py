"""Resampling from the source's rate to the model's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from edge_rnn.frontend import Resample
from edge_rnn.typing import F32

__all__ = ["Resampling"]


_FINEST = 200


class Resampling:
    """A :class:`edge_rnn.frontend.Resample` that assigns each output its proper time.

    The filter is symmetric, so each output is delayed; its time is that of the samples at its center, not of the sample
    that completed it. The filter is padded with the first sample at the start and with the last one at the end, so that
    outputs cover the whole recording. Memory is fixed.

    Parameters
    ----------
    rate_in_hz, rate_out_hz
        Input and output rate in Hz.
    channels
        Values per sample.
    measured
        True if ``rate_in_hz`` was measured from time stamps; it is then rounded to a simple ratio within 0.25 %.

    Raises
    ------
    InputError
        The ratio of the rates requires too long a filter.
    """

    def __init__(self, rate_in_hz: float, rate_out_hz: float, channels: int, measured: bool = False) -> None:
        self.rate_in_hz = rate_in_hz
        if measured:
            ratio = Fraction(rate_out_hz / rate_in_hz)
            near = ratio.limit_denominator(_FINEST) or 1 / (1 / ratio).limit_denominator(_FINEST)
            rate_in_hz, rate_out_hz = near.denominator, near.numerator
        self._filter = Resample(rate_in_hz, rate_out_hz, channels)
        up, down, half = self._filter.up, self._filter.down, len(self._filter.taps) // 2
        self._step = Fraction(down, up)
        self._tail = math.ceil(Fraction(half, up))
        # Copies of the first sample that fill the filter, enough for an output to fall on the first sample itself.
        lead = math.ceil(Fraction(2 * half + 1, up))
        self._lead = next(count for count in range(lead, lead + down) if (count * up + half) % down == 0)
        self._early = (self._lead * up + half) // down
        self._times = [math.nan] * (self._tail + 2)
        self._last = np.zeros(channels, np.float32)
        self._taken = 0
        self._given = 0

    def restart(self) -> None:
        """Reset the filter: the next sample is treated as the first one."""
        self._filter.reset()
        self._taken = self._given = 0

    def push(self, x: F32, t_s: float) -> Iterator[tuple[F32, float]]:
        """Yield the outputs ``(channels,)`` completed by a sample (always the same array), with times in seconds."""
        self._last[:] = x
        if not self._taken:
            self._filter.reset()
            for _ in range(self._lead):
                for _ in self._outputs():
                    self._given += 1
        self._times[self._taken % len(self._times)] = t_s
        self._taken += 1
        yield from self._timed(math.inf)

    def end(self) -> Iterator[tuple[F32, float]]:
        """Yield the outputs still in the filter, up to the last sample."""
        last = self._taken - 1
        for _ in range(self._tail if self._taken else 0):
            before = self._times[(self._taken - 1) % len(self._times)]
            self._times[self._taken % len(self._times)] = before + 1 / self.rate_in_hz
            self._taken += 1
            yield from self._timed(last)
        self.restart()

    def _timed(self, until: float) -> Iterator[tuple[F32, float]]:
        for y in self._outputs():
            place = (self._given - self._early) * self._step
            self._given += 1
            if 0 <= place <= until:
                yield y, self._time_at(place)

    def _outputs(self) -> Iterator[F32]:
        y = self._filter.push(self._last)
        while y is not None:
            yield y
            y = self._filter.more()

    def _time_at(self, place: Fraction) -> float:
        """Interpolate the time of a position between two samples."""
        whole = place.numerator // place.denominator
        part = float(place - whole)
        t_s = self._times[whole % len(self._times)]
        if not part:
            return t_s
        if whole + 1 >= self._taken:
            return t_s + part / self.rate_in_hz
        return t_s + part * (self._times[(whole + 1) % len(self._times)] - t_s)
