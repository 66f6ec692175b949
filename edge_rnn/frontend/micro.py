"""MicroFrontEnd: the features of TensorFlow Lite Micro's speech examples."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.checks import real, whole
from edge_rnn.errors import InputError
from edge_rnn.frontend.fixed_fft import FixedFft
from edge_rnn.frontend.mel import FilterBank
from edge_rnn.frontend.options import MOST_SAMPLES
from edge_rnn.frontend.windowed import Windowed
from edge_rnn.typing import F32, F64, I32, AnyArray

__all__ = ["MicroFrontEnd"]

_WINDOW_BITS = _FILTER_BITS = 12
_SMOOTHING_BITS, _NOISE_BITS = 10, 14
_EVEN, _ODD, _REMAINING = (int(share * (1 << _NOISE_BITS)) for share in (0.025, 0.06, 0.05))
_STRENGTH, _OFFSET, _GAIN_BITS = 0.95, 80.0, 21
_SNR_BITS, _OUTPUT_BITS = 12, 6
_LOG_BITS, _LOG_SEGMENT_BITS, _LOG_SCALE_BITS = 16, 9, 6
_LOG_OF_2 = 45426  # in units of 1/65536

Ints = NDArray[np.int64]


class MicroFrontEnd(Windowed):
    """Features of TensorFlow's ``audio_microfrontend`` (lite/experimental/microfrontend), for networks trained on them.

    Frames of 16-bit integers go through a Hann window, an FFT, mel bands, a square root, noise reduction, per-channel
    gain control (Y. Wang et al., "Trainable frontend for robust and far-field keyword spotting", ICASSP 2017) and a
    logarithm. The result is a nonnegative integer times ``scale``. All arithmetic uses integers of the same width, the
    same rounding and the same tables as the original, so the features are bit-identical to those that the network was
    trained on.

    Parameters
    ----------
    rate_hz
        Sample rate.
    frame, hop
        Frame length and hop length, in samples: 480 and 320 in the ``micro_speech`` example, 480 and 160 in
        microWakeWord.
    bands
        Number of mel bands.
    fmin_hz, fmax_hz
        Lower and upper edge of the bands.
    gain
        Factor applied to samples before they are rounded and clipped to 16-bit integers: 32768 for samples within ±1.
    pcan
        If True, apply the gain control.
    scale
        Factor applied to the integer features. 1/25.6 is customary and gives about 0 to 26.

    Notes
    -----
    The noise estimate is carried from frame to frame, so the features depend on the whole past, with a weight that
    halves every 27 frames. Because the estimate outlives the frame, a non-finite sample counts as 0. Each frame
    allocates and releases about a hundred small arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn.frontend import MicroFrontEnd
    >>> MicroFrontEnd().run(np.zeros(16000, np.float32)).shape
    (49, 40)
    """

    kind = "micro"
    _arrays = ("_estimate",)

    def __init__(
        self,
        rate_hz: float = 16000,
        *,
        frame: int = 480,
        hop: int = 320,
        bands: int = 40,
        fmin_hz: float = 125.0,
        fmax_hz: float = 7500.0,
        gain: float = 32768.0,
        pcan: bool = True,
        scale: float = 1.0,
    ) -> None:
        where = "MicroFrontEnd"
        rate_hz = real(where, "rate_hz", rate_hz, 1e-3, 1e12)
        frame, hop = whole(where, "frame", frame, 33, 1 << 12), whole(where, "hop", hop, most=MOST_SAMPLES)
        bands = whole(where, "bands", bands, most=1 << 8)
        fmax_hz = real(where, "fmax_hz", fmax_hz, 0, rate_hz / 2, above=True)
        fmin_hz = real(where, "fmin_hz", fmin_hz, 0, fmax_hz - 1e-6 * rate_hz)
        gain, scale = real(where, "gain", gain, 0, above=True), real(where, "scale", scale, 0, above=True)
        options: dict[str, Any] = {"rate": rate_hz, "frame": frame, "hop": hop, "bands": bands}
        options |= {"fmin": fmin_hz} if fmin_hz != 125 else {}
        options |= {"fmax": fmax_hz} if fmax_hz != 7500 else {}
        options |= {"gain": gain} if gain != 32768 else {}
        options |= {"pcan": pcan} if not pcan else {}
        options |= {"scale": scale} if scale != 1 else {}
        super().__init__(1, bands, frame, hop, frame, options)
        fft = 1 << (frame - 1).bit_length()
        matrix = _weights(rate_hz, fft, bands, fmin_hz, fmax_hz)
        if not matrix.any():
            raise InputError(
                f"{where} got bands so narrow that none contains an FFT bin (bins are {rate_hz / fft:g} Hz apart); "
                "widen fmin_hz to fmax_hz, or use a longer frame."
            )
        self._gain, self._scale, self._pcan = gain, scale, pcan
        self._bits = fft.bit_length() - 1 - _FILTER_BITS // 2  # left shift that restores the scale of the square roots
        self._taper = _taper(frame)
        self._scaled = np.zeros(frame)
        self._padded = np.zeros(fft, np.int32)
        self._fft = FixedFft(fft)
        self._power = np.zeros(fft // 2 + 1)
        self._filters = FilterBank(matrix)
        self._bands = np.zeros(bands)
        self._estimate = np.zeros(bands, np.int64)
        self._smoothing = np.where(np.arange(bands) % 2 == 0, _EVEN, _ODD)
        self._gains = _gain_table(self._bits)
        self._logs = _log_table()

    @property
    def delay(self) -> Fraction:
        """Delay from the middle of the frame to its end, in samples."""
        return Fraction(self._window.length - 1, 2)

    def _can_be(self, numbers: Sequence[int], arrays: Sequence[AnyArray]) -> bool:
        estimate = arrays[0]
        return super()._can_be(numbers, arrays) and bool(np.all((estimate >= 0) & (estimate < 1 << 32)))

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._filters.nbytes

    def _compute(self, window: F64, y: F32) -> None:
        signal = self._less_noise(self._hear(window[0]))
        if self._pcan:
            signal = self._shrunk(signal)
        y[:] = self._logarithm(signal << self._bits) * self._scale

    def _hear(self, window: F64) -> Ints:
        """Band magnitudes of a frame: square roots of band energies."""
        scaled, padded = self._scaled, self._padded
        np.multiply(window, self._gain, out=scaled)
        np.nan_to_num(scaled, copy=False, nan=0, posinf=0, neginf=0)
        np.rint(scaled, out=scaled)
        np.clip(scaled, -32768, 32767, out=scaled)
        frame = (scaled.astype(np.int32) * self._taper) >> _WINDOW_BITS
        shift = max(0, 15 - int(np.abs(frame).max()).bit_length())  # normalize to the full 16-bit range
        padded[: frame.size] = frame << shift
        real, imaginary = self._fft.transform(padded)
        np.add(real.astype(np.float64) ** 2, imaginary.astype(np.float64) ** 2, out=self._power)
        self._filters.apply(self._power, self._bands)  # integers below 2^53
        return _root(self._bands) >> shift

    def _less_noise(self, signal: Ints) -> Ints:
        """Subtract the estimate of the stationary noise, keeping at least a twentieth of the signal."""
        fine = signal << _SMOOTHING_BITS
        one = 1 << _NOISE_BITS
        self._estimate[:] = (fine * self._smoothing + self._estimate * (one - self._smoothing)) >> _NOISE_BITS
        left = (fine - np.minimum(self._estimate, fine)) >> _SMOOTHING_BITS
        return np.asarray(np.maximum(left, (signal * _REMAINING) >> _NOISE_BITS))

    def _shrunk(self, signal: Ints) -> Ints:
        """Divide by the estimate to the power 0.95 and compress small values: about the signal-to-noise ratio."""
        estimate = self._estimate
        interval = _bit_length(estimate)
        fraction = ((estimate << 11) >> interval) & 0x3FF
        value, slope, bend = self._gains[interval].T
        gain = value + (((((bend * fraction) >> 5) + (slope << 5)) * fraction + (1 << 14)) >> 15)
        ratio = (signal * gain) >> (_GAIN_BITS - self._bits - _SNR_BITS)
        parabola = (ratio * ratio) >> (2 + 2 * _SNR_BITS - _OUTPUT_BITS)
        line = (ratio >> (_SNR_BITS - _OUTPUT_BITS)) - (1 << _OUTPUT_BITS)
        return np.asarray(np.where(ratio < 2 << _SNR_BITS, parabola, line))

    def _logarithm(self, value: Ints) -> Ints:
        """64 ln(value), 0 for values up to 1, at most 65535."""
        value = np.maximum(value, 1)
        whole = _bit_length(value) - 1
        fraction = ((value << _LOG_BITS) >> whole) - (1 << _LOG_BITS)
        segment = fraction >> _LOG_SEGMENT_BITS
        base = self._logs[segment]
        between = ((self._logs[segment + 1] - base) * (fraction - (segment << _LOG_SEGMENT_BITS))) >> _LOG_BITS
        log2 = (whole << _LOG_BITS) + fraction + base + between
        half = 1 << (_LOG_BITS - 1)
        natural = (_LOG_OF_2 * log2 + half) >> _LOG_BITS
        return np.asarray(np.minimum(((natural << _LOG_SCALE_BITS) + half) >> _LOG_BITS, 65535))


def _bit_length(values: Ints) -> Ints:
    return np.frexp(values)[1].astype(np.int64)


def _root(values: F64) -> Ints:
    """Square roots rounded to the nearest integer; at most 65535 for 32-bit values."""
    squares = values.astype(np.int64)
    roots = np.sqrt(values).astype(np.int64)
    roots -= roots * roots > squares
    roots += (squares - roots * roots > roots) & ~((roots == 65535) & (squares < 1 << 32))
    return roots


def _taper(frame: int) -> I32:
    """Hann window with its zeros half a sample outside the frame, in units of 1/4096; in float32, as in TensorFlow."""
    phase = np.float32(2 * np.pi / frame) * (np.arange(frame, dtype=np.float32) + np.float32(0.5))
    hann = np.float32(0.5) - np.float32(0.5) * np.cos(phase.astype(np.float64)).astype(np.float32)
    return np.asarray(np.floor(hann * np.float32(1 << _WINDOW_BITS) + np.float32(0.5)), np.int32)


def _weights(rate_hz: float, fft: int, bands: int, fmin_hz: float, fmax_hz: float) -> F64:
    """Triangular mel weights in units of 1/4096, ``(bands, fft // 2 + 1)``; in float32, as in TensorFlow."""
    step_hz = np.float32(0.5 * rate_hz / np.float32(fft // 2))
    mel = _mel(np.arange(fft // 2 + 1, dtype=np.float32) * step_hz)
    low, high = _mel(np.array([fmin_hz, fmax_hz], np.float32))
    spacing = (high - low) / np.float32(bands + 1)
    corners = np.concatenate([[low], low + spacing * np.arange(1, bands + 2, dtype=np.float32)])
    left, right = corners[:-1, None], corners[1:, None]
    # Each bin's weight is split between two neighboring bands: one falls while the next one rises.
    falling = ((right - mel) / (right - left)).astype(np.float64)
    inside = (mel > left) & (mel <= right)
    inside[:, : int(1.5 + fmin_hz / float(step_hz))] = False
    down = np.where(inside, np.floor(falling * (1 << _FILTER_BITS) + 0.5), 0)
    up = np.where(inside, np.floor((1.0 - falling) * (1 << _FILTER_BITS) + 0.5), 0)
    return np.asarray(up[:-1] + down[1:], np.float64)


def _mel(hz: F32) -> F32:
    return np.asarray(np.float32(1127) * np.log1p(hz / np.float32(700)), np.float32)  # as C's log1pf


def _gain_table(bits: int) -> Ints:
    """Value, slope and curvature of the gain between powers of two, by bit length of the estimate: ``(33, 3)``."""

    def gain(estimate: int) -> int:
        x = np.float32(estimate) / np.float32(1 << (_SMOOTHING_BITS - bits))
        value = np.float32(1 << _GAIN_BITS) * np.power(x + np.float32(_OFFSET), np.float32(-_STRENGTH))
        return 32767 if value > 32767 else int(value + np.float32(0.5))

    table = [(gain(0), 0, 0), (gain(1), 0, 0)]
    for interval in range(2, 33):
        begin = 1 << (interval - 1)
        end = 2 * begin - 1 if interval == 32 else 2 * begin
        first, middle, last = gain(begin), gain(begin + begin // 2), gain(end)
        slope = 4 * (middle - first) - (last - first)
        table.append((first, slope, last - first - slope))
    return np.array(table, np.int64)


def _log_table() -> Ints:
    """log2(1 + x) - x at 129 points from 0 to 1, and a 0 after them, in units of 1/65536."""
    x = np.arange(130) / 128
    return np.where(x <= 1, np.rint(65536 * (np.log2(1 + x) - x)), 0).astype(np.int64)
