"""TorchScript that PyTorch itself wrote: read as PyTorch runs it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import reference
from edge_rnn.errors import ReadingWarning
from edge_rnn_export import from_torch

torch = needs.package("torch")
pytestmark = pytest.mark.torch

FLOAT64 = 1e-13
"""Both computed in float64 from the same float32 weights, over 30 steps."""


def nets() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Networks, and how to run one over a sequence (time, 3)."""
    nn = torch.nn
    torch.manual_seed(5)

    class Last(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = nn.LSTM(3, 4, 2, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0][:, -1])

    class Hidden(Last):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            _, (h, _) = self.rnn(x)
            return torch.relu(self.fc(h[-1]))

    class Step(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = nn.GRU(3, 3), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y, h = self.rnn(x.unsqueeze(0), h)
            return torch.softmax(self.fc(y.squeeze(0)), -1), h

    def steps(module: Any) -> Any:
        def run(xs: Any) -> Any:
            h, ys = torch.zeros(1, 1, 3, dtype=xs.dtype), []
            for x in xs:
                y, h = module(x[None], h)
                ys.append(y[0])
            return torch.stack(ys)

        return run

    acts = [nn.ELU(0.5), nn.LeakyReLU(0.2), nn.Sigmoid(), nn.Hardsigmoid(), nn.ReLU(), nn.Softplus(), nn.Tanh()]
    chain = nn.Sequential(nn.Linear(3, 4), *acts, nn.Linear(4, 3, bias=False), nn.Dropout(), nn.Softmax(dim=-1))
    rnns = {
        "GRU": nn.GRU(3, 4, 2),
        "RNN": nn.RNN(3, 4, nonlinearity="relu"),
        "LSTM with projection": nn.LSTM(3, 6, proj_size=2, bias=False),
    }

    def beginnings(module: Any) -> Any:
        return lambda xs: torch.stack([module(xs[None, : k + 1])[0] for k in range(len(xs))])

    found: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "last step": (Last(), beginnings),
        "last state": (Hidden(), beginnings),
        "a step with its state": (Step(), steps),
        "activations": (chain, lambda module: module),
    }  # fmt: skip
    return found | {name: (rnn, lambda module: lambda xs: module(xs)[0]) for name, rnn in rnns.items()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace"])
@pytest.mark.parametrize("name", ["last step", "last state", "a step with its state", "activations", "GRU", "RNN",
                                  "LSTM with projection"])  # fmt: skip
def test_as_pytorch_runs_it(name: str, how: str, tmp_path: Path) -> None:
    module, run = nets()[name]
    module.eval()
    example = (
        (torch.zeros(1, 3), torch.zeros(1, 1, 3)) if "state" in name and "step" in name else (torch.zeros(2, 5, 3),)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.script(module) if how == "script" else torch.jit.trace(module, example)
    made.save(tmp_path / "net.pt")
    model = from_torch(tmp_path / "net.pt")
    xs = np.random.default_rng(3).standard_normal((30, 3)).astype("f4")
    with torch.no_grad():
        expected = run(module.double())(torch.from_numpy(xs).double()).numpy()
    assert np.abs(reference.run(model, xs)[0] - expected).max() <= FLOAT64


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_log_softmax_is_told(tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LogSoftmax(-1)), torch.zeros(2, 3)).save(
        tmp_path / "net.pt"
    )
    with pytest.warns(ReadingWarning, match="forward ends in log_softmax; read as softmax"):
        assert from_torch(tmp_path / "net.pt").layers[-1].options["activation"] == "softmax"
