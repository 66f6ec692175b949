"""Natural logarithm of vectors, for any float32.

Zero, subnormal numbers and infinity are recognized by their bits, so that it also works where a CPU flushes subnormal
numbers to zero.
"""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.vectors.vector import exponents, fma, significands

__all__ = ["log", "log_by"]

# log(1 + f) = f - f^2 / 2 + f^3 P(f): minimax polynomial for 1 + f from sqrt(1/2) to sqrt(2), relative error 6.5e-9.
_P0, _P1, _P2, _P3 = (np.float32(p) for p in (0.3333333, -0.2500082, 0.20001227, -0.16623357))
_P4, _P5, _P6, _P7 = (np.float32(p) for p in (0.14201757, -0.13160183, 0.12761582, -0.076345004))
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # the first times an exponent is exact
_ONE, _MINUS_HALF = np.float32(1), np.float32(-0.5)
_LEAST_NORMAL, _INFINITY = 0x00800000, 0x7F800000


def _integers(vector: Any, value: int) -> Any:
    return ir.Constant(ir.VectorType(llvm.I32, vector.lanes), [value] * vector.lanes)


def _floats(vector: Any, value: float) -> Any:
    return ir.Constant(ir.VectorType(llvm.F32, vector.lanes), [value] * vector.lanes)


@intrinsic
def _normalized(typing_context: Any, x: Any) -> Any:
    """Split positive numbers into a normal number and 0, or -149 where the number is times 2^-149."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = _integers(x, 0)
        bits = builder.bitcast(args[0], zero.type)
        is_subnormal = builder.icmp_signed("<", bits, _integers(x, _LEAST_NORMAL))
        number = builder.select(is_subnormal, builder.sitofp(bits, args[0].type), args[0])
        exponent = builder.select(is_subnormal, _floats(x, -149.0), _floats(x, 0.0))
        return context.make_tuple(builder, sig.return_type, [number, exponent])

    return types.UniTuple(x, 2)(x), generate


@intrinsic
def _at_the_ends(typing_context: Any, x: Any, finite: Any) -> Any:
    """Lanewise ``finite`` for finite ``x > 0``; infinity and NaN unchanged, -infinity for zeros, NaN below zero."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = _integers(x, 0)
        bits = builder.bitcast(args[0], zero.type)
        is_zero = builder.icmp_signed("==", builder.shl(bits, _integers(x, 1)), zero)
        outside = builder.select(is_zero, _floats(x, -inf), _floats(x, nan))
        inside = builder.select(builder.icmp_signed("<", bits, _integers(x, _INFINITY)), args[1], args[0])
        return builder.select(builder.icmp_signed(">", bits, zero), inside, outside)

    return x(x, finite), generate


def log_by(multiply_add: Any) -> Any:
    """Make ``log(k, m) = k log(2) + log(m)``, with products and sums by ``multiply_add(a, b, c) = a * b + c``.

    Any ``m`` is from sqrt(1/2) to sqrt(2). The error is at most 0.9 units in the last place.
    """

    @helper
    def log(k: Any, m: Any) -> Any:
        f = m - _ONE
        square = f * f
        p = multiply_add(_P7, f, _P6)
        p = multiply_add(p, f, _P5)
        p = multiply_add(p, f, _P4)
        p = multiply_add(p, f, _P3)
        p = multiply_add(p, f, _P2)
        p = multiply_add(p, f, _P1)
        p = multiply_add(p, f, _P0)
        rest = multiply_add(_MINUS_HALF, square, multiply_add(k, _LN2_LOW, p * f * square))
        return multiply_add(k, _LN2_HIGH, f + rest)

    return log


_log = log_by(fma)


@helper
def log(x: Any) -> Any:
    """``log(x)``, for subnormal numbers too; -infinity for 0, NaN for numbers below 0."""
    number, exponent = _normalized(x)
    return _at_the_ends(x, _log(exponents(number) + exponent, significands(number)))
