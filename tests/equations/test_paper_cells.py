"""Cells from papers in a few lines, against values of other programs; everything else follows from the equation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paper_cells
import paper_networks
from edge_rnn import Model, Stream, reference
from edge_rnn.layers import Cell
from normals import normal
from paper_networks import TORCHRECURRENT, PaperNetwork


def assert_network(network: PaperNetwork, steps: int | None = None) -> None:
    """Check the equation in float64, and its kernels, over a limited number of steps if it is chaotic."""
    model, xs, ys = network
    scale = max(1.0, float(np.abs(ys).max()))
    own, _ = reference.run(model, xs)
    np.testing.assert_allclose(own, ys, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(Stream(model).run(xs[:steps]), ys[:steps], rtol=0, atol=5e-6 * scale)


def assert_gives(layer: Cell, xs: Any, ys: Any) -> None:
    assert_network(PaperNetwork(Model([layer], input_size=xs.shape[1]), xs, ys))


@pytest.mark.parametrize("file", [*TORCHRECURRENT, "peepholelstm"])
@pytest.mark.slow
def test_cell_of_torchrecurrent(file: str, shared_data: Path) -> None:
    network = paper_networks.torchrecurrent(shared_data / "models", file)
    assert_network(network, 30 if file == "fastgrnn" else None)


@pytest.mark.slow
def test_fast_grnn_of_edgeml(shared_data: Path) -> None:
    for network in paper_networks.fast_grnn(shared_data / "models"):
        assert_network(network)


@pytest.mark.parametrize("file", ["esn", "esn_leaks"])
@pytest.mark.slow
def test_leaky_elman_of_reservoirpy(file: str, shared_data: Path) -> None:
    model, xs, states = paper_networks.leaky_elman(shared_data / "models", file)
    np.testing.assert_allclose(Stream(model).run(xs)[::10], states, rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
@pytest.mark.slow
def test_cfc_of_ncps_over_uneven_time(mode: str, shared_data: Path) -> None:
    assert_network(paper_networks.cfc(shared_data / "models", mode))


@pytest.mark.parametrize("file", ["ltc", "ltc_ncp"])
@pytest.mark.slow
def test_ltc_of_ncps_over_uneven_time(file: str, shared_data: Path) -> None:
    assert_network(paper_networks.ltc(shared_data / "models", file))


@pytest.mark.slow
def test_min_gru_and_min_lstm_are_as_their_paper_has_them() -> None:
    weights = {
        f"{kind}_{gate}": normal(3, *shape) for kind, shape in (("weight", (7, 3)), ("bias", (7,))) for gate in "zfih"
    }
    xs = normal(9, 50, 3)
    wide = {key: value.astype(np.float64) for key, value in weights.items()}
    gate = {key: wide[f"weight_{key}"] @ xs.T.astype(float) + wide[f"bias_{key}"][:, None] for key in "zfih"}
    sigmoid = {key: 1 / (1 + np.exp(-value)) for key, value in gate.items()}
    h, k, ours, theirs = np.zeros(7), np.zeros(7), [], []
    for t in range(50):
        z, f, i = (sigmoid[key][:, t] for key in "zfi")
        h = (1 - z) * h + z * gate["h"][:, t]
        k = f / (f + i) * k + i / (f + i) * gate["h"][:, t]
        ours.append(h)
        theirs.append(k)
    some = {key: weights[key] for key in ("weight_z", "bias_z", "weight_h", "bias_h")}
    assert_gives(paper_cells.min_gru(**some), xs, np.array(ours))
    others = {key: weights[key] for key in ("weight_f", "bias_f", "weight_i", "bias_i", "weight_h", "bias_h")}
    assert_gives(paper_cells.min_lstm(**others), xs, np.array(theirs))


@pytest.mark.slow
def test_layer_norm_lstm_is_as_its_paper_has_it() -> None:
    given = {"weight_ih": normal(0, 28, 3), "weight_hh": normal(1, 28, 7)}
    for seed, part in enumerate(("ih", "hh", "c")):
        size = 7 if part == "c" else 28
        given |= {f"scale_{part}": 1 + normal(seed, size), f"shift_{part}": normal(seed + 5, size)}
    xs = normal(9, 50, 3)
    wide = {key: value.astype(np.float64) for key, value in given.items()}
    h, c, ys = np.zeros(7), np.zeros(7), []

    def normed(values: Any, part: str) -> Any:
        return (values - values.mean()) / np.sqrt(values.var() + 1e-5) * wide[f"scale_{part}"] + wide[f"shift_{part}"]

    for x in xs.astype(np.float64):
        i, f, g, o = np.split(normed(wide["weight_ih"] @ x, "ih") + normed(wide["weight_hh"] @ h, "hh"), 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(normed(c, "c")) / (1 + np.exp(-o))
        ys.append(h)
    assert_gives(paper_cells.layer_norm_lstm(**given), xs, np.array(ys))
