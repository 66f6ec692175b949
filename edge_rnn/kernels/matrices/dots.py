"""Dot products: a few rows of weights times a vector, for layers with few outputs.

With fewer outputs than a register has lanes, a register of inputs is better than one of outputs: nothing is broadcast,
and no lane is padding.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.matrices import weight_loads
from edge_rnn.kernels.matrices.panels import DOTS
from edge_rnn.kernels.vectors.vector import Vector

__all__ = ["dots"]

_LANES = 8


def dots(load: weight_loads.Load) -> Any:
    """Make an intrinsic ``(chains, weights, x, count)``: four dot products of ``count`` values, as a vector of 4.

    Parameters
    ----------
    load
        Function that loads weights, from :mod:`edge_rnn.kernels.matrices.weight_loads`.

    Notes
    -----
    ``chains`` (literal, 1 or 2) is the number of independent sums that each product is split into. ``weights`` is a
    ``float*`` to 8 weights of the first output, then of the second, third and fourth, for each 8 inputs in turn. ``x``
    is a ``float*``, aligned to 8 floats; from ``count`` (1 or more) to the next multiple of 8 its values are finite and
    the weights are 0.
    """

    def typed(typing_context: Any, chains: Any, weights: Any, x: Any, count: Any) -> Any:
        vector_type = ir.VectorType(llvm.F32, _LANES)
        split = chains.literal_value

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            _, weights, x, count = args
            stop = context.cast(builder, count, sig.args[3], types.int32)
            fmuladd = llvm.fmuladd(builder, vector_type)

            def add(how_many: int, sums: list[Any], start: Any) -> list[Any]:
                sums = list(sums)
                for j in range(how_many):
                    place = builder.add(start, llvm.I32(j * _LANES))
                    value = llvm.load(builder, builder.gep(x, [place]), _LANES)
                    row = builder.mul(place, llvm.I32(DOTS))
                    for o in range(DOTS):
                        w = load(builder, weights, builder.add(row, llvm.I32(o * _LANES)), _LANES)
                        sums[j * DOTS + o] = builder.call(fmuladd, [w, value, sums[j * DOTS + o]])
                return sums

            sums, done = [ir.Constant(vector_type, None)] * (split * DOTS), llvm.I32(0)
            if split > 1:
                last = builder.sub(stop, llvm.I32(_LANES))
                sums, done = llvm.loop(builder, sums, done, last, split * _LANES, partial(add, split))
                sums = [builder.fadd(a, b) for a, b in zip(sums[:DOTS], sums[DOTS:], strict=True)]
            sums, _ = llvm.loop(builder, sums, done, stop, _LANES, partial(add, 1))
            return _sums_of_lanes(builder, sums)

        return signature(Vector(DOTS), chains, weights, x, count), generate

    return intrinsic(prefer_literal=True)(typed)


def _sums_of_lanes(builder: Any, vectors: list[Any]) -> Any:
    """Sum over the lanes of each of four vectors of 8, as a vector of 4."""
    halves = [builder.fadd(llvm.lanes(builder, v, range(4)), llvm.lanes(builder, v, range(4, 8))) for v in vectors]

    def pick(a: Any, b: Any, which: list[int]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(llvm.I32, 4), which))

    a, b = (builder.fadd(pick(u, v, [0, 4, 1, 5]), pick(u, v, [2, 6, 3, 7])) for u, v in (halves[:2], halves[2:]))
    return builder.fadd(pick(a, b, [0, 1, 4, 5]), pick(a, b, [2, 3, 6, 7]))
