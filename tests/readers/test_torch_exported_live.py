"""Archives that ``torch.export.save`` itself wrote: read as PyTorch runs them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import reference
from edge_rnn_export import from_torch

torch = needs.package("torch")
pytestmark = pytest.mark.torch

FLOAT64 = 1e-13
"""Both computed in float64 from the same float32 weights, over 30 steps."""


def nets() -> dict[str, tuple[Any, tuple[Any, ...], Callable[[Any], Any]]]:
    nn = torch.nn
    torch.manual_seed(7)

    class Net(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc, self.act = nn.LSTM(3, 4, 2, batch_first=True), nn.Linear(4, 2), nn.ELU(0.5)

        def forward(self, x: Any) -> Any:
            return torch.softmax(self.act(self.fc(self.rnn(x)[0])), -1)

    class Step(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)
            self.register_buffer("h", torch.zeros(1, 1, 4))

        def forward(self, x: Any) -> Any:
            y, h = self.rnn(x.unsqueeze(0), self.h)
            self.h.copy_(h)
            return y.squeeze(0)

    def steps(module: Any) -> Any:
        module.h.zero_()
        return lambda xs: torch.stack([module(x[None])[0] for x in xs])

    return {
        "sequence": (Net(), (torch.zeros(1, 5, 3),), lambda module: lambda xs: module(xs[None])[0]),
        "symbols": (nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 2)), (torch.zeros(2, 5).long(),), lambda net: net),
        "a step with its state": (Step(), (torch.zeros(1, 3),), steps),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["sequence", "symbols", "a step with its state"])
def test_as_pytorch_runs_it(name: str, tmp_path: Path) -> None:
    module, example, run = nets()[name]
    torch.export.save(torch.export.export(module.eval(), example), tmp_path / "net.pt2")
    model = from_torch(tmp_path / "net.pt2")
    xs = np.random.default_rng(3).standard_normal((30, 3)).astype("f4")
    given = torch.from_numpy(xs).double()
    if name == "symbols":
        xs = np.random.default_rng(3).integers(0, 6, (30, 1)).astype("f4")
        given = torch.from_numpy(xs[:, 0]).long()
    with torch.no_grad():
        expected = run(module.double())(given).numpy()
    assert np.abs(reference.run(model, xs)[0] - expected).max() <= FLOAT64


@pytest.mark.filterwarnings("ignore")
def test_format_before_pytorch_2_8(tmp_path: Path) -> None:
    module, inner = torch.nn.GRU(3, 4), io.BytesIO()
    torch.save(module.state_dict(), inner)
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("version", "7.2")
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", inner.getvalue())
    assert from_torch(tmp_path / "old.pt2").fingerprint == from_torch(module.state_dict()).fingerprint
