"""Log-mel and MFCC against librosa, Kaldi, torchaudio and TensorFlow Lite Micro, on the same frames.

Their results are in tests/golden/sound_features.npz, in the folder of the script that made it; where a library is
installed, it is asked itself about other sounds.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import InputError
from edge_rnn.frontend import MFCC, PRESETS, LogMel, MicroFrontEnd
from edge_rnn.frontend.fixed_fft import FixedFft
from edge_rnn.frontend.mel import FilterBank, filter_rows, hz_of_mel, mel_of_hz
from edge_rnn.frontend.tapers import TAPERS, taper

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "sound_features.npz")
PCM = GOLDEN["pcm"]
SOUND = (PCM / 32768).astype(np.float32)  # exact

# Both sides compute in float64; they differ by the rounding of features to float32, up to 130 dB: half an ulp is 4e-6,
# and their file has the same error again. Kaldi computes in float32: bands of a quiet frame are sums of terms larger by
# 1e5, each accurate to 6e-8, so logarithms are accurate to 1e-3 in the worst band. torchaudio computes in float64, but
# its filters' corners are float32: accurate to 2.4e-4 Hz, with slopes of up to 1/40 per Hz, and a band may consist of a
# weight of 0.1: 1e-4. A cosine transform of norm 1 leaves errors unchanged, the lifter multiplies them by up to 12.
EXACT, KALDI, TORCHAUDIO, LIFTER = 1.6e-5, 1e-3, 1e-4, 12


@pytest.mark.parametrize(
    ("key", "make", "options"),
    [
        ("librosa_mel", LogMel, {}),
        (
            "librosa_mel_htk",
            LogMel,
            {"mel": "htk", "norm": "none", "window": "hamming", "spectrum": "magnitude", "log": "ln"},
        ),
        ("librosa_mel_centered", LogMel, {"frame": 512, "lead": 256}),
        ("librosa_mel_preemphasis", LogMel, {"preemphasis": 0.97, "fmin_hz": 60, "fmax_hz": 7000}),
        ("librosa_mfcc", MFCC, {}),
        ("librosa_mfcc_lifter", MFCC, {"lifter": 22}),
        ("torchaudio_mel", LogMel, {"preset": "torchaudio"}),
        ("torchaudio_mfcc", MFCC, {"preset": "torchaudio"}),
        ("kaldi_fbank", LogMel, {"preset": "kaldi"}),
        ("kaldi_mfcc", MFCC, {"preset": "kaldi", "bands": 23, "window": "hamming_symmetric", "energy": True}),
        ("torchaudio_kaldi_fbank", LogMel, {"preset": "kaldi"}),
        ("torchaudio_kaldi_mfcc", MFCC, {"preset": "kaldi", "bands": 23}),
    ],
)
def test_the_features_of_each_library(key: str, make: type[LogMel], options: dict[str, Any]) -> None:
    expected = GOLDEN[key].astype(np.float64)
    got = make(16000, **options).run(SOUND).astype(np.float64)
    if options.get("log") == "ln":  # librosa was asked for decibels of a magnitude as if it were a power
        got *= 10 / math.log(10)
    if "centered" in key:  # the frames at its end hang over, in zeros that no stream knows of
        expected = expected[: len(got)]
    assert got.shape == expected.shape
    tolerance = {"librosa": EXACT, "kaldi": KALDI, "torchaudio": TORCHAUDIO}[key.partition("_")[0]]
    tolerance *= LIFTER if key.endswith("kaldi_mfcc") else 1
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def test_tensorflow_micros_features() -> None:
    """Whole numbers, 64 to a factor of e: every one the same."""
    np.testing.assert_array_equal(MicroFrontEnd(hop=160).run(SOUND), GOLDEN["micro"])


def tensorflow_mfcc(frame: np.ndarray, rate: float, bands: int, count: int) -> np.ndarray:
    """MFCC of one frame, value by value as in TensorFlow's mfcc_mel_filterbank.cc and mfcc_dct.cc."""
    length = 1 << math.ceil(math.log2(len(frame)))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(frame)) / len(frame))
    power = np.abs(np.fft.rfft(frame * window, length)) ** 2

    def mel(hz: float) -> float:
        return 1127 * math.log1p(hz / 700)

    spacing = (mel(4000) - mel(20)) / (bands + 1)
    centers = [mel(20) + spacing * (i + 1) for i in range(bands + 1)]
    step = rate / length
    found = [0.0] * bands
    for i in range(int(1.5 + 20 / step), int(4000 / step) + 1):
        channel = sum(center < mel(i * step) for center in centers) - 1
        below = centers[channel] if channel >= 0 else mel(20)
        weight = (centers[channel + 1] - mel(i * step)) / (centers[channel + 1] - below)
        value = math.sqrt(power[i])
        if channel >= 0:
            found[channel] += weight * value
        if channel + 1 < bands:
            found[channel + 1] += (1 - weight) * value
    logs = [math.log(max(value, 1e-12)) for value in found]
    return np.array(
        [
            math.sqrt(2 / bands) * sum(math.cos(math.pi / bands * i * (j + 0.5)) * logs[j] for j in range(bands))
            for i in range(count)
        ]
    )


