"""Resample: convert the sensor's sample rate to the model's."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from edge_rnn.checks import real, whole
from edge_rnn.errors import InputError
from edge_rnn.frontend.front_end import FrontEnd
from edge_rnn.frontend.kaiser import beta_of, half_length_of, low_pass
from edge_rnn.frontend.options import MOST_CHANNELS, fits_memory, fits_rate
from edge_rnn.frontend.sliding_window import SlidingWindow
from edge_rnn.spelling import counted
from edge_rnn.typing import F32, AnyArray

__all__ = ["Resample"]

_MOST_TAPS = 1 << 20  # takes half a second to design
_ROW_BYTES, _CHANNEL_BYTES = 128, 1024  # views of arrays, kept so that a sample allocates nothing
_BATCH, _BATCH_BYTES = 64, 1 << 18  # outputs per batch of a block, and bytes of samples per batch


class Resample(FrontEnd):
    """Resampler with a polyphase filter.

    The ratio of the rates is a fraction up / down. Conceptually the filter runs at ``up`` times the input rate; only
    the outputs that are kept are computed. Output k is the sum over j of ``h[k * down - j * up] * x[j]``, as in
    ``scipy.signal.upfirdn``. The filter is a windowed sinc (:mod:`edge_rnn.frontend.kaiser`) that passes frequencies
    below ``passband`` times the Nyquist frequency of the lower rate and stops everything above that Nyquist frequency.
    Sums are accumulated in float64.

    Parameters
    ----------
    rate_in_hz, rate_out_hz
        Any two rates: 44100 to 16000 is 160/441, 49.7 to 100 is 1000/497. Decimal numbers are taken as written.
    channels
        Channels per sample.
    attenuation_db
        Stop-band attenuation.
    passband
        Pass-band edge as a fraction of the lower rate's Nyquist frequency. Values closer to 1 give a longer filter and
        a longer delay.

    Attributes
    ----------
    up, down
        The ratio in lowest terms.
    taps
        ``(2 * half + 1,)`` float64: the filter, with sum ``up``.

    Raises
    ------
    InputError
        A rate is not greater than 0; the filter would have more than a million taps because the ratio has large terms;
        it takes more than 64 MB; or a sample gives more than 4096 outputs, or 65536 values over all channels.

    Notes
    -----
    The output is delayed by :attr:`delay` input samples, or :attr:`delay_out` output samples; at least one of the two
    is an integer. The signal before the first sample counts as zero. When upsampling, a sample may give several
    outputs: call :meth:`more` until it returns None.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn.frontend import Resample
    >>> resample = Resample(44100, 16000)
    >>> resample.up, resample.down, resample.delay_out
    (160, 441, Fraction(19, 1))
    >>> resample.run(np.ones(4410, np.float32)).shape
    (1600, 1)
    """

    kind = "resample"
    _numbers = ("_ahead",)

    def __init__(
        self,
        rate_in_hz: float,
        rate_out_hz: float,
        channels: int = 1,
        *,
        attenuation_db: float = 60.0,
        passband: float = 0.8,
    ) -> None:
        rates = [
            Fraction(repr(real("Resample", name, value, 0, 1e12, above=True)))
            for name, value in (("rate_in_hz", rate_in_hz), ("rate_out_hz", rate_out_hz))
        ]
        channels = whole("Resample", "channels", channels, most=MOST_CHANNELS)
        attenuation_db = real("Resample", "attenuation_db", attenuation_db, 20, 160)
        passband = real("Resample", "passband", passband, 0.1, 0.99)
        ratio = rates[1] / rates[0]
        options: dict[str, Any] = {"rate_in": rate_in_hz, "rate_out": rate_out_hz}
        options |= {"channels": channels} if channels != 1 else {}
        options |= {"attenuation": attenuation_db} if attenuation_db != 60 else {}
        options |= {"passband": passband} if passband != 0.8 else {}
        super().__init__(channels, channels, ratio, options)
        self.up, self.down = ratio.numerator, ratio.denominator
        largest = max(self.up, self.down)
        half_length = half_length_of(attenuation_db, 1 - passband)  # at the lower rate
        rates_given = f"rate_in_hz {rate_in_hz} and rate_out_hz {rate_out_hz}"
        count = 2 * half_length * largest + 1
        if count > _MOST_TAPS:
            raise InputError(
                f"Resample got {rates_given}, which needs a filter of {count:,} taps, expected at most "
                f"{_MOST_TAPS:,}; round the rates so that their ratio has smaller terms."
            )
        fits_rate("Resample", f"{rates_given} with {counted(channels, 'channel')}", ratio, channels)
        length = -(-(count if ratio != 1 else 1) // self.up)
        self._batch = max(1, min(_BATCH, _BATCH_BYTES // (8 * length)))
        self._samples = max(1, min(1 << 12, (self._batch - 1) * self.down // self.up))
        of_channel = _CHANNEL_BYTES + 8 * (3 * length + self._samples)
        taken = 4 * 8 * count + _ROW_BYTES * self.up + of_channel * channels
        fits_memory(
            "Resample",
            f"{counted(channels, 'channel')} from {rate_in_hz} to {rate_out_hz} Hz",
            taken,
            "resample fewer channels at a time, or round the rates",
        )
        if ratio == 1:
            self.taps = np.ones(1)
        else:
            self.taps = self.up * low_pass(half_length * largest, (1 + passband) / 2 / largest, beta_of(attenuation_db))
        padded = np.zeros(length * self.up)
        padded[: len(self.taps)] = self.taps
        self._phases = np.ascontiguousarray(padded.reshape(length, self.up)[::-1].T)  # oldest sample first
        self._rows = list(self._phases)
        self._window = SlidingWindow(length, channels)
        self._sums = np.zeros(channels)
        places = [self._sums[channel : channel + 1].reshape(()) for channel in range(channels)]
        self._channels = list(zip(self._window.data, places, strict=True))
        self._line = np.zeros((channels, length - 1 + self._samples))
        self._spans = [sliding_window_view(row, length) for row in self._line]
        self._ahead = (
            0  # distance from the next sample to the next output, at the filter's rate; negative: an output is due
        )

    @property
    def delay(self) -> Fraction:
        """Delay of the output, in input samples."""
        return Fraction(len(self.taps) // 2, self.up)

    @property
    def delay_out(self) -> Fraction:
        """Delay of the output, in output samples."""
        return Fraction(len(self.taps) // 2, self.down)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._window.data.nbytes

    def push(self, x: ArrayLike) -> F32 | None:
        x = self._sample(x)
        if self._ahead < 0:
            raise InputError(
                "resample.push was called before all outputs of the last sample were read; call more until it "
                "returns None."
            )
        self._window.put(x)
        self._ahead -= self.up
        return self._output(self.y) if self._ahead < 0 else None

    def more(self) -> F32 | None:
        return self._output(self.y) if self._ahead < 0 else None

    def due(self, samples: int) -> int:
        return max(0, -((self._ahead - self.up * samples) // self.down))

    def reset(self) -> None:
        self._window.clear()
        self._ahead = 0

    def _run(self, xs: F32, ys: F32) -> None:
        row = 0
        while self._ahead < 0:  # outputs left from the last pushed sample
            self._output(ys[row])
            row += 1
        with np.errstate(all="ignore"):
            for begin in range(0, len(xs), self._samples):
                row = self._outputs(xs[begin : begin + self._samples], ys, row)

    def _output(self, y: F32) -> F32:
        """Compute one output from the window."""
        taps = self._rows[self._ahead + self.up]
        self._ahead += self.down
        end = self._window.end
        begin = end - self._window.length
        with np.errstate(all="ignore"):  # non-finite values and overflow propagate to the output
            for samples, place in self._channels:
                np.dot(samples[begin:end], taps, out=place)
            y[:] = self._sums
        return y

    def _outputs(self, xs: F32, ys: F32, row: int) -> int:
        """Compute all outputs of some samples into the rows of ``ys`` from ``row`` on; return the next row.

        As for a single output, each sum is a BLAS dot product of two rows, so the bits are the same.
        """
        past = self._window.length - 1
        self._line[:, :past] = self._window.view()[:, 1:]
        self._line[:, past : past + len(xs)] = xs.T
        steps = self._ahead + self.down * np.arange(self.due(len(xs)))
        samples, phases = np.divmod(steps, self.up)
        for begin in range(0, len(steps), self._batch):
            some = slice(begin, begin + self._batch)
            filters = self._phases[phases[some]]
            for channel, spans in enumerate(self._spans):
                ys[row : row + len(filters), channel] = np.vecdot(spans[samples[some]], filters)
            row += len(filters)
        self._window.put_block(xs)
        self._ahead += self.down * len(steps) - self.up * len(xs)
        return row

    def _can_be(self, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bool:
        return -self.up <= numbers[0] < self.down

    def _memory(self) -> Sequence[AnyArray]:
        return [self._window.view()]
