"""Outputs that public networks are known to have, and how far a model is from them.

Each function returns a function of the folder of networks and a model, which returns the largest error.
"""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from edge_rnn import Model, reference

__all__ = ["Error", "channels", "decoded", "dtln_mask", "dtln_signal", "encoded", "frames", "keywords", "lines"]
__all__ += ["SILERO_ENCODED", "series", "silero", "silero_encoded"]

SILERO_ENCODED = "/model/encoder/3/activation/Relu_output_0"
"""Value between Silero's encoder and its LSTM."""

Error = Callable[[Path, Model], float]


def _largest(ys: np.ndarray, wanted: np.ndarray) -> float:
    if ys.shape != wanted.shape:
        raise ValueError(f"the model's outputs have the shape {ys.shape}, expected {wanted.shape}")
    return float(np.abs(ys - wanted).max())


def _error(model: Model, xs: np.ndarray, wanted: np.ndarray, rows: Any = slice(None)) -> float:
    wanted = wanted.astype(np.float64)
    return _largest(
        reference.run(model, xs.astype(np.float32))[0][rows], wanted[:, None] if wanted.ndim == 1 else wanted
    )


def series(file: str, x: str, y: str, start: int | str = 0, steps: int | None = None) -> Error:
    """Arrays of an ``.npz``: samples, and outputs from a step on (a number, or the name of one in the file)."""

    def error(models: Path, model: Model) -> float:
        with np.load(models / file) as arrays:
            xs, ys = arrays[x][:steps], arrays[y][:steps]
            first = start if isinstance(start, int) else int(arrays[start])
        return _error(model, xs[:, None] if xs.ndim == 1 else xs, ys[first:], slice(first, None))

    return error


def encoded(models: Path, model: Model) -> float:
    """States of g2p-en's encoder after each word."""
    errors = []
    with np.load(models / "g2p" / "words.npz") as arrays:
        letters = list(arrays["alphabet"])
        for word, wanted in zip(arrays["words"], arrays["encoded64"], strict=True):
            places = [letters.index(each if each in letters else "<unk>") for each in (*word, "</s>")]
            errors.append(_largest(reference.run(model, np.array(places, np.float32)[:, None])[0][-1], wanted))
    return max(errors)


def decoded(models: Path, model: Model) -> float:
    """Logits of g2p-en's decoder, from the encoder's states on, with its best phonemes as inputs."""
    errors = []
    with np.load(models / "g2p" / "words.npz") as arrays:
        begin = list(arrays["phoneme_names"]).index("<s>")
        ends, logits = arrays["offsets"], arrays["logits64"]
        for first, last, state in zip(ends[:-1], ends[1:], arrays["encoded64"], strict=True):
            wanted = logits[first:last]
            tokens = np.array([begin, *wanted[:-1].argmax(axis=1)], np.float32)
            errors.append(_largest(reference.run(model, tokens[:, None], {"rnn.h": state})[0], wanted))
    return max(errors)


def keywords(models: Path, model: Model) -> float:
    """Probabilities of GRU-S after the last of 25 frames."""
    with np.load(models / "ml-kws" / "gru_s.npz") as arrays:
        pairs = zip(arrays["mfcc"][:, 0], arrays["out"][:, 0], strict=True)
        return max(_largest(reference.run(model, xs)[0][-1], wanted) for xs, wanted in pairs)


def lines(x: str, y: str) -> Error:
    """Text files of one sample and one output a line."""

    def error(models: Path, model: Model) -> float:
        xs, ys = (np.loadtxt(models / each, delimiter=",", ndmin=2) for each in (x, y))
        return _error(model, xs.reshape(len(xs), -1), ys.reshape(len(ys), -1))

    return error


def channels(x: str, y: str, window: int, every: int = 1) -> Error:
    """Text files of a sample a line and an output channel a line, which begin with the first full window."""

    def error(models: Path, model: Model) -> float:
        xs, ys = (np.loadtxt(models / each, delimiter=",", ndmin=2) for each in (x, y))
        return _error(model, xs, ys.T, slice(window - 1, None, every))

    return error


def _sound(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def frames(sound: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Blocks of samples, one for each hop, with zeros before the first."""
    padded = np.concatenate([np.zeros(size - hop), sound[: len(sound) // hop * hop]])
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop].copy()


def silero(y: str) -> Error:
    """Probability of speech, of frames of 64 old samples and 512 new ones."""

    def error(models: Path, model: Model) -> float:
        xs = frames(_sound(models / "silero-vad" / "speech.wav"), 576, 512)
        with np.load(models / "silero-vad" / "speech.npz") as arrays:
            return _error(model, xs, arrays[y])

    return error


def silero_encoded(models: Path, model: Model) -> float:
    """Probability of speech in the first 200 frames, of what onnxruntime's encoder makes of them."""
    folder = models / "silero-vad"
    proto = onnx.load(folder / "silero_vad_16k_op15.onnx")
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(SILERO_ENCODED))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    states = {"state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000)}
    xs = frames(_sound(folder / "speech.wav"), 576, 512)[:200].astype(np.float32)
    encoded = [session.run([SILERO_ENCODED], {"input": x[None], **states})[0].reshape(-1) for x in xs]
    with np.load(folder / "speech.npz") as arrays:
        return _error(model, np.array(encoded), arrays["probability64"][:200])


def _spectra(models: Path) -> np.ndarray:
    return np.fft.rfft(frames(_sound(models / "dtln" / "noisy.wav"), 512, 128))


def dtln_mask(models: Path, model: Model) -> float:
    """Mask of DTLN's first network, for magnitudes of spectra."""
    with np.load(models / "dtln" / "noisy.npz") as arrays:
        return _error(model, np.abs(_spectra(models)), arrays["mask"])


def dtln_signal(models: Path, model: Model) -> float:
    """Signal of DTLN's second network, every 8th hop, for blocks under the mask of the first."""
    with np.load(models / "dtln" / "noisy.npz") as arrays:
        blocks = np.fft.irfft(_spectra(models) * arrays["mask"])
        return _error(model, blocks, arrays["out"], slice(None, None, 8))
