"""Activations of layers: spelling, parameters and bounds.

A name, or a name and its parameters: ``"tanh"``, ``"leaky_relu:0.1"``, ``"hard_sigmoid:0.2:0.5"``. Names, parameters
and defaults are ONNX's [1]_ for its recurrent operators, but ``"none"`` is the identity.

References
----------
.. [1] ONNX operators RNN, GRU, LSTM: https://onnx.ai/onnx/operators/onnx__LSTM.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType

from edge_rnn.spelling import counted

__all__ = ["ACTIVATIONS", "Activation", "bound_of", "is_share", "parse"]

ACTIVATIONS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "none": (),
        "tanh": (),
        "sigmoid": (),
        "relu": (),
        "hard_sigmoid": (0.2, 0.5),
        "leaky_relu": (0.01,),
        "elu": (1.0,),
        "softsign": (),
        "softplus": (),
        "scaled_tanh": (1.0, 1.0),
        "affine": (1.0, 0.0),
        "thresholded_relu": (1.0,),
    }
)
"""Names, and the defaults of alpha and beta for those that have them.

``hard_sigmoid``: ``min(max(alpha x + beta, 0), 1)``; ``leaky_relu``: ``x if x >= 0 else alpha x``; ``elu``:
``x if x >= 0 else alpha (e^x - 1)``; ``softsign``: ``x / (1 + |x|)``; ``softplus``: ``log(1 + e^x)``; ``scaled_tanh``:
``alpha tanh(beta x)``; ``affine``: ``alpha x + beta``; ``thresholded_relu``: ``x if x > alpha else 0``.
"""


@dataclass(frozen=True, slots=True)
class Activation:
    """Activation and its parameters, as many as in :data:`ACTIVATIONS`."""

    name: str
    parameters: tuple[float, ...] = ()

    def __str__(self) -> str:
        given = () if self.parameters == ACTIVATIONS[self.name] else self.parameters
        return ":".join(
            [self.name, *(f"{value:g}" if float(f"{value:g}") == value else repr(value) for value in given)]
        )


def parse(text: str) -> Activation:
    """Parse the spelling of an activation.

    Raises
    ------
    ValueError
        The name is unknown, or the parameters do not fit it.
    """
    name, *given = text.split(":")
    if name not in ACTIVATIONS:
        raise ValueError(f"expected one of {', '.join(map(repr, ACTIVATIONS))}")
    defaults = ACTIVATIONS[name]
    if not given:
        return Activation(name, defaults)
    try:
        values = tuple(float(value) for value in given)
    except ValueError:
        values = (float("nan"),)
    if len(values) != len(defaults) or not all(map(isfinite, values)):
        raise ValueError(
            f"{name} takes {counted(len(defaults), 'parameter')}, finite numbers after colons, or none for the defaults"
        )
    return Activation(name, values)


def bound_of(text: str) -> float | None:
    """Upper bound of the absolute value, or None if unbounded."""
    activation = parse(text)
    if activation.name in ("tanh", "sigmoid", "hard_sigmoid", "softsign"):
        return 1.0
    return abs(activation.parameters[0]) if activation.name == "scaled_tanh" else None


def is_share(text: str) -> bool:
    """True if values are from 0 to 1, as those of gates are meant to be."""
    return parse(text).name in ("sigmoid", "hard_sigmoid")
