"""Parameters that PyTorch computes from others: folded as it does, from modules, state_dicts and files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import ModelError, UnsupportedError
from edge_rnn_export import from_torch
from edge_rnn_export.readers.torch.reparametrized import folded

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
