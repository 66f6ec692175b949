"""Activations of vectors: rational and polynomial approximations, because neither libm nor SVML may be called.

No code uses fast-math flags: a NaN stays a NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.vectors.vector import absolute, bits_shifted_left, fma, keep_above, maximum, minimum

__all__ = [
    "PLAIN",
    "VARIANTS",
    "exp",
    "exp_by",
    "exp_of_any",
    "identity",
    "relu",
    "sigmoid_of_twice",
    "softplus",
    "tanh",
]

# tanh(x) = x P(x^2) / Q(x^2): minimax rational of degree 9/8 for |x| <= 7.7 (relative error 4.5e-9 before rounding),
# used up to 8.02, where it rounds to exactly 1 with fused multiply-add and to 1 - 2^-23 without.
# Error in float32: at most 4.8 units in the last place and 2.9e-7 (5.3 and 2.9e-7 without fused multiply-add).
_LIMIT = np.float32(8.02)
_P1, _P2, _P3, _P4 = (np.float32(p) for p in (0.13462819, 0.0035937482, 2.2281429e-05, 1.5829558e-08))
_Q1, _Q2, _Q3, _Q4 = (np.float32(q) for q in (0.4679615, 0.02624764, 0.00034483723, 8.7528724e-07))
_ONE, _HALF, _ZERO = np.float32(1), np.float32(0.5), np.float32(0)

# exp(x) = 2^k exp(r), r = x - k ln 2 with ln 2 in two parts; exp(r) by its minimax polynomial on |r| <= ln(2)/2.
_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.442695041), np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
_EXP_HIGHEST = np.float32(88.0)  # exp of it is finite, its square infinite
_EXP_LOWEST = np.float32(-87.0)  # exp of it is still a normal number


@helper
def tanh(x: Any) -> Any:
    """``tanh(x)``; exactly -1 and 1 at the infinities, NaN for NaN."""
    x = maximum(-_LIMIT, minimum(_LIMIT, x))
    s = x * x
    p = fma(fma(fma(fma(_P4, s, _P3), s, _P2), s, _P1), s, _ONE)
    q = fma(fma(fma(fma(_Q4, s, _Q3), s, _Q2), s, _Q1), s, _ONE)
    return x * p / q


@helper
def sigmoid_of_twice(half: Any) -> Any:
    """``sigmoid(2 half) = tanh(half) / 2 + 1/2``; weights of its argument are halved when packed, which is exact."""
    return fma(tanh(half), _HALF, _HALF)


@helper
def identity(x: Any) -> Any:
    """``x``."""
    return x


@helper
def relu(x: Any) -> Any:
    """``max(x, 0)``, NaN for NaN."""
    return maximum(_ZERO, x)


def exp_by(multiply_add: Any) -> Any:
    """Make the exponential function, with products and sums by ``multiply_add(a, b, c) = a * b + c``."""

    @helper
    def exp(x: Any) -> Any:
        """``exp(x)`` for ``x <= 0``; ``exp(-87)`` below -87, NaN for NaN."""
        x = maximum(_EXP_LOWEST, x)
        shifted = multiply_add(x, _LOG2_E, _ROUND)
        k = shifted - _ROUND
        r = multiply_add(k, -_LN2_LOW, multiply_add(k, -_LN2_HIGH, x))
        p = multiply_add(r, np.float32(1.9875691500e-4), np.float32(1.3981999507e-3))
        p = multiply_add(p, r, np.float32(8.3334519073e-3))
        p = multiply_add(p, r, np.float32(4.1665795894e-2))
        p = multiply_add(p, r, np.float32(1.6666665459e-1))
        p = multiply_add(p, r, _HALF)
        return bits_shifted_left(shifted, 23, multiply_add(p, r * r, r) + _ONE)

    return exp


exp = exp_by(fma)


@helper
def exp_of_any(x: Any) -> Any:
    """``exp(x)`` as the square of ``exp(x / 2)``, which overflows where it should; ``exp(-174)`` below, NaN for NaN.

    The error is at most 2.5 units in the last place.
    """
    root = exp(minimum(_EXP_HIGHEST, x * _HALF))
    return root * root


@helper
def softplus(x: Any) -> Any:
    """``max(x, 0) + log(1 + u)``, u = exp(-|x|), by ``log(1 + u) = 2 artanh(s)`` with s = u / (2 + u) up to 1/3."""
    u = exp(_ZERO - absolute(x))
    s = u / (u + np.float32(2))
    q = s * s
    p = fma(q, np.float32(2 / 15), np.float32(2 / 13))
    p = fma(p, q, np.float32(2 / 11))
    p = fma(p, q, np.float32(2 / 9))
    p = fma(p, q, np.float32(2 / 7))
    p = fma(p, q, np.float32(2 / 5))
    p = fma(p, q, np.float32(2 / 3))
    p = fma(p, q, np.float32(2))
    return maximum(_ZERO, x) + p * s


PLAIN = {"none": identity, "sigmoid": sigmoid_of_twice, "tanh": tanh, "relu": relu}
"""Activations of Dense layers by name; the sum that a sigmoid is given is half of its argument."""


# ---- with parameters: (x, alpha, beta), all vectors; each activation uses those that it has


@helper
def _hard_sigmoid(x: Any, alpha: Any, beta: Any) -> Any:
    return maximum(_ZERO, minimum(_ONE, x * alpha + beta))


@helper
def _leaky_relu(x: Any, alpha: Any, beta: Any) -> Any:
    return maximum(_ZERO, x) + alpha * minimum(_ZERO, x)


@helper
def _elu(x: Any, alpha: Any, beta: Any) -> Any:
    return maximum(_ZERO, x) + alpha * (exp(minimum(_ZERO, x)) - _ONE)


@helper
def _softsign(x: Any, alpha: Any, beta: Any) -> Any:
    return x / (absolute(x) + _ONE)


@helper
def _softplus(x: Any, alpha: Any, beta: Any) -> Any:
    return softplus(x)


@helper
def _scaled_tanh(x: Any, alpha: Any, beta: Any) -> Any:
    return alpha * tanh(x * beta)


@helper
def _affine(x: Any, alpha: Any, beta: Any) -> Any:
    return x * alpha + beta


@helper
def _thresholded_relu(x: Any, alpha: Any, beta: Any) -> Any:
    return keep_above(x, alpha)


VARIANTS = {
    "hardsigmoid": _hard_sigmoid,
    "leakyrelu": _leaky_relu,
    "elu": _elu,
    "softsign": _softsign,
    "softplus": _softplus,
    "scaledtanh": _scaled_tanh,
    "affine": _affine,
    "thresholdedrelu": _thresholded_relu,
}
"""Other activations ``(x, alpha, beta)`` of Dense layers, by name without underscores."""
