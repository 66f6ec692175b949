"""Write Keras's activations as ONNX operators: those of layers by name, activation layers, and functions.

References
----------
.. [1] F. Chollet et al., Keras, ``keras/src/activations/activations.py`` and ``keras/src/backend/*/nn.py``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export.readers.keras.emission import At
from edge_rnn_export.readers.keras.options import flag_of, number_of

__all__ = ["ACTIVATION_LAYERS", "FUNCTIONS", "Function", "activation_of", "layer_function"]

Write = Callable[[At, str], str]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """Activation: one ONNX operator with its attributes, or several, which ``write`` adds.

    ``write`` takes the layer and the name of the argument, and returns the name of the result.
    """

    kind: str = ""
    attributes: Mapping[str, float | str] = field(default_factory=dict)
    several: Write | None = None

    @property
    def is_identity(self) -> bool:
        """True if the result is the argument."""
        return not self.kind and self.several is None

    def write(self, at: At, x: str) -> str:
        """Add the operators for the argument ``x``; return the name of the result."""
        if self.several is not None:
            return self.several(at, x)
        return at(self.kind, x, **self.attributes) if self.kind else x


def _one(kind: str, **attributes: float | str) -> Callable[[str, Mapping[str, Any]], Function]:
    return lambda title, config: Function(kind, attributes)


def _several(write: Write) -> Callable[[str, Mapping[str, Any]], Function]:
    return lambda title, config: Function(several=write)


def _with(kind: str, key: str, default: float) -> Callable[[str, Mapping[str, Any]], Function]:
    """Operator with one parameter, ``alpha``, by Keras's name and default."""
    return lambda title, config: Function(kind, {"alpha": number_of(title, config, key, default)})


def _gelu(title: str, config: Mapping[str, Any]) -> Function:
    return Function("Gelu", {"approximate": "tanh" if flag_of(title, config, "approximate", False) else "none"})


def _softmax(kind: str) -> Callable[[str, Mapping[str, Any]], Function]:
    def make(title: str, config: Mapping[str, Any]) -> Function:
        axis = config.get("axis", -1)
        if type(axis) is not int:
            raise UnsupportedError(f"{title} works along the axis {reprlib.repr(axis)}, expected -1.")
        return Function(kind, {"axis": axis})

    return make


def _relu(title: str, config: Mapping[str, Any]) -> Function:
    """``ReLU`` with a slope, a maximum and a threshold, if they are given."""
    # Keras 2 calls the slope alpha in functions.
    slope = number_of(title, config, "negative_slope" if "negative_slope" in config else "alpha", 0.0)
    threshold = number_of(title, config, "threshold", 0.0)
    top = None if config.get("max_value") is None else number_of(title, config, "max_value", 0.0)
    if top is None and not threshold:
        return Function("LeakyRelu", {"alpha": slope}) if slope else Function("Relu")
    if top is None and not slope:
        return Function("ThresholdedRelu", {"alpha": threshold})

    def write(at: At, x: str) -> str:
        above = at("ThresholdedRelu", x, alpha=threshold) if threshold else x
        if top is not None:
            above = at("Clip", above, 0.0, top)
        elif not threshold:
            above = at("Relu", above)
        if not slope:
            return above
        below = at("Relu", at("Sub", threshold, x))
        return at("Sub", above, at("Mul", below, slope))

    return Function(several=write)


def _limited(low: float, high: float) -> Write:
    return lambda at, x: at("Clip", x, low, high)


def _glu(at: At, x: str) -> str:
    left, right = at.several("Split", 2, x, axis=-1, num_outputs=2)
    return at("Mul", left, at("Sigmoid", right))


def _shrink(title: str, config: Mapping[str, Any]) -> Function:
    """``x - t`` above a threshold, ``x + t`` below minus it, 0 between."""
    threshold = _half_width(title, config)

    def write(at: At, x: str) -> str:
        above = at("Relu", at("Sub", x, threshold))
        return at("Sub", above, at("Relu", at("Sub", at("Neg", x), threshold)))

    return Function(several=write)


def _half_width(title: str, config: Mapping[str, Any]) -> float:
    threshold = number_of(title, config, "threshold", 0.5)
    if threshold < 0:
        raise UnsupportedError(f"{title} has the threshold {threshold}, expected 0 or more.")
    return threshold


def _hard_shrink(title: str, config: Mapping[str, Any]) -> Function:
    threshold = _half_width(title, config)

    def write(at: At, x: str) -> str:
        above = at("ThresholdedRelu", x, alpha=threshold)
        return at("Sub", above, at("ThresholdedRelu", at("Neg", x), alpha=threshold))

    return Function(several=write)


def _threshold(title: str, config: Mapping[str, Any]) -> Function:
    """``x`` above a threshold, a number elsewhere; here only 0."""
    if number_of(title, config, "default_value", 0.0):
        raise UnsupportedError(f"{title} gives a number other than 0 below its threshold.")
    return Function("ThresholdedRelu", {"alpha": number_of(title, config, "threshold", 0.0)})


