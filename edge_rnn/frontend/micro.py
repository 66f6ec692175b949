"""MicroFrontEnd: the features of TensorFlow Lite Micro's speech examples."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import InputError
from edge_rnn.frontend.front_end import Array
from edge_rnn.frontend.mel import FilterBank
from edge_rnn.frontend.options import real, whole
from edge_rnn.frontend.windowed import Windowed

__all__ = ["MicroFrontEnd"]

_EVEN, _ODD, _REMAINING = (int(share * (1 << 14)) for share in (0.025, 0.06, 0.05))
_SMOOTHING_BITS = 10
_STRENGTH, _OFFSET = 0.95, 80.0


class MicroFrontEnd(Windowed):
    """Features of TensorFlow's ``audio_microfrontend`` (lite/experimental/microfrontend), for networks trained on them.

    Frames of 16-bit numbers go through a Hann window, a Fourier transform, mel bands (their square roots), noise
    reduction, per-channel gain control and a logarithm; the result is a whole number from 0 on, times ``scale``. As
    there, all is done in whole numbers with as many bits, but for three things that are computed exactly here and
    approximately there, the Fourier transform (16-bit numbers, kissfft), the gain's and the logarithm's tables.

    Parameters
    ----------
    rate_hz
        Samples a second.
    frame, hop
        Samples of a frame, and from one to the next. 480 and 320 in the ``micro_speech`` example, 480 and 160 in
        microWakeWord.
    bands
        How many.
    fmin_hz, fmax_hz
        Where they begin and end.
    gain
        What samples are multiplied with before they are cut to whole numbers within 16 bits: 32767 for ±1.
    pcan
        Whether gain control is on.
    scale
        What the whole numbers are multiplied with: 1/25.6 is customary, which makes it about 0 to 26.

    Notes
    -----
    The estimate of the noise is carried from frame to frame, so what this gives depends on all that was heard, with a
    weight that falls to a half in 27 frames. A value that is not finite counts as 0: the estimate outlives the frame.

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
        gain: float = 32767.0,
        pcan: bool = True,
        scale: float = 1.0,
    ) -> None:
        where = "MicroFrontEnd"
        rate_hz = real(where, "rate_hz", rate_hz, 1e-3, 1e12)
        frame, hop = whole(where, "frame", frame, 8, 1 << 14), whole(where, "hop", hop)
        bands = whole(where, "bands", bands, most=1 << 8)
        fmax_hz = real(where, "fmax_hz", fmax_hz, 0, rate_hz / 2, above=True)
        fmin_hz = real(where, "fmin_hz", fmin_hz, 0, fmax_hz - 1e-6 * rate_hz)
        gain, scale = real(where, "gain", gain, 0, above=True), real(where, "scale", scale, 0, above=True)
        options: dict[str, Any] = {"rate": rate_hz, "frame": frame, "hop": hop, "bands": bands}
        options |= {"fmin": fmin_hz} if fmin_hz != 125 else {}
        options |= {"fmax": fmax_hz} if fmax_hz != 7500 else {}
        options |= {"gain": gain} if gain != 32767 else {}
        options |= {"pcan": pcan} if not pcan else {}
        options |= {"scale": scale} if scale != 1 else {}
        super().__init__(1, bands, frame, hop, frame, options)
        fft = 1 << (frame - 1).bit_length()
        matrix = _weights(rate_hz, fft, bands, fmin_hz, fmax_hz)
        if not matrix.any(axis=1).any():
            raise InputError(f"{where} got bands so narrow that no frequency of {rate_hz / fft:g} Hz steps is in one.")
        self._gain, self._scale, self._pcan, self._fft = gain, scale, pcan, fft
        self._shift = fft.bit_length() - 1 - 6  # bits that the logarithm is told to be missing
        self._taper = np.floor((0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(frame) + 0.5) / frame)) * 4096 + 0.5)
        self._padded = np.zeros(fft)
        self._frame = self._padded[:frame]
        self._spectrum = np.zeros(fft // 2 + 1, np.complex128)
        self._power, self._square = np.zeros(fft // 2 + 1), np.zeros(fft // 2 + 1)
        self._filters = FilterBank(matrix)
        self._bands = np.zeros(bands)
        self._work = np.zeros(bands)
        self._estimate = np.zeros(bands)
        even = np.arange(bands) % 2 == 0
        self._smoothing = np.where(even, _EVEN, _ODD) / (1 << 14)

    @property
    def delay(self) -> Fraction:
        """From the frame's middle to its end, in samples."""
        return Fraction(self._window.length - 1, 2)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._filters.nbytes

    def _compute(self, window: NDArray[np.float64], y: Array) -> None:
        self._hear(window[0])
        self._reduce_noise()
        if self._pcan:
            self._control_gain()
        signal = self._bands
        signal *= 1 << self._shift
        np.maximum(signal, 1, out=signal)
        np.log(signal, out=signal)
        signal *= 64
        signal += 0.5
        np.floor(signal, out=signal)
        signal *= self._scale
        y[:] = signal

    def _hear(self, window: NDArray[np.float64]) -> None:
        """The frame's bands: square roots of energies, whole numbers."""
        frame, power = self._frame, self._power
        np.multiply(window, self._gain, out=frame)
        np.nan_to_num(frame, copy=False, nan=0, posinf=0, neginf=0)
        np.rint(frame, out=frame)
        np.clip(frame, -32768, 32767, out=frame)
        np.multiply(frame, self._taper, out=frame)
        frame /= 4096
        np.floor(frame, out=frame)
        np.fft.rfft(self._padded, out=self._spectrum)
        self._spectrum /= self._fft
        np.multiply(self._spectrum.real, self._spectrum.real, out=power)
        np.multiply(self._spectrum.imag, self._spectrum.imag, out=self._square)
        power += self._square
        self._filters.apply(power, self._bands)
        np.sqrt(self._bands, out=self._bands)
        np.floor(self._bands, out=self._bands)

    def _reduce_noise(self) -> None:
        """Subtract the estimate of what is always there; a twentieth of the signal remains at least."""
        signal, estimate, work = self._bands, self._estimate, self._work
        np.multiply(signal, 1 << _SMOOTHING_BITS, out=work)
        work -= estimate
        work *= self._smoothing
        estimate += work
        np.floor(estimate, out=estimate)
        np.multiply(signal, 1 << _SMOOTHING_BITS, out=work)
        work -= estimate
        work /= 1 << _SMOOTHING_BITS
        np.floor(work, out=work)
        signal *= _REMAINING / (1 << 14)
        np.floor(signal, out=signal)
        np.maximum(work, signal, out=signal)

    def _control_gain(self) -> None:
        """Divide by the estimate to the power 0.95, and flatten what is small: about the signal-to-noise ratio."""
        signal, work = self._bands, self._work
        np.multiply(self._estimate, 2.0 ** (self._shift - _SMOOTHING_BITS), out=work)
        work += _OFFSET
        np.power(work, -_STRENGTH, out=work)
        work *= 1 << 21
        np.minimum(work, 32767, out=work)
        work += 0.5
        np.floor(work, out=work)
        signal *= work
        signal /= 1 << (21 - self._shift - 12)
        np.floor(signal, out=signal)
        np.divide(signal, 1 << 6, out=work)
        work -= 1 << 6
        np.multiply(signal, signal, out=signal)
        signal /= 1 << (2 + 24 - 6)
        np.floor(work, out=work)
        np.floor(signal, out=signal)
        # x²/4 below 2 and x - 1 above meet smoothly, the parabola is never below the line.
        np.copyto(signal, work, where=work >= 1 << 6)


def _weights(rate_hz: float, fft: int, bands: int, fmin_hz: float, fmax_hz: float) -> NDArray[np.float64]:
    """Triangles over the mel scale in steps of 1/4096, ``(bands, fft // 2 + 1)``, times 4096."""
    mel = 1127 * np.log1p(np.arange(fft // 2 + 1) * rate_hz / fft / 700)
    low, high = 1127 * np.log1p(np.array([fmin_hz, fmax_hz]) / 700)
    edges = low + (high - low) / (bands + 1) * np.arange(bands + 2)
    falling = (edges[1:, None] - mel) / ((high - low) / (bands + 1))  # from 1 to 0 over each interval between corners
    inside = (mel > edges[:-1, None]) & (mel <= edges[1:, None])
    inside[:, : int(1.5 + fmin_hz * fft / rate_hz)] = False
    down = np.where(inside, np.floor(falling * 4096 + 0.5), 0)
    up = np.where(inside, np.floor((1 - falling) * 4096 + 0.5), 0)
    return np.asarray(up[:-1] + down[1:])
