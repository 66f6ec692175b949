"""Moving: statistics of a sliding window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from edge_rnn.checks import whole
from edge_rnn.errors import InputError
from edge_rnn.frontend.options import MOST_CHANNELS, MOST_SAMPLES, fits_memory
from edge_rnn.frontend.windowed import Windowed
from edge_rnn.spelling import counted
from edge_rnn.typing import F32, F64

__all__ = ["STATISTICS", "Moving"]

STATISTICS = ("mean", "std", "min", "max", "range", "rms", "energy", "crossings")
"""Names of the statistics; see :class:`Moving`."""

_CHANNEL_BYTES = 1024
"""Overhead per channel for views and names."""

_BYTES = 26
"""Bytes per value in the window: two float64 in the sliding window, one of scratch, two flags."""


class Moving(Windowed):
    """Statistics over a sliding window, per channel.

    ``"mean"``; ``"std"``, the standard deviation (divided by the number of samples, as in ``numpy.std``); ``"min"``,
    ``"max"``, ``"range"`` (max - min); ``"energy"``, the sum of squares; ``"rms"``, the root mean square;
    ``"crossings"``, the number of sign changes between consecutive samples in the window (zero counts as positive, -0.0
    as negative, as in ``librosa.zero_crossings(pad=False, threshold=0)``).

    Each statistic is computed from scratch over the window, in float64, the standard deviation in two passes: there is
    no running sum that could drift or keep a NaN. The cost of an output is therefore proportional to the window, about
    a nanosecond per sample and statistic; with a hop, that cost is paid once per hop.

    Parameters
    ----------
    statistics
        Names in the order of the output: all channels of the first, then all channels of the next.
    window
        Window length in samples. The first output comes when the window is full.
    hop
        Samples between outputs.
    channels
        Channels per sample.

    Attributes
    ----------
    names
        Name of each output: ``("mean 0", "mean 1", "std 0", …)``.

    Raises
    ------
    InputError
        A statistic is unknown or repeated, none is given, or a number is out of range.

    Examples
    --------
    >>> from edge_rnn.frontend import Moving
    >>> moving = Moving(("mean", "max"), window=2)
    >>> [None if y is None else y.tolist() for y in map(moving.push, (1.0, 5.0, 3.0))]
    [None, [3.0, 5.0], [4.0, 5.0]]
    """

    kind = "moving"

    def __init__(
        self, statistics: Sequence[str] = ("mean", "std"), window: int = 100, hop: int = 1, channels: int = 1
    ) -> None:
        chosen = tuple(statistics.split("+")) if isinstance(statistics, str) else tuple(statistics)
        if not chosen or len({*chosen}) < len(chosen) or not {*chosen} <= {*STATISTICS}:
            raise InputError(
                f"Moving statistics got {'+'.join(chosen)!r}, expected a selection of {', '.join(STATISTICS)}, "
                "each at most once."
            )
        window = whole("Moving", "window", window, most=MOST_SAMPLES)
        hop = whole("Moving", "hop", hop, most=MOST_SAMPLES)
        channels = whole("Moving", "channels", channels, most=MOST_CHANNELS)
        given = f"a window of {counted(window, 'sample')} with {counted(channels, 'channel')}"
        fits_memory(
            "Moving", given, channels * (_CHANNEL_BYTES + _BYTES * window), "use a shorter window, or resample first"
        )
        options: dict[str, Any] = {"statistics": chosen, "window": window}
        options |= {"hop": hop} if hop != 1 else {}
        options |= {"channels": channels} if channels != 1 else {}
        super().__init__(channels, len(chosen) * channels, window, hop, window, options)
        self.names = tuple(f"{name} {channel}" for name in chosen for channel in range(channels))
        self._mean = np.zeros((channels, 1))
        self._scratch = np.zeros((channels, window))
        self._low, self._high = np.zeros(channels), np.zeros(channels)
        self._signs = np.zeros((channels, window), np.bool_)
        self._changes = np.zeros((channels, max(window - 1, 0)), np.bool_)
        self._result = np.zeros(channels)
        self._places: list[tuple[Callable[[F64], F64], slice]] = [
            (getattr(self, f"_{name}_of"), slice(place * channels, (place + 1) * channels))
            for place, name in enumerate(chosen)
        ]

    @property
    def delay(self) -> Fraction:
        """Delay from the middle of the window to its end, in samples."""
        return Fraction(self._window.length - 1, 2)

    def _compute(self, window: F64, y: F32) -> None:
        for compute, place in self._places:
            y[place] = compute(window)

    def _mean_of(self, window: F64) -> F64:
        np.add.reduce(window, axis=1, out=self._result)
        self._result /= self._window.length
        return self._result

    def _std_of(self, window: F64) -> F64:
        self._mean[:, 0] = self._mean_of(window)
        np.subtract(window, self._mean, out=self._scratch)
        return self._root_mean_square(self._scratch)

    def _rms_of(self, window: F64) -> F64:
        return self._root_mean_square(window)

    def _energy_of(self, window: F64) -> F64:
        np.multiply(window, window, out=self._scratch)
        return np.add.reduce(self._scratch, axis=1, out=self._result)

    def _min_of(self, window: F64) -> F64:
        return np.minimum.reduce(window, axis=1, out=self._low)

    def _max_of(self, window: F64) -> F64:
        return np.maximum.reduce(window, axis=1, out=self._high)

    def _range_of(self, window: F64) -> F64:
        return np.subtract(self._max_of(window), self._min_of(window), out=self._result)

    def _crossings_of(self, window: F64) -> F64:
        np.signbit(window, out=self._signs)
        np.not_equal(self._signs[:, 1:], self._signs[:, :-1], out=self._changes)
        np.multiply(self._mean_of(window), 0, out=self._low)  # NaN where a sample is not finite, else 0
        np.add.reduce(self._changes, axis=1, out=self._result, dtype=np.float64)
        self._result += self._low
        return self._result

    def _root_mean_square(self, values: F64) -> F64:
        np.multiply(values, values, out=self._scratch)
        np.add.reduce(self._scratch, axis=1, out=self._result)
        self._result /= self._window.length
        return np.sqrt(self._result, out=self._result)
