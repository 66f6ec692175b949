"""Equations of the cells that edge_rnn has kernels for."""

from __future__ import annotations

import dataclasses
from typing import Any

from edge_rnn import cell
from edge_rnn.equations import clip, relu, sigmoid, split, tanh


def plus(a: Any, b: Any) -> Any:
    return a if b is None else a + b


@cell
def elman(p: Any, x: Any, h: Any) -> Any:
    a = plus(p.weight_ih @ x, p.bias_ih) + plus(p.weight_hh @ h, p.bias_hh)
    if p.gate_clip is not None:
        a = clip(a, p.gate_clip)
    h = {"tanh": tanh, "relu": relu}[p.activation](a)
    return h, {"h": h}


@cell
def gru(p: Any, x: Any, h: Any) -> Any:
    x_r, x_z, x_n = split(plus(p.weight_ih @ x, p.bias_ih), 3)
    h_r, h_z, h_n = split(plus(p.weight_hh @ h, p.bias_hh), 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    if not p.reset_after:
        _, _, h_n = split(plus(p.weight_hh @ (r * h), p.bias_hh), 3)
    n = tanh(x_n + r * h_n if p.reset_after else x_n + h_n)
    h = (1 - z) * n + z * h
    return h, {"h": h}


@cell
def lstm(p: Any, x: Any, h: Any, c: Any) -> Any:
    i, f, g, o = split(plus(p.weight_ih @ x, p.bias_ih) + plus(p.weight_hh @ h, p.bias_hh), 4)
    if p.peephole is not None:
        p_i, p_f, p_o = split(p.peephole, 3)
        i, f = i + p_i * c, f + p_f * c
    i, f = sigmoid(i), sigmoid(f)
    if p.coupled == "input":
        i = 1 - f
    elif p.coupled == "forget":
        f = 1 - i
    c = f * c + i * tanh(g)
    if p.cell_clip is not None:
        c = clip(c, p.cell_clip)
    if p.peephole is not None:
        o = o + p_o * c
    h = sigmoid(o) * tanh(c)
    if p.weight_hr is not None:
        h = p.weight_hr @ h
    return h, {"h": h, "c": c}


EQUATIONS = {"Elman": elman, "GRU": gru, "LSTM": lstm}


def as_equation(layer: Any) -> Any:
    """The layer as a Cell with the same arrays and options."""
    own = {name: getattr(layer, name) for name in ("name", "inputs")}
    fields = {each.name: getattr(layer, each.name) for each in dataclasses.fields(layer) if each.name not in own}
    starts = {state: fields.pop(f"{state}0") for state in layer.initial_state}
    return EQUATIONS[layer.kind](
        **own, **{name: start for name, start in starts.items() if start is not None}, **fields
    )
