"""Write Keras's normalizations as ONNX operators."""

from __future__ import annotations

from math import prod

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.keras.emission import At, Tensor
from edge_rnn_export.readers.keras.options import axes_of, count_of, flag_of, number_of, numbers_of

__all__ = ["batch_normalization", "group_normalization", "layer_normalization", "normalization"]
__all__ += ["rescaling", "rms_normalization", "unit_normalization", "unit_normalized"]

EPSILON = 1e-7
"""Keras's default ``keras.config.epsilon()``: the smallest standard deviation that Normalization divides by."""

MAX_GROUPS = 256
"""Maximum number of groups of a GroupNormalization."""


def batch_normalization(at: At, x: Tensor) -> Tensor:
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, with the moving mean and variance."""
    axes = axes_of(at.title, at.config.get("axis", -1), len(x.shape))
    if len(axes) != 1 or axes[0] == 0:
        raise at.refuse(f"it works along the axes {axes} of the shape {x.shape}, expected one.")
    size = x.shape[axes[0]]
    if size is None:
        raise at.refuse(f"it works along the axis {axes[0]} of the shape {x.shape}, expected the features.")
    options = [("gamma", "scale"), ("beta", "center")]
    names = [name for name, option in options if flag_of(at.title, at.config, option, True)]
    names += ["moving_mean", "moving_variance"]
    arrays = dict(zip(names, at.arrays(*names), strict=True))
    for name, array in arrays.items():
        at.check_shape(name, array, (size,))
    mean, variance = (arrays[name].astype(np.float64) for name in ("moving_mean", "moving_variance"))
    gamma, beta = arrays.get("gamma", np.ones_like(mean)), arrays.get("beta", np.zeros_like(mean))
    epsilon = number_of(at.title, at.config, "epsilon", 1e-3)
    if not (variance + epsilon > 0).all():
        raise FileError(f"{at.title} moving_variance holds a negative number or NaN.")
    order = list(range(len(x.shape)))
    order.insert(1, order.pop(axes[0]))  # ONNX has the features on axis 1
    moved = x.name if order == sorted(order) else at("Transpose", x, perm=order)
    made = at("BatchNormalization", moved, gamma, beta, mean, variance, epsilon=epsilon)
    back = made if order == sorted(order) else at("Transpose", made, perm=[int(axis) for axis in np.argsort(order)])
    return Tensor(back, x.shape)


def layer_normalization(at: At, x: Tensor) -> Tensor:
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, with the mean and variance of each step's features."""
    if flag_of(at.title, at.config, "rms_scaling", False):
        raise at.refuse("it has rms_scaling=True, which Keras no longer recommends; expected RMSNormalization.")
    first, shape = _trailing(at, x)
    options = [("gamma", "scale"), ("beta", "center")]
    names = [name for name, option in options if flag_of(at.title, at.config, option, True)]
    arrays = dict(zip(names, at.arrays(*names), strict=True))
    for name, array in arrays.items():
        at.check_shape(name, array, shape)
    known = tuple(1 if length is None else length for length in shape)
    scale = arrays.get("gamma", np.ones(known, np.float32))
    beta = [arrays["beta"]] if "beta" in arrays else []
    epsilon = number_of(at.title, at.config, "epsilon", 1e-3)
    return Tensor(at("LayerNormalization", x, scale, *beta, axis=first, epsilon=epsilon), x.shape)


def rms_normalization(at: At, x: Tensor) -> Tensor:
    """``scale x / sqrt(mean of x^2 + epsilon)``, with the mean over each step's features."""
    first, shape = _trailing(at, x)
    (scale,) = at.arrays("scale")
    at.check_shape("scale", scale, shape)
    epsilon = number_of(at.title, at.config, "epsilon", 1e-6)
    return Tensor(at("RMSNormalization", x, scale, axis=first, epsilon=epsilon), x.shape)


def _trailing(at: At, x: Tensor) -> tuple[int, tuple[int | None, ...]]:
    """First of the axes that a layer normalizes over, which must be the last ones, and their lengths."""
    rank = len(x.shape)
    axes = sorted(axes_of(at.title, at.config.get("axis", -1), rank))
    if axes != list(range(axes[0], rank)) or axes[0] == 0:
        raise at.refuse(f"it works along the axes {axes} of the shape {x.shape}, expected the last ones.")
    return axes[0], x.shape[axes[0] :]


def unit_normalization(at: At, x: Tensor) -> Tensor:
    """``x / max(sqrt(sum of x^2), 1e-12)`` over each step's features; in Keras 2 the sum is 1e-12 at least."""
    return unit_normalized(at, x, 1e-12 if at.version >= 3 else 1e-6)


