"""MFCC: discrete cosine transform of a log-mel spectrum."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from edge_rnn.errors import InputError
from edge_rnn.frontend.log_mel import LogMel
from edge_rnn.frontend.sound_settings import SoundOptions, SoundSettings
from edge_rnn.typing import F32, F64

__all__ = ["MFCC"]


class MFCC(LogMel):
    """Mel-frequency cepstral coefficients of one channel of sound: DCT-II of :class:`LogMel`, optionally liftered.

    The parameters that are not listed here are those of :class:`LogMel`.

    Parameters
    ----------
    coefficients
        Number of coefficients, from coefficient 0 on; at most ``bands``.

    Examples
    --------
    >>> import numpy as np
    >>> from edge_rnn.frontend import MFCC
    >>> mfcc = MFCC(16000, frame=640, hop=320, bands=40, coefficients=10, preset="tensorflow")
    >>> mfcc.run(np.zeros(16000, np.float32)).shape
    (49, 10)
    """

    kind = "mfcc"

    def __init__(
        self,
        rate_hz: float = 16000,
        *,
        frame: int = 400,
        hop: int = 160,
        bands: int = 40,
        coefficients: int = 13,
        preset: str = "librosa",
        **options: Unpack[SoundOptions],
    ) -> None:
        given = {**options, "rate_hz": rate_hz, "frame": frame, "hop": hop, "bands": bands}
        settings = SoundSettings.of(preset, given | {"coefficients": coefficients})
        if coefficients > bands:
            raise InputError(f"MFCC coefficients got {coefficients}, expected at most the number of bands, {bands}.")
        self._prepare(settings, preset, coefficients)
        self._matrix = _cosines(settings)
        self._cepstrum = np.zeros(coefficients)
        self._energy = np.zeros(1)

    def _compute(self, window: F64, y: F32) -> None:
        np.dot(self._matrix, self._log_bands(window[0]), out=self._cepstrum)
        if self.settings.energy:
            np.maximum(self._energy, self.settings.floor, out=self._energy)
            np.log(self._energy, out=self._cepstrum[:1])
        y[:] = self._cepstrum

    def _see(self, frame: F64) -> None:
        if self.settings.energy:
            np.multiply(frame, frame, out=self._shifted)
            self._energy[0] = np.add.reduce(self._shifted)


def _cosines(settings: SoundSettings) -> F64:
    """DCT-II (K. R. Rao, P. Yip, "Discrete Cosine Transform", 1990, 2.2) with the lifter, ``(coefficients, bands)``."""
    k, n = np.arange(settings.coefficients)[:, None], np.arange(settings.bands)
    matrix = np.sqrt(2 / settings.bands) * np.cos(np.pi / settings.bands * k * (n + 0.5))
    if settings.dct == "ortho":
        matrix[0] *= np.sqrt(0.5)
    if settings.lifter:
        matrix *= 1 + settings.lifter / 2 * np.sin(np.pi * (k + settings.lifter_from) / settings.lifter)
    return np.asarray(matrix)
