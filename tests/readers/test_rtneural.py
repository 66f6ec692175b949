"""Networks trained in PyTorch for RTNeural, read from their state_dicts, against the outputs that came with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_rnn import Stream, reference
from edge_rnn_export import from_torch

# PyTorch computed the outputs in float32 and wrote them with all digits; its own rounding is below 1e-6 here.
TOLERANCE = 1e-6


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_recorded_output_of_rtneural(kind: str, shared_data: Path) -> None:
    folder = shared_data / "models" / "rtneural"
    state = json.loads((folder / f"{kind}_torch.json").read_text(encoding="utf-8"))
    model = from_torch(state, modules=(kind, f"{kind}2", "dense"), activations={"dense": "none"})
    assert [layer.name for layer in model.layers] == [kind, *(f"{kind}2_l{k}" for k in range(3)), "dense"]
    xs = np.loadtxt(folder / f"{kind}_torch_x_python.csv", ndmin=2).reshape(-1, 1).astype(np.float32)
    expected = np.loadtxt(folder / f"{kind}_torch_y_python.csv").reshape(-1, 1)
    assert len(xs) == len(expected) == 1000
    assert np.abs(reference.run(model, xs)[0] - expected).max() <= TOLERANCE
    assert np.abs(Stream(model).run(xs) - expected).max() <= TOLERANCE
