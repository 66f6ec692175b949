"""Plain NumPy, optimized for speed: one product per matrix, all results in preallocated memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edge_rnn.model import Model
from edge_rnn.typing import F32
from edge_rnn_export.rivals.rival import Rival, Step, chain

__all__ = ["numpy_rivals"]


def numpy_rivals(model: Model) -> Iterator[Rival]:
    """One rival for steps only, since NumPy has no separate form for sequences."""
    layers = chain(model, *_STEPS)

    def start() -> Step:
        steps = [_STEPS[layer.kind](layer) for layer in layers]

        def step(x: F32) -> F32:
            for each in steps:
                x = each(x)
            return x

        return step

    yield Rival("NumPy", np.__version__, "one np.dot per matrix, out= everywhere", start)


def _elman(layer: Any) -> Step:
    size = layer.hidden_size
    weight, bias = np.hstack([layer.weight_ih, layer.weight_hh]), _bias(layer)
    (h, xh), total = _state(layer), np.empty(size, np.float32)
    x_in, dot, add, tanh, maximum = xh[:-size], np.dot, np.add, np.tanh, np.maximum
    relu = layer.activation == "relu"

    def step(x: F32) -> F32:
        x_in[:] = x
        dot(weight, xh, out=total)
        add(total, bias, out=total)
        if relu:
            maximum(total, 0, out=h)
        else:
            tanh(total, out=h)
        return h

    return step


def _gru(layer: Any) -> Step:
    size = layer.hidden_size
    halves = np.repeat(np.array([0.5, 0.5, 1], np.float32), size)[:, None]  # sigmoid(2 a) = tanh(a) / 2 + 1 / 2
    weight_ih, weight_hh = layer.weight_ih * halves, layer.weight_hh * halves
    bias_ih, bias_hh = ((_one_bias(layer, name) * halves[:, 0]) for name in ("bias_ih", "bias_hh"))
    h: F32 = layer.initial_state["h"].copy()
    gi, gh, rh, rz = (np.empty(rows, np.float32) for rows in (3 * size, 3 * size, size, 2 * size))
    r, z, gi_rz, gh_rz, gi_n, gh_n = (
        rz[:size],
        rz[size:],
        gi[: 2 * size],
        gh[: 2 * size],
        gi[2 * size :],
        gh[2 * size :],
    )
    matrix_r, matrix_n = weight_hh[: 2 * size], weight_hh[2 * size :]
    bias_r, bias_n = bias_hh[: 2 * size], bias_hh[2 * size :]
    dot, add, multiply, subtract, tanh = np.dot, np.add, np.multiply, np.subtract, np.tanh
    half = np.float32(0.5)

    def gates() -> None:
        add(gi_rz, gh_rz, out=rz)
        tanh(rz, out=rz)
        multiply(rz, half, out=rz)
        add(rz, half, out=rz)

    def finish(candidate: F32) -> F32:
        add(gi_n, candidate, out=candidate)
        tanh(candidate, out=candidate)
        subtract(h, candidate, out=h)  # n + z (h - n)
        multiply(h, z, out=h)
        add(h, candidate, out=h)
        return h

    def after(x: F32) -> F32:
        dot(weight_ih, x, out=gi)
        add(gi, bias_ih, out=gi)
        dot(weight_hh, h, out=gh)
        add(gh, bias_hh, out=gh)
        gates()
        multiply(r, gh_n, out=gh_n)
        return finish(gh_n)

    def before(x: F32) -> F32:
        dot(weight_ih, x, out=gi)
        add(gi, bias_ih, out=gi)
        dot(matrix_r, h, out=gh_rz)
        add(gh_rz, bias_r, out=gh_rz)
        gates()
        multiply(r, h, out=rh)
        dot(matrix_n, rh, out=gh_n)
        add(gh_n, bias_n, out=gh_n)
        return finish(gh_n)

    return after if layer.reset_after else before


def _lstm(layer: Any) -> Step:
    size = layer.hidden_size
    order = np.concatenate([np.arange(2 * size), np.arange(3 * size, 4 * size), np.arange(2 * size, 3 * size)])
    halves = np.repeat(
        np.array([0.5, 0.5, 0.5, 1], np.float32), size
    )  # gate order i f o g, so that the sigmoids are contiguous
    weight = np.hstack([layer.weight_ih, layer.weight_hh])[order] * halves[:, None]
    bias = _bias(layer)[order] * halves
    (h, xh), c = _state(layer), layer.initial_state["c"].copy()
    gates, tanh_c = np.empty(4 * size, np.float32), np.empty(size, np.float32)
    sigmoids, (i, f, o, g) = gates[: 3 * size], np.split(gates, 4)
    x_in, dot, add, multiply, tanh = xh[:-size], np.dot, np.add, np.multiply, np.tanh
    half = np.float32(0.5)

    def step(x: F32) -> F32:
        x_in[:] = x
        dot(weight, xh, out=gates)
        add(gates, bias, out=gates)
        tanh(gates, out=gates)
        multiply(sigmoids, half, out=sigmoids)
        add(sigmoids, half, out=sigmoids)
        multiply(f, c, out=c)
        multiply(i, g, out=g)
        add(c, g, out=c)
        tanh(c, out=tanh_c)
        multiply(o, tanh_c, out=h)
        return h

    return step


def _dense(layer: Any) -> Step:
    weight, activation = layer.weight, layer.activation
    y = np.empty(len(weight), np.float32)
    bias = np.zeros_like(y) if layer.bias is None else layer.bias
    dot, add = np.dot, np.add

    def affine(x: F32) -> F32:
        dot(weight, x, out=y)
        add(y, bias, out=y)
        return y

    if activation == "none":
        return affine
    finish = _ACTIVATIONS[activation]
    return lambda x: finish(affine(x))


def _standardize(layer: Any) -> Step:
    y, mean, scale = np.empty_like(layer.mean), layer.mean, layer.scale
    return lambda x: np.divide(np.subtract(x, mean, out=y), scale, out=y)


def _softmax(y: F32) -> F32:
    np.exp(np.subtract(y, y.max(), out=y), out=y)
    np.divide(y, y.sum(), out=y)
    return y


def _sigmoid(y: F32) -> F32:
    half = np.float32(0.5)
    np.tanh(np.multiply(y, half, out=y), out=y)
    return np.add(np.multiply(y, half, out=y), half, out=y)


def _state(layer: Any) -> tuple[F32, F32]:
    """Return ``h`` as a view of ``[x | h]``, and the whole array."""
    initial = layer.initial_state["h"]
    whole = np.zeros(layer.weight_ih.shape[1] + len(initial), np.float32)
    h = whole[-len(initial) :]
    h[:] = initial
    return h, whole


def _bias(layer: Any) -> F32:
    return _one_bias(layer, "bias_ih") + _one_bias(layer, "bias_hh")


def _one_bias(layer: Any, name: str) -> F32:
    given = getattr(layer, name)
    return np.zeros(len(layer.weight_ih), np.float32) if given is None else given


_ACTIVATIONS: dict[str, Step] = {
    "relu": lambda y: np.maximum(y, 0, out=y),
    "tanh": lambda y: np.tanh(y, out=y),
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}
_STEPS: dict[str, Callable[[Any], Step]] = {
    "Elman": _elman,
    "GRU": _gru,
    "LSTM": _lstm,
    "Dense": _dense,
    "Standardize": _standardize,
}
