"""Cells from papers in a few lines, against values of other programs; everything else follows from the equation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paper_cells
from edge_rnn import Model, Stream, reference
from edge_rnn.layers import Cell
from normals import normal


def assert_gives(layer: Cell, xs: Any, ys: Any, scale: float = 1.0, steps: int | None = None) -> None:
    """Check the equation in float64, and its kernels, over a limited number of steps if it is chaotic."""
    model = Model([layer], input_size=xs.shape[1])
    own, _ = reference.run(model, xs)
    np.testing.assert_allclose(own, ys, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(Stream(model).run(xs[:steps]), ys[:steps], rtol=0, atol=5e-6 * scale)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("fast_rnn", "fastrnn"),
        ("fast_grnn_of_torchrecurrent", "fastgrnn"),
        ("ind_rnn", "indrnn"),
        ("mgu", "mgu"),
        ("li_gru", "ligru"),
        ("minimal_rnn", "minimalrnn"),
        ("ugrnn", "ugrnn"),
        ("janet", "janet"),
    ],
)
@pytest.mark.slow
def test_cell_of_torchrecurrent(name: str, file: str, shared_data: Path) -> None:
    with np.load(shared_data / "models" / "torchrecurrent" / f"{file}.npz") as kept:
        found = {key: kept[key] for key in kept.files}
    xs, ys = found.pop("x"), found.pop("h")
    found.pop("c", None)
    starts = {key: found.pop(f"{key}0") for key in ("h", "c") if f"{key}0" in found}
    given = {key: float(value.item()) if value.size == 1 else value for key, value in found.items()}
    scale, steps = max(1.0, float(np.abs(ys).max())), 30 if file == "fastgrnn" else None
    assert_gives(getattr(paper_cells, name)(**given, **starts), xs, ys, scale, steps)


@pytest.mark.slow
def test_fast_grnn_of_edgeml(shared_data: Path) -> None:
    with np.load(shared_data / "models" / "edgeml-fastgrnn" / "usps.npz") as kept:
        found = {key: kept[key] for key in kept.files}
    layer = paper_cells.fast_grnn(
        w1=found["W1"], w2=found["W2"], u1=found["U1"], u2=found["U2"], b_gate=found["Bg"], b_update=found["Bh"],
        zeta=float(found["sigmoid_zeta"].item()), nu=float(found["sigmoid_nu"].item()),
    )  # fmt: skip
    for image, states in zip(found["input"], found["states"], strict=True):
        xs = (image - found["mean"]) / found["stdDev"]
        assert_gives(layer, xs.astype(np.float32), states)


@pytest.mark.parametrize("file", ["esn", "esn_leaks"])
@pytest.mark.slow
def test_leaky_elman_of_reservoirpy(file: str, shared_data: Path) -> None:
    with np.load(shared_data / "models" / "reservoirpy" / f"{file}.npz") as kept:
        found = {key: kept[key] for key in kept.files}
    leak = np.broadcast_to(found["lr"], 200).copy()
    layer = paper_cells.leaky_elman(leak=leak, weight_in=found["Win"], weight=found["W"], bias=found["bias"])
    model = Model([layer])
    ys = Stream(model).run(found["x"].astype(np.float32))
    np.testing.assert_allclose(ys[::10], found["states"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
@pytest.mark.slow
def test_cfc_of_ncps_over_uneven_time(mode: str, shared_data: Path) -> None:
    with np.load(shared_data / "models" / "ncps" / f"cfc_{mode}.npz") as kept:
        found = {key.removeprefix("p:"): kept[key] for key in kept.files}
    xs = np.column_stack([found["x"], found["dt"]]).astype(np.float32)
    given = {"weight": found["backbone.0.weight"], "bias": found["backbone.0.bias"]}
    parts = {"1": "ff1", "2": "ff2", "a": "time_a", "b": "time_b"}
    for ours, theirs in parts.items():
        if f"{theirs}.weight" in found:
            given |= {f"weight_{ours}": found[f"{theirs}.weight"], f"bias_{ours}": found[f"{theirs}.bias"]}
    if mode == "pure":
        given |= {"w_tau": found["w_tau"][0], "a": found["A"][0]}
    layer = paper_cells.cfc(**given, mode=mode, h=found["h0"], input_size=5)
    assert_gives(layer, xs, found["y"], max(1.0, float(np.abs(found["y"]).max())))


def pairs(before: int, after: int, found: Any, prefix: str) -> dict[str, Any]:
    """Synapses from each of some values to each unit: thresholds and weights."""
    sigma, mu, w, erev = (found[f"{prefix}{name}"].astype(np.float64) for name in ("sigma", "mu", "w", "erev"))
    w = np.log1p(np.exp(w)) * found[f"{prefix}sparsity_mask"]
    opens, ends = np.repeat(np.eye(before), after, axis=0), np.tile(np.eye(after), (1, before))
    return {
        "": opens * sigma.reshape(-1, 1),
        "_bias": -(sigma * mu).reshape(-1),
        "charge": ends * (w * erev).reshape(-1),
        "conductance": ends * w.reshape(-1),
    }


@pytest.mark.parametrize("file", ["ltc", "ltc_ncp"])
@pytest.mark.slow
def test_ltc_of_ncps_over_uneven_time(file: str, shared_data: Path) -> None:
    with np.load(shared_data / "models" / "ncps" / f"{file}.npz") as kept:
        found = {key.removeprefix("p:"): kept[key] for key in kept.files}
    own, sensory = pairs(8, 8, found, ""), pairs(4, 8, found, "sensory_")
    layer = paper_cells.ltc(
        synapses=own[""], synapses_bias=own["_bias"], charge=own["charge"], conductance=own["conductance"],
        sensory=sensory[""], sensory_bias=sensory["_bias"], sensory_charge=sensory["charge"],
        sensory_conductance=sensory["conductance"], capacity=np.log1p(np.exp(found["cm"])),
        leak=np.log1p(np.exp(found["gleak"])), rest=found["vleak"],
        motors=len(found["output_w"]), v=found["h0"],
        **{name: found[name] for name in ("input_w", "input_b", "output_w", "output_b")},
    )  # fmt: skip
    xs = np.column_stack([found["x"], found["dt"]]).astype(np.float32)
    assert_gives(layer, xs, found["y"], max(1.0, float(np.abs(found["y"]).max())))


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
