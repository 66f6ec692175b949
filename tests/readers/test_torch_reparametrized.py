"""Parameters that PyTorch computes from others: folded as it does, from modules, state_dicts and files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import ModelError, ReadingWarning, UnsupportedError
from edge_rnn_export import from_torch
from edge_rnn_export.readers.torch.reparametrized import folded

ROUNDING = 2**-23
"""Two roundings to float32, of numbers that both were computed in float64."""

RNG = np.random.default_rng(1967)
G, V = RNG.uniform(0.5, 2, (6, 1)), RNG.standard_normal((6, 4))
PLAIN: dict[str, tuple[dict[str, np.ndarray], np.ndarray]] = {
    "weight_norm": ({"g": G, "v": V}, np.diag(G[:, 0] / np.linalg.norm(V, axis=1)) @ V),
    "weight_norm of columns": ({"g": G[:4].T, "v": V}, V @ np.diag(G[:4, 0] / np.linalg.norm(V, axis=0))),
    "weight_norm of the whole": ({"g": np.array(3.0), "v": V}, 3 * V / np.linalg.norm(V)),
    "weight_norm of a row": ({"g": G[:1], "v": V[:1]}, G[0] * V[:1] / np.linalg.norm(V[0])),
    "pruning": ({"orig": V, "mask": (V > 0).astype("u1")}, V * (V > 0)),
    "spectral_norm": ({"orig": V, "u": G[:, 0], "v": V[0]}, V / float(G[:, 0] @ V @ V[0])),
    "spectral_norm of columns": ({"orig": V.T, "u": G[:, 0], "v": V[0]}, V.T / float(G[:, 0] @ V @ V[0])),
}  # fmt: skip


@pytest.mark.parametrize("base", ["weight", "rnn.weight_hh_l0", "a.b.bias"])
@pytest.mark.parametrize("case", PLAIN)
def test_names_of_hooks(case: str, base: str) -> None:
    parts, expected = PLAIN[case]
    found, _ = folded({f"{base}_{role}": array for role, array in parts.items()} | {"other": V})
    assert found.keys() == {base, "other"}
    np.testing.assert_allclose(found[base], expected, rtol=1e-14)


@pytest.mark.parametrize("head", ["", "rnn."])
def test_names_of_parametrizations(head: str) -> None:
    inside = f"{head}parametrizations.weight_hh_l0"
    found, notes = folded({f"{inside}.original0": G, f"{inside}.original1": V, f"{head}bias": G})
    assert list(found) == [f"{head}weight_hh_l0", f"{head}bias"]
    np.testing.assert_allclose(found[f"{head}weight_hh_l0"], PLAIN["weight_norm"][1], rtol=1e-14)
    assert notes == [f"'{head}weight_hh_l0' as weight_norm computes it"]
    found, notes = folded({f"{inside}.original": V, f"{inside}.0._u": G[:, 0], f"{inside}.0._v": V[0]})
    np.testing.assert_allclose(found[f"{head}weight_hh_l0"], PLAIN["spectral_norm"][1], rtol=1e-14)
    assert notes == []


def test_spectral_norm_of_a_square_matrix_is_told() -> None:
    _, notes = folded({"fc.weight_orig": V[:4], "fc.weight_u": V[0], "fc.weight_v": V[1]})
    assert notes == ["'fc.weight' as spectral_norm with dim=0 computes it"]


def test_weight_drop_keeps_the_whole_weight() -> None:
    assert list(folded({"rnn.weight_hh_l0_raw": V, "rnn.bias_hh_l0": G})[0]) == ["rnn.bias_hh_l0", "rnn.weight_hh_l0"]
    outer = {"0.weight_hh_l0_raw": V, "0.module.weight_hh_l0": 2 * V, "0.module.weight_ih_l0": V}
    found, _ = folded(outer)
    assert found.keys() == {"0.module.weight_hh_l0", "0.module.weight_ih_l0"}
    assert np.array_equal(found["0.module.weight_hh_l0"], V)


WIDE = {"weight_g": np.ones((2**16, 1)), "weight_v": np.ones((1, 2**16))}
APART: list[dict[str, Any]] = [
    WIDE, {"weight_g": G[:5], "weight_v": V}, {"weight_g": V, "weight_v": V}, {"weight_orig": V, "weight_mask": V[:5]},
    {"weight_orig": V, "weight_u": V[0], "weight_v": V[0]}, {"weight_orig": G[0], "weight_u": G[0], "weight_v": V[0]},
    {"weight_orig": V, "weight_u": G, "weight_v": V},
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(APART)))
def test_shapes_that_do_not_belong_together(case: int) -> None:
    with pytest.raises(ModelError, match=r"shapes that do not belong together: weight_\w+ \("):
        from_torch(APART[case], activations={"": "none"})


@pytest.mark.parametrize("names", [("weight_orig", "weight_u"), ("weight_g",), ("parametrizations.weight.original",)])
def test_other_parametrizations_are_refused_with_the_way_out(names: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError, match=r"PyTorch computes its weights .*remove_parametrizations"):
        from_torch(dict.fromkeys(names, V))


torch = needs.package("torch")


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


@pytest.mark.torch
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


@pytest.mark.torch
def test_module_that_was_never_run_is_read() -> None:
    """Its weights have a gradient, and PyTorch does not copy such modules."""
    assert from_torch(network("weight_norm", trained=False)).output_size == 2


@pytest.mark.torch
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


@pytest.mark.torch
def test_dropout_in_training_is_refused_next_to_them() -> None:
    net = torch.nn.Sequential(torch.nn.GRU(3, 4, 2, dropout=0.5))
    torch.nn.utils.parametrizations.weight_norm(net[0], "weight_hh_l0")
    with pytest.raises(UnsupportedError, match=r"drops values in training; call \.eval\(\) on the module"):
        from_torch(net)


@pytest.mark.torch
def test_half_and_bfloat16_of_a_module() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        net = torch.nn.Sequential(torch.nn.GRU(3, 4)).to(dtype)
        with pytest.warns(ReadingWarning):
            model = from_torch(net.state_dict())
        assert np.array_equal(model.layers[0].arrays["weight_ih"], net[0].weight_ih_l0.detach().float().numpy())
