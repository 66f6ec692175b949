"""Public networks, where they are at hand: DTLN's two for noise suppression, the LSTM of Silero's voice activity."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn_export import from_onnx

BLOCK, HOP, FRAME, CONTEXT = 512, 128, 512, 64
ENCODED = "/model/encoder/3/activation/Relu_output_0"


def sound(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64) / 2**15


def test_dtln(shared_data: Path) -> None:
    """Masks of magnitudes, and blocks of sound, from states packed into one tensor of layers, units, and (h, c)."""
    folder = shared_data / "models" / "dtln"
    recorded, noisy = np.load(folder / "noisy.npz"), sound(folder / "noisy.wav")
    steps = len(recorded["mask"])
    padded = np.concatenate([np.zeros(BLOCK - HOP), noisy])
    blocks = np.stack([padded[k * HOP : k * HOP + BLOCK] for k in range(steps)])
    spectra = np.fft.rfft(blocks)
    masks, _ = reference.run(from_onnx(folder / "model_1.onnx"), np.abs(spectra).astype(np.float32))
    np.testing.assert_allclose(masks, recorded["mask"], rtol=0, atol=5e-6)
    cleaned = np.fft.irfft(masks * spectra).astype(np.float32)
    second = from_onnx(folder / "model_2.onnx")
    assert [layer.kind for layer in second.layers].count("LSTM") == 2
    outputs, _ = reference.run(second, cleaned)
    np.testing.assert_allclose(outputs[::8], recorded["out"], rtol=0, atol=5e-6)


def test_lstm_of_silero_behind_its_encoder(shared_data: Path, tmp_path: Path) -> None:
    """The LSTM is inside of branches, whose conditions are about the rate and about shapes."""
    folder = shared_data / "models" / "silero-vad"
    path = folder / "silero_vad_16k_op15.onnx"
    with pytest.raises(UnsupportedError, match=f"Conv node.*it is a convolution.*read by after='{ENCODED}'"):
        from_onnx(path)
    model = from_onnx(path, after=ENCODED, given={"sr": 16000})
    assert [layer.kind for layer in model.layers][:1] == ["LSTM"]
    proto = onnx.load(path)
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(ENCODED))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    samples = sound(folder / "speech.wav").astype(np.float32)
    recorded = np.load(folder / "speech.npz")["probability"]
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), samples])
    feeds = {"state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000)}
    steps = 100
    encoded = [
        session.run([ENCODED], {"input": padded[None, k * FRAME : (k + 1) * FRAME + CONTEXT], **feeds})[0].reshape(-1)
        for k in range(steps)
    ]
    found, _ = reference.run(model, np.array(encoded))
    np.testing.assert_allclose(found[:, 0], recorded[:steps], rtol=0, atol=2e-6)
