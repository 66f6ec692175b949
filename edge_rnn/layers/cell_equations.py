"""Equations of the recurrent cells, as in the papers that the layers' classes cite.

``p`` has the fields of a layer, None for missing ones. Options are resolved when an equation is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from edge_rnn.activation import parse
from edge_rnn.equations.activations import activated
from edge_rnn.equations.functions import clip, split
from edge_rnn.equations.graph import Graph
from edge_rnn.equations.symbols import trace

__all__ = ["Equation", "activation_numbers", "elman", "gru", "lstm", "recorded"]

Equation = Callable[..., Any]
"""``equation(p, x, **states)`` returns the output and a dict of the new states."""


def elman(p: Any, x: Any, h: Any) -> Any:
    """``h' = activation(W_ih x + b_ih + W_hh h + b_hh)``."""
    h = _activated(p, "activation", _plus(p.weight_ih @ x, p.bias_ih) + _plus(p.weight_hh @ h, p.bias_hh))
    return h, {"h": h}


def gru(p: Any, x: Any, h: Any) -> Any:
    """``h' = (1 - z) n + z h``, with the reset gate after the matrix or before it."""
    x_r, x_z, x_n = split(_plus(p.weight_ih @ x, p.bias_ih), 3)
    h_r, h_z, h_n = split(_plus(p.weight_hh @ h, p.bias_hh), 3)
    r = _activated(p, "gate_activation", x_r + h_r)
    z = _activated(p, "gate_activation", x_z + h_z)
    if p.reset_after:
        h_n = r * h_n
    else:
        _, _, h_n = split(_plus(p.weight_hh @ (r * h), p.bias_hh), 3)
    n = _activated(p, "candidate_activation", x_n + h_n)
    h = (1 - z) * n + z * h
    return h, {"h": h}


def lstm(p: Any, x: Any, h: Any, c: Any) -> Any:
    """``c' = f c + i g``, ``h' = o output(c')``; with peepholes, coupled gates, clips and a projection."""
    i, f, g, o = split(_plus(p.weight_ih @ x, p.bias_ih) + _plus(p.weight_hh @ h, p.bias_hh), 4)
    if p.peephole is not None:
        p_i, p_f, p_o = split(p.peephole, 3)
        i, f = i + p_i * c, f + p_f * c
    i, f = _activated(p, "gate_activation", i), _activated(p, "gate_activation", f)
    if p.coupled == "input":
        i = 1 - f
    elif p.coupled == "forget":
        f = 1 - i
    c = _clipped(f * c + i * _activated(p, "cell_activation", g), p.cell_clip)
    if p.peephole is not None:
        o = o + p_o * c
    h = _activated(p, "gate_activation", o) * _activated(p, "output_activation", c, clips=False)
    if p.weight_hr is not None:
        h = _clipped(p.weight_hr @ h, p.projection_clip)
    return h, {"h": h, "c": c}


@lru_cache(maxsize=256)
def recorded(equation: Equation, states: tuple[Any, ...], fields: tuple[Any, ...]) -> Graph:
    """Trace an equation; ``states`` are pairs of name and length, ``fields`` of name and value or shape."""
    given = {name: SimpleNamespace(shape=value) if isinstance(value, tuple) else value for name, value in fields}
    return trace(equation, given, given["weight_ih"].shape[1], dict(states))


def activation_numbers(field: str, text: str) -> dict[str, float]:
    """Make fields of the parameters of a layer's activation, so that other values need no other kernel."""
    return {f"{field}_{number}": value for number, value in enumerate(parse(text).parameters)}


def _plus(a: Any, b: Any) -> Any:
    return a if b is None else a + b


def _clipped(x: Any, limit: Any) -> Any:
    return x if limit is None else clip(x, limit)


def _activated(p: Any, field: str, x: Any, clips: bool = True) -> Any:
    """Clip ``x`` by the layer's gate clip, and apply the activation that a field names."""
    text = getattr(p, field)
    numbers = (getattr(p, name) for name in activation_numbers(field, text))
    return activated(text, _clipped(x, p.gate_clip) if clips else x, *numbers)