def unit_normalized(at: At, x: Tensor, epsilon: float) -> Tensor:
    """``x`` divided by its length, or by ``epsilon`` if that is larger."""
    axes = axes_of(at.title, at.config.get("axis", -1), len(x.shape))
    norm = at("Sqrt", at("ReduceSum", at("Mul", x, x), axes, keepdims=1))
    return Tensor(at("Div", x, at("Max", norm, number_of(at.title, at.config, "epsilon", epsilon))), x.shape)


def group_normalization(at: At, x: Tensor) -> Tensor:
    """Normalize groups of features to mean 0 and variance 1; only of single steps, as it mixes the others."""
    axis = axes_of(at.title, at.config.get("axis", -1), len(x.shape))
    if len(x.shape) != 2 or axis != [1] or not x.size:
        raise at.refuse(
            f"it normalizes over all steps of a sequence of the shape {x.shape}, and a stream holds one at a time; "
            f"LayerNormalization works step by step, and so does TimeDistributed(GroupNormalization())."
        )
    groups = x.size if at.config.get("groups") == -1 else count_of(at.title, at.config, "groups")
    if x.size % groups or groups > MAX_GROUPS:
        raise FileError(f"{at.title} has {groups} groups of {x.size} values, expected a divisor, {MAX_GROUPS} at most.")
    options = [("gamma", "scale"), ("beta", "center")]
    names = [name for name, option in options if flag_of(at.title, at.config, option, True)]
    arrays = dict(zip(names, at.arrays(*names), strict=True))
    for name, array in arrays.items():
        at.check_shape(name, array, (x.size,))
    ones, epsilon = np.ones(x.size // groups, np.float32), number_of(at.title, at.config, "epsilon", 1e-3)
    parts = at.several("Split", groups, x, axis=1, num_outputs=groups) if groups > 1 else (x.name,)
    made = [at("LayerNormalization", part, ones, axis=1, epsilon=epsilon) for part in parts]
    y = at("Concat", *made, axis=1) if groups > 1 else made[0]
    if "gamma" in arrays:
        y = at("Mul", y, arrays["gamma"])
    return Tensor(at("Add", y, arrays["beta"]) if "beta" in arrays else y, x.shape)


def normalization(at: At, x: Tensor) -> Tensor:
    """``(x - mean) / max(sqrt(variance), epsilon)``, or with ``invert`` its inverse."""
    axis = at.config.get("axis", -1)
    axes = [] if axis is None else axes_of(at.title, axis, len(x.shape))
    given = [at.config.get("mean"), at.config.get("variance")]
    if given == [None, None]:
        mean, variance = at.arrays("mean", "variance", "-count")
    else:
        mean, variance = (numbers_of(at.title, "mean or variance", value) for value in given)
    wanted = [length if place in axes else 1 for place, length in enumerate(x.shape)]
    arrays = [_along(at, name, array, wanted) for name, array in (("mean", mean), ("variance", variance))]
    if not (arrays[1] >= 0).all():
        raise FileError(f"{at.title} variance holds a negative number or NaN.")
    scale = np.maximum(np.sqrt(arrays[1]), EPSILON)
    if flag_of(at.title, at.config, "invert", False):
        return Tensor(at("Add", at("Mul", x, scale), arrays[0]), x.shape)
    return Tensor(at("Div", at("Sub", x, arrays[0]), scale), x.shape)


def _along(at: At, name: str, array: AnyArray, wanted: list[int | None]) -> AnyArray:
    """Array with the lengths of the axes that it belongs to, and 1 elsewhere."""
    wide = array.astype(np.float64)
    if wide.size == 1:
        return wide.reshape(())
    if None in wanted or wide.size != prod(length or 0 for length in wanted):
        raise FileError(f"{at.title} {name} got shape {array.shape}, expected {tuple(wanted)}, from its input.")
    return wide.reshape([length or 0 for length in wanted])


def rescaling(at: At, x: Tensor) -> Tensor:
    """``scale x + offset``."""
    scale, offset = (
        numbers_of(at.title, key, at.config.get(key, start)) for key, start in (("scale", 1), ("offset", 0))
    )
    for name, array in (("scale", scale), ("offset", offset)):
        if array.ndim > 1 or array.size not in (1, x.size):
            raise FileError(f"{at.title} {name} got shape {array.shape}, expected a number or one per feature.")
    y = at("Mul", x, scale)
    return Tensor(at("Add", y, offset) if offset.any() else y, x.shape)
