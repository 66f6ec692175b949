"""Read options of Keras's layers: numbers, and activations as :mod:`edge_rnn.activation` spells them."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from math import isfinite
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError

__all__ = ["activation_of", "flag_of", "layer_activation", "number_of"]

_NAMES = {
    "linear": "none",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "elu": "elu",
    "softplus": "softplus",
    "softsign": "softsign",
    "softmax": "softmax",
    "leaky_relu": "leaky_relu:0.2",  # default of the function; the layer has another one
}
_HARD_SIGMOID = {2: "hard_sigmoid:0.2:0.5", 3: f"hard_sigmoid:{1 / 6!r}:0.5"}
_LAYERS = ("ReLU", "LeakyReLU", "ELU", "Softmax", "ThresholdedReLU", "Activation")


def activation_of(title: str, config: Mapping[str, Any], key: str, version: int) -> str:
    """Activation named by an option; ``"none"`` if it is null or missing.

    Raises
    ------
    UnsupportedError
        It has no counterpart, or the meaning of its name depends on an unknown Keras version.
    FileError
        It is neither a name nor a layer.
    """
    value = config.get(key)
    if value is None:
        return "none"
    if isinstance(value, dict) and value.get("class_name") in _LAYERS and isinstance(value.get("config"), dict):
        return layer_activation(title, str(value["class_name"]), value["config"], version)
    if isinstance(value, dict):
        raise UnsupportedError(
            f"{title} {key} is the function {reprlib.repr(value.get('config'))} of your own; expected one of "
            f"{', '.join(_NAMES)}, hard_sigmoid."
        )
    if not isinstance(value, str):
        raise FileError(f"{title} {key} got {reprlib.repr(value)}, expected a name.")
    if value == "hard_sigmoid":
        if version not in _HARD_SIGMOID:
            raise UnsupportedError(
                f"{title} {key} is hard_sigmoid, which Keras 2 and 3 compute in two ways, and the file does not say "
                f"which of them wrote it: keras_version is missing or of another kind."
            )
        return _HARD_SIGMOID[version]
    if value not in _NAMES:
        raise UnsupportedError(
            f"{title} {key} got {reprlib.repr(value)}, expected one of {', '.join(_NAMES)}, hard_sigmoid."
        )
    return _NAMES[value]


def layer_activation(title: str, kind: str, config: Mapping[str, Any], version: int) -> str:
    """Activation of an activation layer: Activation, ReLU, LeakyReLU, ELU, Softmax or (Keras 2) ThresholdedReLU."""
    if kind == "Activation":
        return activation_of(title, config, "activation", version)
    if kind == "Softmax":
        if config.get("axis", -1) != -1:
            raise UnsupportedError(f"{title} works along the axis {reprlib.repr(config['axis'])}, expected -1.")
        return "softmax"
    if kind == "ELU":
        return f"elu:{number_of(title, config, 'alpha', 1.0)!r}"
    if kind == "ThresholdedReLU":
        return f"thresholded_relu:{number_of(title, config, 'theta', 1.0)!r}"
    if kind == "LeakyReLU":
        # Keras 2 calls the slope alpha.
        return f"leaky_relu:{number_of(title, config, 'alpha' if 'alpha' in config else 'negative_slope', 0.3)!r}"
    if config.get("max_value") is not None or number_of(title, config, "threshold", 0.0) != 0:
        raise UnsupportedError(f"{title} has a max_value or a threshold; expected neither.")
    slope = number_of(title, config, "negative_slope", 0.0)
    return f"leaky_relu:{slope!r}" if slope else "relu"


def number_of(title: str, config: Mapping[str, Any], key: str, default: float) -> float:
    """Number among the options; null counts as missing."""
    value = config.get(key)
    if isinstance(value, dict) and value.get("type") == "ndarray":  # as Keras 2 wrote some of them
        value = value.get("value")
    if value is None:
        return default
    if type(value) not in (int, float) or not isfinite(value) or abs(value) > 1e30:
        raise FileError(f"{title} {key} got {reprlib.repr(value)}, expected a number.")
    return float(value)


def flag_of(title: str, config: Mapping[str, Any], key: str, default: bool) -> bool:
    """Boolean among the options."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise FileError(f"{title} {key} got {reprlib.repr(value)}, expected true or false.")
    return value