def test_tensorflows_mfcc() -> None:
    got = MFCC(16000, frame=640, hop=320, bands=40, coefficients=10, preset="tensorflow").run(SOUND)
    expected = [tensorflow_mfcc(SOUND[i : i + 640].astype(float), 16000, 40, 10) for i in range(0, 8000 - 639, 320)]
    np.testing.assert_allclose(got, np.array(expected), rtol=0, atol=EXACT)


@pytest.mark.parametrize("frame", [200, 400, 512])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_librosa_itself(frame: int, scale: str) -> None:
    librosa = needs.package("librosa")
    rng = np.random.default_rng(8)
    x = (0.1 * rng.standard_normal(5000)).astype(np.float32)
    mel = librosa.feature.melspectrogram(
        y=x.astype(np.float64), sr=22050, n_fft=512, win_length=frame, hop_length=100, n_mels=30, center=False,
        htk=scale == "htk", fmin=30, fmax=9000,
    )  # fmt: skip
    expected = librosa.power_to_db(mel, top_db=None).T
    front = LogMel(22050, frame=frame, hop=100, bands=30, fft=512, mel=scale, fmin_hz=30, fmax_hz=9000)  # type: ignore[arg-type]
    got = front.run(x[(512 - frame) // 2 :])  # it has the window in the middle of the 512 samples
    np.testing.assert_allclose(got[: len(expected)], expected, rtol=0, atol=EXACT)


def test_librosas_centered_frames_of_a_short_window() -> None:
    librosa = needs.package("librosa")
    x = SOUND.astype(np.float64)
    mel = librosa.feature.melspectrogram(y=x, sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40)
    got = LogMel(fft=512, lead=200).run(SOUND)
    np.testing.assert_allclose(got, librosa.power_to_db(mel, top_db=None).T[: len(got)], rtol=0, atol=EXACT)


@pytest.mark.parametrize("window", ["povey", "hann", "hamming", "rectangular"])
def test_kaldi_itself(window: str) -> None:
    kaldi = needs.package("kaldi-native-fbank")
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.window_type = 8000, window if window != "hann" else "hanning"
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 20
    online = kaldi.OnlineFbank(options)
    pcm = np.random.default_rng(9).integers(-9000, 9000, 4000).astype(np.float32)
    online.accept_waveform(8000, pcm.tolist())
    expected = np.array([online.get_frame(i) for i in range(online.num_frames_ready)])
    name: Any = f"{window}_symmetric" if window.startswith("ha") else window
    got = LogMel(8000, frame=200, hop=80, bands=20, preset="kaldi", gain=1, window=name).run(pcm)
    np.testing.assert_allclose(got, expected, rtol=0, atol=KALDI)


@pytest.mark.parametrize("loudness", [0, 3, 30, 300, 3000, 20000])
def test_tensorflow_micro_itself(loudness: float) -> None:
    micro = needs.package("pymicro-features")
    noise = np.random.default_rng(10).normal(0, loudness, 48000) * np.linspace(0, 1, 48000)
    pcm = np.clip(noise, -32767, 32767).astype(np.int16)
    front, data, found = micro.MicroFrontend(), pcm.tobytes(), []
    while len(data) >= 320:
        result = front.process_samples(data[:320])
        data = data[2 * result.samples_read :]
        found += [result.features] if result.features else []
    expected = np.round(np.array(found) / 0.0390625)
    np.testing.assert_array_equal(MicroFrontEnd(hop=160, gain=1).run(pcm.astype(np.float32)), expected)


@pytest.mark.parametrize("length", [8, 16, 64, 128, 512, 1024])
def test_the_16_bit_transform_is_one(length: int) -> None:
    """Each stage rounds to half a unit and divides by its radix what the stages before it did: at most 4 units."""
    samples = np.random.default_rng(11).integers(-30000, 30000, length).astype(np.int32)
    real, imaginary = FixedFft(length).transform(samples)
    expected = np.fft.rfft(samples) / length
    assert np.abs(real - expected.real).max() < 4
    assert np.abs(imaginary - expected.imag).max() < 4


def test_scales_are_each_others_inverse_and_librosas() -> None:
    librosa = needs.package("librosa")
    hz = np.linspace(0, 11025, 500)
    for scale in ("slaney", "htk"):
        np.testing.assert_allclose(hz_of_mel(mel_of_hz(hz, scale), scale), hz, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(mel_of_hz(hz, scale), librosa.hz_to_mel(hz, htk=scale == "htk"), rtol=1e-13)


def test_tapers_are_scipys() -> None:
    windows = needs.package("scipy", "scipy.signal.windows")
    for name in TAPERS:
        kind, _, form = name.partition("_")
        if kind in ("hann", "hamming"):
            np.testing.assert_allclose(taper(name, 401), windows.get_window(kind, 401, fftbins=not form), atol=1e-15)
    np.testing.assert_allclose(taper("povey", 400), windows.hann(400, sym=True) ** 0.85, atol=1e-15)
    assert (taper("rectangular", 5) == 1).all()


def test_a_sparse_filter_bank_is_the_matrix() -> None:
    matrix = np.array([*filter_rows(16000, 256, 90, 20, 8000, "htk", "none", "hz")])
    assert (matrix == 0).all(axis=1).any()  # a band that is narrower than the bins are apart
    spectrum, bands = np.random.default_rng(11).random(129), np.full(90, 9.0)
    FilterBank(matrix).apply(spectrum, bands)
    np.testing.assert_allclose(bands, matrix @ spectrum, rtol=1e-14)


def test_presets_differ_and_options_go_before_them() -> None:
    features = {preset: LogMel(preset=preset).run(SOUND) for preset in PRESETS}
    assert len({ys.tobytes() for ys in features.values()}) == len(PRESETS)
    assert LogMel(preset="kaldi", fmin_hz=0).settings.fmin_hz == 0
    assert "fmin=0" in LogMel(preset="kaldi", fmin_hz=0).spec
    with pytest.raises(InputError, match="lifter, which is an option of MFCC"):
        LogMel(lifter=3)
    with pytest.raises(InputError, match="option got 'top_db'"):
        LogMel(top_db=80)  # type: ignore[call-arg]


def test_silence_is_the_floor_and_loudest_sound_is_finite() -> None:
    for preset in PRESETS:
        front = LogMel(preset=preset)
        lowest = front.run(np.zeros(400, np.float32))
        settings = front.settings
        floor = max(settings.floor, settings.offset)
        unit = {"db": 10 / math.log(10), "ln": 1.0}[settings.log]
        np.testing.assert_allclose(lowest, unit * math.log(floor), rtol=1e-6)
        assert np.isfinite(front.run(np.full(4000, 3e38, np.float32))).all()


def test_a_micro_front_end_gets_over_what_is_not_finite() -> None:
    front = MicroFrontEnd(hop=160)
    bad = SOUND.copy()
    bad[1000:1010] = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1, 2, 3, 4, 5]
    ys = front.run(bad)
    assert np.isfinite(ys).all()
    clean = MicroFrontEnd(hop=160).run(np.where(np.isfinite(bad), bad, 0))
    np.testing.assert_array_equal(ys, clean)
