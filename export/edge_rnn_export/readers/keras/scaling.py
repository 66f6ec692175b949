"""Read Keras's Normalization and BatchNormalization as scalings, computed in float64."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn.layers import Standardize
from edge_rnn.typing import F64
from edge_rnn_export.readers.keras.cells import check_shape
from edge_rnn_export.readers.keras.graph import Node
from edge_rnn_export.readers.keras.options import flag_of, number_of
from edge_rnn_export.readers.keras.reading import Reading, check_axis
from edge_rnn_export.readers.keras.wiring import Flow

__all__ = ["batch_normalization", "normalization"]


EPSILON = 1e-7
"""Keras's default ``keras.config.epsilon()``: the smallest standard deviation that Normalization divides by."""


def batch_normalization(reading: Reading, node: Node, flow: Flow) -> Flow:
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, with the moving mean and variance."""
    title, config = node.title, node.config
    check_axis(node, config.get("axis", -1), flow)
    names = [each for each, option in (("gamma", "scale"), ("beta", "center")) if flag_of(title, config, option, True)]
    names += ["moving_mean", "moving_variance"]
    arrays = dict(zip(names, reading.arrays(node, *names), strict=True))
    for name, array in arrays.items():
        check_shape(title, name, array, (flow.size,))
    variance = arrays["moving_variance"] + number_of(title, config, "epsilon", 1e-3)
    if not (variance > 0).all():
        raise FileError(f"{title} moving_variance holds a negative number or NaN.")
    gain = arrays.get("gamma", 1.0) / np.sqrt(variance)
    return reading.wiring.scaled(flow, gain, arrays.get("beta", 0.0) - arrays["moving_mean"] * gain)


def normalization(reading: Reading, node: Node, flow: Flow) -> Flow:
    """``(x - mean) / max(sqrt(variance), epsilon)``, or with ``invert`` its inverse."""
    title, config = node.title, node.config
    axis = config.get("axis", -1)
    if axis not in (None, []):
        check_axis(node, axis, flow)
    given = [config.get("mean"), config.get("variance")]
    if given == [None, None]:
        mean, variance = reading.arrays(node, "mean", "variance", "-count")
    else:
        mean, variance = (_numbers(title, value) for value in given)
    for name, array in (("mean", mean), ("variance", variance)):
        if array.size != 1:
            check_shape(title, name, array.reshape(-1), (flow.size,))
    mean, variance = (np.broadcast_to(array.reshape(-1), (flow.size,)) for array in (mean, variance))
    if not (variance >= 0).all():
        raise FileError(f"{title} variance holds a negative number or NaN.")
    scale = np.maximum(np.sqrt(variance), EPSILON)
    if flag_of(title, config, "invert", False):
        return reading.wiring.scaled(flow, scale, mean)
    if flow.gain is not None:
        return reading.wiring.scaled(flow, 1 / scale, -mean / scale)
    make: Any = Standardize
    return reading.wiring.append(make(mean, scale, **reading.wiring.place(node.name, flow)), flow, flow.size)


def _numbers(title: str, value: Any) -> F64:
    """Mean or variance from an option: a number or a list of numbers."""
    if isinstance(value, dict):
        value = value.get("value", value.get("config"))
        value = value.get("value") if isinstance(value, dict) else value
    entries = value if isinstance(value, list) else [value]
    while len(entries) == 1 and isinstance(entries[0], list):
        entries = entries[0]
    numbers = [float(each) for each in entries if type(each) in (int, float) and abs(each) < 1e30]
    if not numbers or len(numbers) < len(entries):
        raise FileError(f"{title} mean or variance got {reprlib.repr(value)}, expected numbers.")
    return np.array(numbers)
