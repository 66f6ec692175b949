"""Translate TensorFlow's functions in functional models of its Keras 2 to operations of Keras 3.

There ``x * 2.0`` is a layer TFOpLambda with the function ``math.multiply``, and ``x[:, -1]`` a SlicingOpLambda;
arguments behind the first have names.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any

from edge_rnn.errors import FileError
from edge_rnn_export.readers.keras.calls import Call

__all__ = ["LAMBDAS", "translated"]

LAMBDAS = ("TFOpLambda", "SlicingOpLambda")
"""Layers that are functions."""

_BINARY = MappingProxyType(
    {
        "__operators__.add": "Add",
        "math.add": "Add",
        "math.subtract": "Subtract",
        "math.multiply": "Multiply",
        "math.divide": "TrueDivide",
        "math.truediv": "TrueDivide",
        "math.maximum": "Maximum",
        "math.minimum": "Minimum",
        "math.pow": "Power",
        "linalg.matmul": "Matmul",
    }
)
_UNARY = MappingProxyType(
    {
        "identity": "StopGradient",
        "stop_gradient": "StopGradient",
        "math.abs": "Absolute",
        "math.exp": "Exp",
        "math.negative": "Negative",
        "math.reciprocal": "Reciprocal",
        "math.rsqrt": "Rsqrt",
        "math.sigmoid": "Sigmoid",
        "math.softplus": "Softplus",
        "math.sqrt": "Sqrt",
        "math.square": "Square",
        "math.tanh": "Tanh",
        "nn.elu": "Elu",
        "nn.relu": "Relu",
        "nn.relu6": "Relu6",
        "nn.selu": "Selu",
        "nn.sigmoid": "Sigmoid",
        "nn.silu": "Silu",
        "nn.softplus": "Softplus",
        "nn.softsign": "Softsign",
        "nn.tanh": "Tanh",
    }
)
# Operation, and its options by TensorFlow's names.
_WITH_OPTIONS: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {
        "cast": ("Cast", {"dtype": "dtype"}),
        "clip_by_value": ("Clip", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
        "concat": ("Concatenate", {"axis": "axis"}),
        "expand_dims": ("ExpandDims", {"axis": "axis"}),
        "math.reduce_max": ("Max", {"axis": "axis", "keepdims": "keepdims"}),
        "math.reduce_mean": ("Mean", {"axis": "axis", "keepdims": "keepdims"}),
        "math.reduce_min": ("Min", {"axis": "axis", "keepdims": "keepdims"}),
        "math.reduce_sum": ("Sum", {"axis": "axis", "keepdims": "keepdims"}),
        "nn.gelu": ("Gelu", {"approximate": "approximate"}),
        "nn.leaky_relu": ("LeakyRelu", {"alpha": "negative_slope"}),
        "nn.log_softmax": ("LogSoftmax", {"axis": "axis"}),
        "nn.softmax": ("Softmax", {"axis": "axis"}),
        "reshape": ("Reshape", {"shape": "newshape"}),
        "split": ("Split", {"num_or_size_splits": "indices_or_sections", "axis": "axis"}),
        "squeeze": ("Squeeze", {"axis": "axis"}),
        "stack": ("Stack", {"axis": "axis"}),
        "transpose": ("Transpose", {"perm": "axes"}),
        "unstack": ("Unstack", {"axis": "axis"}),
    }
)


def translated(title: str, config: Mapping[str, Any], call: Call) -> tuple[str, dict[str, Any], Call] | None:
    """Operation, its options and its call; None for an unknown function.

    Raises
    ------
    FileError
        An argument is missing.
    """
    function = str(config.get("function"))
    kwargs = {key: value for key, value in call.kwargs.items() if key != "name" and value is not None}
    if function == "__operators__.getitem":
        if kwargs.keys() != {"slice_spec"}:
            raise FileError(f"{title} has no slice_spec.")
        return "GetItem", {}, Call((*call.args, _key(title, kwargs["slice_spec"])))
    if function in _BINARY:
        if len(kwargs) != 1 or not kwargs.keys() < {"y", "b"}:
            raise FileError(f"{title} has the arguments {', '.join(kwargs)[:80]}, expected a second operand.")
        return _BINARY[function], {}, Call((*call.args, *kwargs.values()))
    if function in _UNARY and not kwargs:
        return _UNARY[function], {}, Call(call.args)
    if function not in _WITH_OPTIONS:
        return None
    kind, names = _WITH_OPTIONS[function]
    if not kwargs.keys() <= names.keys():
        return None
    options = {names[key]: value for key, value in kwargs.items()}
    sizes = options.get("indices_or_sections")
    if isinstance(sizes, list) and all(type(size) is int for size in sizes):  # TensorFlow has lengths, Keras places
        options["indices_or_sections"] = list(accumulate(sizes))[:-1]
    return kind, options, Call(call.args)


def _key(title: str, given: Any) -> Any:
    """Key of ``x[key]``: a number, a slice as an object, or a tuple of these."""
    if isinstance(given, dict) and given.get("class_name") == "__tuple__":
        given = given.get("items")
    if isinstance(given, dict) and given.get("class_name") == "__ellipsis__":
        return ...
    if isinstance(given, dict):
        parts = [given.get(key) for key in ("start", "stop", "step")]
        if any(part is not None and type(part) is not int for part in parts):
            raise FileError(f"{title} takes the slice {str(given)[:80]}, expected whole numbers.")
        return slice(*parts)
    return [_key(title, each) for each in given] if isinstance(given, list) else given
