"""Activations of layers, spelled as in :mod:`edge_rnn.activation`, as functions in equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from edge_rnn.activation import parse
from edge_rnn.equations.functions import (
    above,
    elu,
    hard_sigmoid,
    leaky_relu,
    relu,
    sigmoid,
    softplus,
    softsign,
    tanh,
)

__all__ = ["activated"]

_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "none": lambda x: x,
        "tanh": tanh,
        "sigmoid": sigmoid,
        "relu": relu,
        "hard_sigmoid": hard_sigmoid,
        "leaky_relu": leaky_relu,
        "elu": elu,
        "softsign": softsign,
        "softplus": softplus,
        "scaled_tanh": lambda x, alpha, beta: alpha * tanh(beta * x),
        "affine": lambda x, alpha, beta: alpha * x + beta,
        "thresholded_relu": above,
    }
)


def activated(text: str, x: Any, *parameters: Any) -> Any:
    """Apply the activation that ``text`` spells; ``parameters``, if given, replace the numbers in the text."""
    activation = parse(text)
    return _FUNCTIONS[activation.name](x, *(parameters or activation.parameters))
