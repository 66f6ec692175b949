"""Error function of vectors: polynomials for sizes up to 1 and above."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.vectors.activations import exp
from edge_rnn.kernels.vectors.vector import absolute, fma, minimum

__all__ = ["erf"]

# erf(x) = x + x P(x^2) for |x| <= 1: minimax polynomial, relative error 2.8e-9.
_P0, _P1, _P2, _P3 = (np.float32(p) for p in (0.12837917, -0.37612626, 0.11283585, -0.026853813))
_P4, _P5, _P6 = (np.float32(p) for p in (0.0051883283, -0.0008010197, 7.853871e-05))
# erf(x) = 1 - exp(Q(x)) from 1 to 4, where it rounds to 1: minimax polynomial, relative error 5.8e-9.
_Q0, _Q1, _Q2, _Q3 = (np.float32(q) for q in (-0.00034152175, -1.1270891, -0.63814485, -0.10310676))
_Q4, _Q5, _Q6 = (np.float32(q) for q in (0.021838067, -0.0029476590, 0.00018637925))
_ONE, _LIMIT = np.float32(1), np.float32(4)


@intrinsic
def _by_size(typing_context: Any, x: Any, near: Any, far: Any) -> Any:
    """Lanewise ``near`` where ``|x|`` is at most 1 or NaN, else ``far`` with the sign of ``x``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, inner, outer = args
        integers = ir.VectorType(llvm.I32, x.lanes)
        sign = builder.and_(builder.bitcast(value, integers), ir.Constant(integers, [-(2**31)] * x.lanes))
        signed = builder.bitcast(builder.or_(builder.bitcast(outer, integers), sign), value.type)
        size = builder.call(llvm.fabs(builder, value.type), [value])
        is_far = builder.fcmp_ordered(">", size, ir.Constant(value.type, [1.0] * x.lanes))
        return builder.select(is_far, signed, inner)

    return x(x, near, far), generate


@helper
def erf(x: Any) -> Any:
    """``erf(x)``; exactly -1 and 1 from 4 on, NaN for NaN.

    The error is at most 1.2 units in the last place, 1.5 without fused multiply-add.
    """
    s, t = x * x, minimum(_LIMIT, absolute(x))
    p = fma(fma(fma(fma(fma(fma(_P6, s, _P5), s, _P4), s, _P3), s, _P2), s, _P1), s, _P0)
    q = fma(fma(fma(fma(fma(fma(_Q6, t, _Q5), t, _Q4), t, _Q3), t, _Q2), t, _Q1), t, _Q0)
    return _by_size(x, fma(x, p, x), _ONE - exp(q))
