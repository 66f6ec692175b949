"""Settings of spectral features of sound, and presets for the conventions of well-known libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, TypedDict

from edge_rnn.checks import choice, real, whole
from edge_rnn.errors import InputError
from edge_rnn.frontend.mel import SCALES
from edge_rnn.frontend.tapers import TAPERS

__all__ = ["CEPSTRAL", "PRESETS", "SoundOptions", "SoundSettings"]

CEPSTRAL = ("coefficients", "dct", "lifter", "lifter_from", "energy")
"""Options of MFCC that do not apply to a spectrum."""

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "window": TAPERS,
        "preemphasis_over": ("signal", "frame"),
        "spectrum": ("power", "magnitude"),
        "mel": SCALES,
        "norm": ("slaney", "none"),
        "triangles": ("hz", "mel"),
        "log": ("db", "ln", "none"),
        "dct": ("ortho", "tensorflow"),
    }
)


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """Settings of each step from sound to features; the defaults are those of librosa.

    Parameters
    ----------
    rate_hz
        Sample rate.
    frame, hop
        Frame length and hop length, in samples.
    fft
        FFT length; the frame is zero-padded to it. 0: the length of the frame.
    round_fft
        If True, an ``fft`` of 0 is rounded up to a power of two.
    lead
        Number of zeros before the first sample. 0: frames start with the first sample (librosa's ``center=False``,
        Kaldi's ``snip_edges=true``); ``frame // 2``: frames of librosa's ``center=True`` with zero padding at the
        start.
    window
        One of :data:`edge_rnn.frontend.tapers.TAPERS`, over the frame.
    gain
        Factor applied to samples first: 32768 to match Kaldi's scale for samples within ±1.
    remove_dc
        If True, subtract the frame's mean.
    preemphasis, preemphasis_over
        Coefficient a of x[n] - a x[n-1]; over the ``"signal"``, which is zero before its start, or within each
        ``"frame"``, where the first sample is its own predecessor (Kaldi).
    spectrum
        ``"power"`` or ``"magnitude"``.
    bands
        Number of mel bands.
    fmin_hz, fmax_hz
        Lower and upper edge of the bands; an ``fmax_hz`` of 0 means the Nyquist frequency.
    mel, norm, triangles
        See :func:`edge_rnn.frontend.mel.filter_rows`.
    log
        ``"db"``: 10 log10 of power or 20 log10 of magnitude; ``"ln"``: the natural logarithm; ``"none"``.
    offset, floor
        Value added before the logarithm, and lower bound of its argument.
    coefficients
        Number of MFCC coefficients.
    dct
        DCT-II: ``"ortho"``, or ``"tensorflow"``, which differs by a factor of sqrt(2) in coefficient 0.
    lifter, lifter_from
        L of 1 + L/2 sin(pi (n + first) / L), 0 for none; ``first`` is 0 in HTK and Kaldi, 1 in librosa.
    energy
        If True, replace coefficient 0 with the logarithm of the frame's energy before pre-emphasis and window.
    """

    rate_hz: float = 16000.0
    frame: int = 400
    hop: int = 160
    fft: int = 0
    round_fft: bool = False
    lead: int = 0
    window: str = "hann"
    gain: float = 1.0
    remove_dc: bool = False
    preemphasis: float = 0.0
    preemphasis_over: str = "signal"
    spectrum: str = "power"
    bands: int = 40
    fmin_hz: float = 0.0
    fmax_hz: float = 0.0
    mel: str = "slaney"
    norm: str = "slaney"
    triangles: str = "hz"
    log: str = "db"
    offset: float = 0.0
    floor: float = 1e-10
    coefficients: int = 13
    dct: str = "ortho"
    lifter: float = 0.0
    lifter_from: int = 1
    energy: bool = False

    def __post_init__(self) -> None:
        def at_least(name: str, least: float, most: float = 1e12, *, above: bool = False) -> None:
            object.__setattr__(self, name, real("sound", name, getattr(self, name), least, most, above=above))

        at_least("rate_hz", 1e-3)
        for name, most in (("frame", 1 << 16), ("hop", 1 << 24), ("bands", 1 << 8), ("coefficients", 1 << 8)):
            whole("sound", name, getattr(self, name), 2 if name == "frame" else 1, most)
        whole("sound", "lead", self.lead, 0, self.frame - 1)
        whole("sound", "lifter_from", self.lifter_from, 0, 1)
        if self.fft:
            whole("sound", "fft", self.fft, self.frame, 1 << 16)
        for name in ("gain", "floor", "offset", "lifter"):
            at_least(name, 0, above=name == "gain")
        at_least("preemphasis", 0, 1)
        at_least("fmin_hz", 0, self.rate_hz / 2)
        at_least("fmax_hz", 0, self.rate_hz / 2)
        for name in ("round_fft", "remove_dc", "energy"):
            choice("sound", name, getattr(self, name), (True, False))
        for name, words in _WORDS.items():
            choice("sound", name, getattr(self, name), words)
        if self.highest_hz - self.fmin_hz < 1e-6 * self.rate_hz:
            raise InputError(f"sound fmin_hz got {self.fmin_hz:g}, expected less than fmax_hz, {self.highest_hz:g}.")

    @property
    def fft_length(self) -> int:
        """Length of the FFT."""
        return self.fft or (1 << (self.frame - 1).bit_length() if self.round_fft else self.frame)

    @property
    def highest_hz(self) -> float:
        """Upper edge of the bands."""
        return self.fmax_hz or self.rate_hz / 2

    @classmethod
    def of(cls, preset: str, options: Mapping[str, Any]) -> SoundSettings:
        """Combine a preset with options that override it.

        Raises
        ------
        InputError
            The preset or an option is unknown, or a value is invalid.
        """
        choice("sound", "preset", preset, PRESETS)
        names = [field.name for field in fields(cls)]
        for name in options:
            choice("sound", "option", name, names)
        return cls(**{**PRESETS[preset], **options})


class SoundOptions(TypedDict, total=False):
    """Options of :class:`SoundSettings` that are not explicit arguments."""

    fft: int
    round_fft: bool
    lead: int
    window: Literal["hann", "hann_symmetric", "hamming", "hamming_symmetric", "povey", "rectangular"]
    gain: float
    remove_dc: bool
    preemphasis: float
    preemphasis_over: Literal["signal", "frame"]
    spectrum: Literal["power", "magnitude"]
    fmin_hz: float
    fmax_hz: float
    mel: Literal["slaney", "htk"]
    norm: Literal["slaney", "none"]
    triangles: Literal["hz", "mel"]
    log: Literal["db", "ln", "none"]
    offset: float
    floor: float
    dct: Literal["ortho", "tensorflow"]
    lifter: float
    lifter_from: int
    energy: bool


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "librosa": {},
        "torchaudio": {"mel": "htk", "norm": "none", "log": "ln", "offset": 1e-6, "floor": 0.0},
        "kaldi": {
            "round_fft": True,
            "window": "povey",
            "gain": 32768.0,
            "remove_dc": True,
            "preemphasis": 0.97,
            "preemphasis_over": "frame",
            "fmin_hz": 20.0,
            "mel": "htk",
            "norm": "none",
            "triangles": "mel",
            "log": "ln",
            "floor": 2.0**-23,
            "lifter": 22.0,
            "lifter_from": 0,
        },
        "tensorflow": {
            "round_fft": True,
            "spectrum": "magnitude",
            "fmin_hz": 20.0,
            "fmax_hz": 4000.0,
            "mel": "htk",
            "norm": "none",
            "triangles": "mel",
            "log": "ln",
            "floor": 1e-12,
            "dct": "tensorflow",
        },
    }
)
"""Differences of each library from the defaults.

``"librosa"``
    ``power_to_db(melspectrogram(..., center=False), top_db=None)`` and ``mfcc`` of it. ``top_db`` needs the maximum of
    the whole clip, so a stream cannot apply it.
``"torchaudio"``
    ``transforms.MelSpectrogram(center=False)`` with ``log(x + 1e-6)``, ``transforms.MFCC(log_mels=True)``.
``"kaldi"``
    ``compute-fbank-feats``, ``compute-mfcc-feats`` and ``torchaudio.compliance.kaldi`` on 16-bit integers, without
    dither (noise that Kaldi adds).
``"tensorflow"``
    ``audio_spectrogram`` and ``mfcc`` of TensorFlow (``speech_commands``, ML-KWS), which use frames of 640 and a hop of
    320 samples. The front end of TensorFlow Lite Micro is :class:`edge_rnn.frontend.MicroFrontEnd`.
"""