def _squareplus(title: str, config: Mapping[str, Any]) -> Function:
    b = number_of(title, config, "b", 4.0)

    def write(at: At, x: str) -> str:
        root = at("Sqrt", at("Add", at("Mul", x, x), b))
        return at("Mul", at("Add", x, root), 0.5)

    return Function(several=write)


def _sparse_plus(at: At, x: str) -> str:
    """0 below -1, ``(x + 1)^2 / 4`` up to 1, ``x`` above."""
    inner = at("Add", at("Clip", x, -1.0, 1.0), 1.0)
    return at("Add", at("Mul", at("Mul", inner, inner), 0.25), at("Relu", at("Sub", x, 1.0)))


def _hard_sigmoid(title: str, config: Mapping[str, Any]) -> Function:
    return Function("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5})


FUNCTIONS: Mapping[str, Callable[[str, Mapping[str, Any]], Function]] = MappingProxyType(
    {
        "linear": _one(""),
        "tanh": _one("Tanh"),
        "sigmoid": _one("Sigmoid"),
        "relu": _relu,
        "elu": _with("Elu", "alpha", 1.0),
        "softplus": _one("Softplus"),
        "softsign": _one("Softsign"),
        "softmax": _softmax("Softmax"),
        "leaky_relu": _with("LeakyRelu", "negative_slope", 0.2),
        "hard_sigmoid": _hard_sigmoid,
        "relu6": _several(_limited(0.0, 6.0)),
        "selu": _one("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
        "celu": _with("Celu", "alpha", 1.0),
        "gelu": _gelu,
        "silu": _several(lambda at, x: at("Mul", x, at("Sigmoid", x))),
        "hard_silu": _one("HardSwish"),
        "mish": _one("Mish"),
        "exponential": _one("Exp"),
        "log_softmax": _softmax("LogSoftmax"),
        "log_sigmoid": _several(lambda at, x: at("Neg", at("Softplus", at("Neg", x)))),
        "hard_tanh": _several(_limited(-1.0, 1.0)),
        "tanh_shrink": _several(lambda at, x: at("Sub", x, at("Tanh", x))),
        "soft_shrink": _shrink,
        "hard_shrink": _hard_shrink,
        "threshold": _threshold,
        "squareplus": _squareplus,
        "sparse_plus": _several(_sparse_plus),
        "sparse_sigmoid": _one("HardSigmoid", alpha=0.5, beta=0.5),
        "glu": _several(_glu),
    }
)
"""Functions by Keras's names, with their options."""

_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
ACTIVATION_LAYERS = ("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "ThresholdedReLU")
"""Layers that are activations."""


def activation_of(title: str, config: Mapping[str, Any], key: str, version: int) -> Function:
    """Activation named by an option; the identity if it is null or missing.

    Raises
    ------
    UnsupportedError
        It has no counterpart, or the meaning of its name depends on an unknown Keras version.
    FileError
        It is neither a name nor a layer.
    """
    value = config.get(key)
    if value is None:
        return Function()
    if isinstance(value, dict) and value.get("class_name") in ACTIVATION_LAYERS and isinstance(value["config"], dict):
        return layer_function(title, str(value["class_name"]), value["config"], version)
    if isinstance(value, dict):
        raise UnsupportedError(
            f"{title} {key} is the function {reprlib.repr(value.get('config'))} of your own; expected one of "
            f"{', '.join(FUNCTIONS)}."
        )
    if not isinstance(value, str):
        raise FileError(f"{title} {key} got {reprlib.repr(value)}, expected a name.")
    name = _ALIASES.get(value, value)
    if name == "hard_sigmoid" and version not in (1, 2, 3):
        raise UnsupportedError(
            f"{title} {key} is hard_sigmoid, which Keras 2 and 3 compute in two ways, and the file does not say "
            f"which of them wrote it: keras_version is missing or of another kind."
        )
    if name == "hard_sigmoid" and version < 3:
        return Function("HardSigmoid", {"alpha": 0.2, "beta": 0.5})
    if name not in FUNCTIONS:
        raise UnsupportedError(f"{title} {key} got {reprlib.repr(value)}, expected one of {', '.join(FUNCTIONS)}.")
    return FUNCTIONS[name](title, {})


def layer_function(title: str, kind: str, config: Mapping[str, Any], version: int) -> Function:
    """Activation of a layer in :data:`ACTIVATION_LAYERS`."""
    if kind == "Activation":
        return activation_of(title, config, "activation", version)
    if kind == "Softmax":
        return FUNCTIONS["softmax"](title, config)
    if kind == "ELU":
        return FUNCTIONS["elu"](title, config)
    if kind == "ThresholdedReLU":
        return Function("ThresholdedRelu", {"alpha": number_of(title, config, "theta", 1.0)})
    if kind == "LeakyReLU":  # Keras 2 calls the slope alpha
        slope = number_of(title, config, "alpha" if "alpha" in config else "negative_slope", 0.3)
        return Function("LeakyRelu", {"alpha": slope})
    return _relu(title, config)
