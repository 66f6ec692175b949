"""Cells from papers with the weights and outputs that other programs made, in the folder of networks by others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import paper_cells
from edge_rnn import LSTM, Model

__all__ = ["TORCHRECURRENT", "PaperNetwork", "cfc", "fast_grnn", "leaky_elman", "ltc", "torchrecurrent"]

TORCHRECURRENT = {
    "fastrnn": "fast_rnn",
    "fastgrnn": "fast_grnn_of_torchrecurrent",
    "indrnn": "ind_rnn",
    "mgu": "mgu",
    "ligru": "li_gru",
    "minimalrnn": "minimal_rnn",
    "ugrnn": "ugrnn",
    "janet": "janet",
}
"""Functions of ``paper_cells`` by the name of the file; ``"peepholelstm"`` is an LSTM with an option."""


class PaperNetwork(NamedTuple):
    """A cell, and one sequence through it."""

    model: Model
    xs: np.ndarray
    """``(time, I)`` float32."""
    ys: np.ndarray
    """``(time, H)`` float64, of the other program."""


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as kept:
        return {key.removeprefix("p:"): kept[key] for key in kept.files}


def torchrecurrent(models: Path, file: str) -> PaperNetwork:
    """Return a cell of torchrecurrent, by the name of its file."""
    found = _arrays(models / "torchrecurrent" / f"{file}.npz")
    xs, ys = found.pop("x"), found.pop("h")
    found.pop("c", None)
    starts = {key: found.pop(f"{key}0") for key in ("h", "c") if f"{key}0" in found}
    if file == "peepholelstm":
        found["peephole"] = found.pop("weight_ph")
        return PaperNetwork(Model([LSTM(**found, h0=starts["h"], c0=starts["c"])]), xs, ys)
    given = {key: float(value.item()) if value.size == 1 else value for key, value in found.items()}
    layer = getattr(paper_cells, TORCHRECURRENT[file])(**given, **starts)
    return PaperNetwork(Model([layer], input_size=xs.shape[1]), xs, ys)


def fast_grnn(models: Path) -> list[PaperNetwork]:
    """Return the low-rank FastGRNN of EdgeML, with a sequence for each of ten digits."""
    found = _arrays(models / "edgeml-fastgrnn" / "usps.npz")
    layer = paper_cells.fast_grnn(
        w1=found["W1"], w2=found["W2"], u1=found["U1"], u2=found["U2"], b_gate=found["Bg"], b_update=found["Bh"],
        zeta=float(found["sigmoid_zeta"].item()), nu=float(found["sigmoid_nu"].item()),
    )  # fmt: skip
    model = Model([layer], input_size=16)
    scaled = ((found["input"] - found["mean"]) / found["stdDev"]).astype(np.float32)
    return [PaperNetwork(model, xs, states) for xs, states in zip(scaled, found["states"], strict=True)]


def leaky_elman(models: Path, file: str) -> PaperNetwork:
    """Return an echo state network of reservoirpy; its states are known at every 10th step."""
    found = _arrays(models / "reservoirpy" / f"{file}.npz")
    leak = np.broadcast_to(found["lr"], 200).copy()
    layer = paper_cells.leaky_elman(leak=leak, weight_in=found["Win"], weight=found["W"], bias=found["bias"])
    return PaperNetwork(Model([layer]), found["x"].astype(np.float32), found["states"])


def cfc(models: Path, mode: str) -> PaperNetwork:
    """Return a CfC of ncps over uneven steps, which are its last input."""
    found = _arrays(models / "ncps" / f"cfc_{mode}.npz")
    given = {"weight": found["backbone.0.weight"], "bias": found["backbone.0.bias"]}
    parts = {"1": "ff1", "2": "ff2", "a": "time_a", "b": "time_b"}
    for ours, theirs in parts.items():
        if f"{theirs}.weight" in found:
            given |= {f"weight_{ours}": found[f"{theirs}.weight"], f"bias_{ours}": found[f"{theirs}.bias"]}
    if mode == "pure":
        given |= {"w_tau": found["w_tau"][0], "a": found["A"][0]}
    layer = paper_cells.cfc(**given, mode=mode, h=found["h0"], input_size=5)
    return PaperNetwork(Model([layer], input_size=5), _with_time(found), found["y"])


def ltc(models: Path, file: str) -> PaperNetwork:
    """Return an LTC of ncps over uneven steps, which are its last input."""
    found = _arrays(models / "ncps" / f"{file}.npz")
    own, sensory = _pairs(8, 8, found, ""), _pairs(4, 8, found, "sensory_")
    layer = paper_cells.ltc(
        synapses=own[""], synapses_bias=own["_bias"], charge=own["charge"], conductance=own["conductance"],
        sensory=sensory[""], sensory_bias=sensory["_bias"], sensory_charge=sensory["charge"],
        sensory_conductance=sensory["conductance"], capacity=np.log1p(np.exp(found["cm"])),
        leak=np.log1p(np.exp(found["gleak"])), rest=found["vleak"],
        motors=len(found["output_w"]), v=found["h0"],
        **{name: found[name] for name in ("input_w", "input_b", "output_w", "output_b")},
    )  # fmt: skip
    return PaperNetwork(Model([layer], input_size=5), _with_time(found), found["y"])


def _with_time(found: dict[str, Any]) -> np.ndarray:
    return np.column_stack([found["x"], found["dt"]]).astype(np.float32)


def _pairs(before: int, after: int, found: Any, prefix: str) -> dict[str, Any]:
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
