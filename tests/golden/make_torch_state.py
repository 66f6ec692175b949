"""Write ``torch_state.safetensors`` and ``torch_state.npz``: small networks and their outputs in PyTorch.

The first holds the parameters of several networks, each name with the network's before it: ``gru/rnn.weight_ih_l0``.
The second holds for each network ``<network>/x`` (30, 3), float32 numbers, and ``<network>/y`` (30, O), computed by
PyTorch in float64 from the float32 parameters.

    python tests/golden/make_torch_state.py        # needs torch
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

TARGET = Path(__file__).with_name("torch_state.safetensors")
INPUT_SIZE, STEPS = 3, 30


class Network(nn.Module):
    """Modules by name, each called with the output of the one before it; the first item of a tuple."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = _stepped(module, x) if isinstance(module, nn.RNNCellBase) else module(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


def _stepped(cell: nn.RNNCellBase, xs: Tensor) -> Tensor:
    """Output of a cell for each row of ``xs``."""
    state, ys = None, []
    for x in xs:
        state = cell(x, state)
        ys.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(ys)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "gru": lambda: Network(rnn=nn.GRU(INPUT_SIZE, 5, 2), head=nn.Linear(5, 2), softmax=nn.Softmax(dim=-1)),
    "lstm": lambda: Network(rnn=nn.LSTM(INPUT_SIZE, 4, bias=False), head=nn.Linear(4, 2, bias=False)),
    "elman": lambda: Network(encoder=nn.RNN(INPUT_SIZE, 6, nonlinearity="relu"), head=nn.Linear(6, 1), tanh=nn.Tanh()),
    "cells": lambda: Network(
        a=nn.GRUCell(INPUT_SIZE, 4), b=nn.LSTMCell(4, 5), c=nn.RNNCell(5, 6), head=nn.Linear(6, 2)
    ),
    "dense": lambda: nn.Sequential(nn.Linear(INPUT_SIZE, 6), nn.ReLU(), nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2)),
}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(30)
    state: dict[str, np.ndarray] = {}
    expected: dict[str, np.ndarray] = {}
    for name, make in NETWORKS.items():
        network = make()
        state |= {f"{name}/{key}": value.numpy().copy() for key, value in network.state_dict().items()}
        x = torch.randn(STEPS, INPUT_SIZE)
        with torch.no_grad():
            y = network.double()(x.double())
        expected |= {f"{name}/x": x.numpy(), f"{name}/y": y.numpy()}
    save_file(state, TARGET)
    np.savez_compressed(TARGET.with_suffix(".npz"), **expected)  # type: ignore[arg-type]
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, {len(state)} tensors, torch {torch.__version__}")


if __name__ == "__main__":
    main()
