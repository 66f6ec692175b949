"""LogMel: log-mel spectrum of sound."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from typing import Any, Unpack

import numpy as np

from edge_rnn.errors import InputError
from edge_rnn.frontend.mel import FilterBank, filter_rows
from edge_rnn.frontend.sound_settings import CEPSTRAL, SoundOptions, SoundSettings
from edge_rnn.frontend.tapers import taper
from edge_rnn.frontend.windowed import Windowed
from edge_rnn.typing import F32, F64

__all__ = ["LogMel"]


class LogMel(Windowed):
    """Log-mel spectrum of one channel of sound, frame by frame.

    Each frame is windowed, transformed (``numpy.fft.rfft``, in float64), squared, summed over triangular mel bands, and
    converted to a logarithmic scale. Sample number ``frame - lead`` completes the first frame; every ``hop`` samples
    complete another one.

    Parameters
    ----------
    rate_hz
        Sample rate.
    frame, hop
        Frame length and hop length, in samples.
    bands
        Number of mel bands.
    preset
        Conventions to follow: ``"librosa"``, ``"torchaudio"``, ``"kaldi"`` or ``"tensorflow"``; see
        :data:`edge_rnn.frontend.PRESETS`.
    options
        Settings that override the preset; see :class:`edge_rnn.frontend.SoundSettings`.

    Attributes
    ----------
    settings
        All settings in effect.

    Raises
    ------
    InputError
        An option is unknown or out of range.

    Notes
    -----
    Until a frame is complete, nothing is computed or allocated. Then ``numpy.fft.rfft`` (pocketfft) allocates a buffer
    of its length, and NumPy some iterators, and both release them; everything else is allocated at construction.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn.frontend import LogMel
    >>> mel = LogMel(16000, frame=400, hop=160, bands=40, preset="kaldi")
    >>> mel.run(np.zeros(16000, np.float32)).shape
    (98, 40)
    """

    kind = "logmel"

    def __init__(
        self,
        rate_hz: float = 16000,
        *,
        frame: int = 400,
        hop: int = 160,
        bands: int = 40,
        preset: str = "librosa",
        **options: Unpack[SoundOptions],
    ) -> None:
        given = {**options, "rate_hz": rate_hz, "frame": frame, "hop": hop, "bands": bands}
        for name in CEPSTRAL:
            if name in options:
                raise InputError(f"LogMel got {name}, which is an option of MFCC.")
        self._prepare(SoundSettings.of(preset, given), preset, bands)

    def _prepare(self, settings: SoundSettings, preset: str, output_size: int) -> None:
        """Precompute the tables and allocate all memory."""
        self.settings = settings
        length = settings.frame + 1  # includes the sample before the frame, for pre-emphasis
        first = settings.frame - settings.lead
        super().__init__(1, output_size, length, settings.hop, first, _options_of(settings, preset))
        bins = settings.fft_length // 2 + 1
        self._taper = taper(settings.window, settings.frame)
        self._padded = np.zeros(settings.fft_length)
        self._frame = self._padded[: settings.frame]
        self._shifted = np.zeros(settings.frame)
        self._spectrum = np.zeros(bins, np.complex128)
        self._power, self._square = np.zeros(bins), np.zeros(bins)
        self._bands = np.zeros(settings.bands)
        self._filters = FilterBank(
            filter_rows(
                settings.rate_hz,
                settings.fft_length,
                settings.bands,
                settings.fmin_hz,
                settings.highest_hz,
                settings.mel,
                settings.norm,
                settings.triangles,
            )
        )

    @property
    def delay(self) -> Fraction:
        """Delay from the middle of the frame to its end, in samples."""
        return Fraction(self.settings.frame - 1, 2)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._filters.nbytes

    def _compute(self, window: F64, y: F32) -> None:
        y[:] = self._log_bands(window[0])

    def _log_bands(self, window: F64) -> F64:
        """Band values of a frame; ``window`` ``(frame + 1,)`` starts with the sample before the frame."""
        settings, power = self.settings, self._power
        self._cut(window)
        np.multiply(self._frame, self._taper, out=self._frame)
        np.fft.rfft(self._padded, out=self._spectrum)
        np.multiply(self._spectrum.real, self._spectrum.real, out=power)
        np.multiply(self._spectrum.imag, self._spectrum.imag, out=self._square)
        power += self._square
        if settings.spectrum == "magnitude":
            np.sqrt(power, out=power)
        bands = self._bands
        self._filters.apply(power, bands)
        if settings.log == "none":
            return bands
        if settings.offset:
            bands += settings.offset
        np.maximum(bands, settings.floor, out=bands)
        if settings.log == "ln":
            return np.log(bands, out=bands)
        np.log10(bands, out=bands)
        bands *= 10 if settings.spectrum == "power" else 20
        return bands

    def _cut(self, window: F64) -> None:
        """Write the frame to ``_frame``, before the window is applied."""
        settings, frame = self.settings, self._frame
        np.multiply(window[1:], settings.gain, out=frame)
        if settings.preemphasis and settings.preemphasis_over == "signal":
            np.multiply(window[:-1], settings.gain * settings.preemphasis, out=self._shifted)
            frame -= self._shifted
        if settings.remove_dc:
            frame -= np.add.reduce(frame) / settings.frame
        self._see(frame)
        if settings.preemphasis and settings.preemphasis_over == "frame":
            np.multiply(frame[:-1], settings.preemphasis, out=self._shifted[1:])
            self._shifted[0] = frame[0] * settings.preemphasis
            frame -= self._shifted

    def _see(self, frame: F64) -> None:
        """Hook for subclasses that need the frame before pre-emphasis and window."""


def _options_of(settings: SoundSettings, preset: str) -> dict[str, Any]:
    """Options for :func:`edge_rnn.frontend.parse`: the preset and each setting that differs from it."""
    usual = SoundSettings.of(preset, {})
    named: dict[str, Any] = {"preset": preset} if preset != "librosa" else {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in ("rate_hz", "frame", "hop", "bands") or value != getattr(usual, field.name):
            named[field.name.removesuffix("_hz")] = value
    return named
