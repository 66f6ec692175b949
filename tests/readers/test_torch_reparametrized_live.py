"""Reparametrized modules of PyTorch: folded as it computes them, from modules, state_dicts and files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import ReadingWarning, UnsupportedError
from edge_rnn_export import from_torch

torch = needs.package("torch")
pytestmark = pytest.mark.torch

ROUNDING = 2**-23
"""Two roundings to float32, of numbers that both were computed in float64."""


def of_hooks(name: str) -> Callable[[Any], Any]:
    return lambda net: getattr(torch.nn.utils, name)(net.rnn, "weight_hh_l0")


def of_parametrizations(name: str, **options: Any) -> Callable[[Any], Any]:
    return lambda net: getattr(torch.nn.utils.parametrizations, name)(net.rnn, "weight_hh_l0", **options)


def pruned(net: Any) -> None:
    from torch.nn.utils import prune

    prune.l1_unstructured(net.rnn, "weight_hh_l0", amount=0.5)
    prune.random_unstructured(net.fc, "bias", amount=1)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "weight_norm": of_hooks("weight_norm"),
    "weight_norm of the whole": lambda net: torch.nn.utils.weight_norm(net.fc, "weight", dim=None),
    "weight_norm of columns": lambda net: torch.nn.utils.parametrizations.weight_norm(net.fc, "weight", dim=1),
    "spectral_norm": of_hooks("spectral_norm"),
    "parametrized weight_norm": of_parametrizations("weight_norm"),
    "parametrized spectral_norm": of_parametrizations("spectral_norm"),
    "pruning": pruned,
    "all": lambda net: [of_hooks("weight_norm")(net), torch.nn.utils.parametrizations.spectral_norm(net.fc)],
}


def network(change: str, trained: bool = True) -> Any:
    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = torch.nn.LSTM(3, 8, batch_first=True), torch.nn.Linear(8, 2)

        def forward(self, x: Any) -> Any:
            return self.fc(self.rnn(x)[0])

    torch.manual_seed(12)
    net = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weight_norm of hooks is deprecated
        CHANGES[change](net)
    if trained:
        for _ in range(3):
            net(torch.randn(2, 5, 3)).square().mean().backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.1 * parameter.grad
    return net.eval()


SAID: dict[str, Any] = {"modules": ["rnn", "fc"], "activations": {"fc": "none"}}


@pytest.mark.filterwarnings("ignore::edge_rnn.errors.ReadingWarning")
@pytest.mark.parametrize("how", ["module", "state_dict", "file"])
@pytest.mark.parametrize("change", CHANGES)
def test_as_pytorch_computes_it(change: str, how: str, tmp_path: Path) -> None:
    net = network(change)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    said = {} if how == "module" else SAID
    model = from_torch({"module": net, "state_dict": net.state_dict(), "file": tmp_path / "net.pt"}[how], **said)
    net.double()(torch.zeros(1, 1, 3, dtype=torch.float64))  # hooks compute the weights before forward
    arrays = model.layers[0].arrays
    np.testing.assert_allclose(arrays["weight_hh"], net.rnn.weight_hh_l0.detach().numpy(), rtol=ROUNDING)
    np.testing.assert_allclose(model.layers[1].arrays["weight"], net.fc.weight.detach().numpy(), rtol=ROUNDING)
    np.testing.assert_allclose(model.layers[1].arrays["bias"], net.fc.bias.detach().numpy(), rtol=ROUNDING)


def test_module_that_was_never_run_is_read() -> None:
    """Its weights have a gradient, and PyTorch does not copy such modules."""
    assert from_torch(network("weight_norm", trained=False)).output_size == 2


def test_parametrization_of_ones_own_is_computed_by_the_module() -> None:
    class Positive(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, weight: Any) -> Any:
            return weight.abs()

    net = network("pruning")
    torch.nn.utils.parametrize.register_parametrization(net.fc, "weight", Positive())
    model = from_torch(net)
    assert np.array_equal(model.layers[1].arrays["weight"], net.fc.weight.detach().numpy())
    with pytest.raises(UnsupportedError, match=r"PyTorch computes its weights .*remove_parametrizations"):
        from_torch(net.state_dict(), **SAID)


def test_dropout_in_training_is_refused_next_to_them() -> None:
    net = torch.nn.Sequential(torch.nn.GRU(3, 4, 2, dropout=0.5))
    torch.nn.utils.parametrizations.weight_norm(net[0], "weight_hh_l0")
    with pytest.raises(UnsupportedError, match=r"drops values in training; call \.eval\(\) on the module"):
        from_torch(net)


def test_half_and_bfloat16_of_a_module() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        net = torch.nn.Sequential(torch.nn.GRU(3, 4)).to(dtype)
        with pytest.warns(ReadingWarning):
            model = from_torch(net.state_dict())
        assert np.array_equal(model.layers[0].arrays["weight_ih"], net[0].weight_ih_l0.detach().float().numpy())
