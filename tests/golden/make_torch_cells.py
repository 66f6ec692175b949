"""Write ``torch_cells.npz``: outputs of PyTorch's recurrent cells in float64.

Two layers each, 3 inputs, 5 units, 20 steps from trained initial states. Weights and inputs are float32 numbers,
PyTorch computes with them in float64. Keys are ``<cell>/x`` (20, 3), ``<cell>/y`` (20, 5), ``<cell>/<parameter>`` under
PyTorch's own names, ``<cell>/h0`` and ``<cell>/hn`` (2, 5), ``<cell>/c0`` and ``<cell>/cn`` for the LSTM.

    python tests/golden/make_torch_cells.py        # needs torch
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

TARGET = Path(__file__).with_name("torch_cells.npz")
INPUT_SIZE, HIDDEN_SIZE, LAYERS, STEPS = 3, 5, 2, 20


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(20)
    arrays: dict[str, np.ndarray] = {}
    cells = {
        "elman_tanh": torch.nn.RNN(INPUT_SIZE, HIDDEN_SIZE, LAYERS, nonlinearity="tanh"),
        "elman_relu": torch.nn.RNN(INPUT_SIZE, HIDDEN_SIZE, LAYERS, nonlinearity="relu"),
        "gru": torch.nn.GRU(INPUT_SIZE, HIDDEN_SIZE, LAYERS),
        "lstm": torch.nn.LSTM(INPUT_SIZE, HIDDEN_SIZE, LAYERS),
    }
    for cell, module in cells.items():
        for name, value in module.state_dict().items():
            arrays[f"{cell}/{name}"] = value.numpy().copy()
        x = torch.randn(STEPS, INPUT_SIZE)
        start = [torch.rand(LAYERS, HIDDEN_SIZE) * 2 - 1 for _ in range(2 if cell == "lstm" else 1)]
        wide = [value.double() for value in start]
        with torch.no_grad():
            y, end = module.double()(x.double(), tuple(wide) if cell == "lstm" else wide[0])
        arrays[f"{cell}/x"], arrays[f"{cell}/y"] = x.numpy(), y.numpy()
        for key, first, last in zip("hc", start, end if cell == "lstm" else (end,), strict=False):
            arrays[f"{cell}/{key}0"], arrays[f"{cell}/{key}n"] = first.numpy(), last.numpy()
    np.savez_compressed(TARGET, **arrays)  # type: ignore[arg-type]
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, {len(arrays)} arrays, torch {torch.__version__}")


if __name__ == "__main__":
    main()
