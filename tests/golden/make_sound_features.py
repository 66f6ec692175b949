"""Write sound_features.npz: features of half a second of sound, by the libraries whose conventions edge_rnn follows.

    pip install librosa kaldi-native-fbank pymicro-features torchaudio
    python tests/golden/make_sound_features.py

What is not installed keeps the numbers that the file has. Versions that made it: librosa 0.11.0, kaldi-native-fbank
1.23.0, pymicro-features 2.0.2, torchaudio 2.11.0. torchaudio needs no compiled part: without torch's CUDA build, remove
its lib/*.so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("sound_features.npz")
RATE = 16000


def sound() -> np.ndarray:
    """(8000,) int16: a rising tone that fades in, noise below it, and a click."""
    rng = np.random.default_rng(7)
    t = np.arange(8000) / RATE
    wave = 0.4 * np.minimum(1, 4 * t) * np.sin(2 * np.pi * (150 + 3000 * t) * t) + 0.02 * rng.standard_normal(8000)
    wave[5000] += 0.5
    return np.round(32767 * np.clip(wave, -1, 1)).astype(np.int16)


def librosa_features(pcm: np.ndarray) -> dict[str, np.ndarray]:
    import librosa

    x = pcm / 32768.0
    found = {}
    for name, options in {
        "": {"n_fft": 400, "center": False},
        "_centered": {"n_fft": 512, "center": True},
        "_htk": {"n_fft": 400, "center": False, "htk": True, "norm": None, "window": "hamming", "power": 1.0},
    }.items():
        mel = librosa.feature.melspectrogram(y=x, sr=RATE, hop_length=160, n_mels=40, **options)
        found[f"librosa_mel{name}"] = librosa.power_to_db(mel, top_db=None).T
    mel = librosa.feature.melspectrogram(
        y=librosa.effects.preemphasis(x, zi=[0.0]),
        sr=RATE,
        n_fft=400,
        hop_length=160,
        n_mels=40,
        center=False,
        fmin=60,
        fmax=7000,
    )
    found["librosa_mel_preemphasis"] = librosa.power_to_db(mel, top_db=None).T
    mel = librosa.db_to_power(found["librosa_mel"].T)
    found["librosa_mfcc"] = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=13).T
    found["librosa_mfcc_lifter"] = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=13, lifter=22).T
    return found


def kaldi_features(pcm: np.ndarray) -> dict[str, np.ndarray]:
    import kaldi_native_fbank

    def frames(online: object) -> np.ndarray:
        online.accept_waveform(RATE, pcm.astype(np.float32).tolist())  # type: ignore[attr-defined]
        return np.array([online.get_frame(i) for i in range(online.num_frames_ready)])  # type: ignore[attr-defined]

    fbank = kaldi_native_fbank.FbankOptions()
    fbank.frame_opts.dither = 0
    fbank.mel_opts.num_bins = 40
    mfcc = kaldi_native_fbank.MfccOptions()
    mfcc.frame_opts.dither = 0
    mfcc.frame_opts.window_type = "hamming"
    mfcc.mel_opts.num_bins = 23
    mfcc.use_energy = True
    return {
        "kaldi_fbank": frames(kaldi_native_fbank.OnlineFbank(fbank)),
        "kaldi_mfcc": frames(kaldi_native_fbank.OnlineMfcc(mfcc)),
    }


def torchaudio_features(pcm: np.ndarray) -> dict[str, np.ndarray]:
    import torch
    import torchaudio.compliance.kaldi
    from torchaudio.transforms import MFCC, MelSpectrogram

    x = torch.from_numpy(pcm / 32768.0)
    options = {"n_fft": 400, "hop_length": 160, "n_mels": 40, "center": False}
    mel = MelSpectrogram(RATE, **options).double()(x)
    mfcc = MFCC(RATE, n_mfcc=13, log_mels=True, melkwargs=options).double()(x)
    wave = torch.from_numpy(pcm.astype(np.float64))[None]
    fbank = torchaudio.compliance.kaldi.fbank(wave, num_mel_bins=40)
    kaldi = torchaudio.compliance.kaldi.mfcc(wave)
    return {
        "torchaudio_mel": torch.log(mel + 1e-6).T.numpy(),
        "torchaudio_mfcc": mfcc.T.numpy(),
        "torchaudio_kaldi_fbank": fbank.numpy(),
        "torchaudio_kaldi_mfcc": kaldi.numpy(),
    }


def micro_features(pcm: np.ndarray) -> dict[str, np.ndarray]:
    """Frames of 30 ms every 10 ms, 40 bands; integers (the library multiplies them by 0.0390625)."""
    import pymicro_features

    front, data, found = pymicro_features.MicroFrontend(), pcm.tobytes(), []
    while len(data) >= 320:
        result = front.process_samples(data[:320])
        data = data[2 * result.samples_read :]
        found += [result.features] if result.features else []
    return {"micro": np.round(np.array(found) / 0.0390625)}


def main() -> None:
    pcm = sound()
    kept = dict(np.load(FILE)) if FILE.exists() else {}
    kept["pcm"] = pcm
    makers: list[Callable[[np.ndarray], dict[str, np.ndarray]]] = [
        librosa_features,
        kaldi_features,
        torchaudio_features,
        micro_features,
    ]
    for make in makers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = make(pcm)
        except ImportError as error:
            print(f"{make.__name__}: {error}; kept unchanged")
            continue
        kept |= {name: np.asarray(value, np.float32) for name, value in found.items()}
    np.savez_compressed(FILE, **kept)
    print(FILE.stat().st_size, {name: value.shape for name, value in kept.items()})


if __name__ == "__main__":
    main()
