"""The LSTM inside of Silero's voice activity, where that is at hand; ``tests/scoreboard`` compares it and others."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_rnn.errors import ReadingWarning, UnsupportedError
from edge_rnn_export import from_onnx

ENCODED = "/model/encoder/3/activation/Relu_output_0"


def test_lstm_of_silero_behind_its_encoder(shared_data: Path) -> None:
    """The LSTM is inside of branches, whose conditions are about the rate and about shapes."""
    folder = shared_data / "models" / "silero-vad"
    path = folder / "silero_vad_16k_op15.onnx"
    with pytest.raises(UnsupportedError, match=f"Conv node.*it is a convolution.*read by after='{ENCODED}'"):
        from_onnx(path)
    with pytest.warns(ReadingWarning, match="is a single step of one sequence"):
        model = from_onnx(path, after=ENCODED, given={"sr": 16000})
    assert [layer.kind for layer in model.layers][:1] == ["LSTM"]
