"""Every kind of layer computed on tensors, a whole sequence at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from edge_rnn.activation import parse
from edge_rnn.errors import UnsupportedError
from edge_rnn.layers import GRU, LSTM, Dense, Elman, Layer
from edge_rnn_export.training.equation import run_equation

__all__ = ["ACTIVATIONS", "run_of"]

Tensors = Mapping[str, Any]
Run = Callable[[Tensors, Any, Tensors], tuple[Any, dict[str, Any]]]
"""``run(parameters, xs, states)``: outputs ``(time, batch, O)`` and new states ``(batch, H)``."""

ACTIVATIONS: Mapping[str, Callable[..., Any]] = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "hard_sigmoid": lambda x, alpha, beta: (alpha * x + beta).clamp(0.0, 1.0),
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "softsign": functional.softsign,
    "softplus": functional.softplus,
    "scaled_tanh": lambda x, alpha, beta: alpha * torch.tanh(beta * x),
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "thresholded_relu": lambda x, alpha: torch.where(x > alpha, x, torch.zeros_like(x)),
}
"""Functions of :data:`edge_rnn.activation.ACTIVATIONS` on tensors."""


def run_of(layer: Layer) -> Run:
    """Return the function that computes a sequence: PyTorch's own cell, the equation, or a layer without states.

    Raises
    ------
    UnsupportedError
        There is no way.
    """
    native = _native(layer)
    if native is not None:
        return native
    if layer.graph is not None:
        return _by_equation(layer)
    if layer.kind not in _STATELESS:
        raise UnsupportedError(f"to_torch got {layer.title}, which PyTorch has no such kind of.")
    function = _STATELESS[layer.kind]
    return lambda values, xs, states: (function(layer, values, xs), {})


def _native(layer: Layer) -> Run | None:
    """PyTorch's own recurrent cell; None where it has none that computes the same."""
    usual: dict[str, Any] = {"gate_clip": None}
    if isinstance(layer, Elman) and layer.activation in ("tanh", "relu"):
        function = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[layer.activation]
    elif isinstance(layer, GRU):
        function = torch.gru
        usual |= {"reset_after": True, "gate_activation": "sigmoid", "candidate_activation": "tanh"}
    elif isinstance(layer, LSTM):
        function = torch.lstm
        usual |= {"peephole": None, "coupled": "none", "cell_clip": None, "projection_clip": None}
        usual |= {"gate_activation": "sigmoid", "cell_activation": "tanh", "output_activation": "tanh"}
    else:
        return None
    given = {name: getattr(layer, name) for name in usual}
    if any(value is not usual[name] if usual[name] is None else value != usual[name] for name, value in given.items()):
        return None

    def run(values: Tensors, xs: Any, states: Tensors) -> tuple[Any, dict[str, Any]]:
        weights = [values["weight_ih"], values["weight_hh"]]
        weights += [values[n] if n in values else xs.new_zeros(len(weights[0])) for n in ("bias_ih", "bias_hh")]
        weights += [values["weight_hr"]] if "weight_hr" in values else []
        before = [state[None].contiguous() for state in states.values()]
        given = before if len(before) > 1 else before[0]
        ys, *after = function(xs, given, weights, True, 1, 0.0, False, False, False)  # biases, layers, …, batch_first
        return ys, {name: state[0] for name, state in zip(states, after, strict=True)}

    return run


def _by_equation(layer: Layer) -> Run:
    graph = layer.graph
    assert graph is not None

    def run(values: Tensors, xs: Any, states: Tensors) -> tuple[Any, dict[str, Any]]:
        constants = {name: layer.fields[name] for name in graph.parameters if name not in values}
        return run_equation(graph, {**values, **{k: xs.new_tensor(v) for k, v in constants.items()}}, xs, states)

    return run


def _dense(layer: Dense, values: Tensors, xs: Any) -> Any:
    sums = functional.linear(xs, values["weight"], values.get("bias"))
    if layer.activation == "softmax":
        return torch.softmax(sums, dim=-1)
    activation = parse(layer.activation)
    return ACTIVATIONS[activation.name](sums, *activation.parameters)


def _embedding(layer: Layer, values: Tensors, xs: Any) -> Any:
    places = xs[..., 0].round().clamp(0, len(values["weight"]) - 1)
    return functional.embedding(places.long(), values["weight"])


_STATELESS: Mapping[str, Callable[[Any, Tensors, Any], Any]] = {
    "Dense": _dense,
    "Embedding": _embedding,
    "Standardize": lambda layer, values, xs: (xs - values["mean"]) / values["scale"],
    "Add": lambda layer, values, xs: xs.unflatten(-1, (len(layer.inputs), -1)).sum(dim=-2),
}
