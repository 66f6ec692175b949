"""Load weights of several types as vectors of float32, for hot loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.compile.target import Target

__all__ = ["Load", "floats", "halves", "int8s", "load_of", "soft_halves"]

Load = Callable[[Any, Any, Any, int], Any]
"""``load(builder, weights, offset, lanes)``: ``weights`` is a ``float*``, ``offset`` counts weights of the type."""


def load_of(kind: str, target: Target) -> Load:
    """Load for a format that is read as floats, see :attr:`edge_rnn.kernels.matrices.panels.Segment.per_float`."""
    return {"float32": floats, "float16": halves if target.converts_half else soft_halves, "int8": int8s}[kind]


def floats(builder: Any, weights: Any, offset: Any, lanes: int) -> Any:
    """Load float32."""
    return llvm.load(builder, builder.gep(weights, [offset]), lanes)


def halves(builder: Any, weights: Any, offset: Any, lanes: int) -> Any:
    """Load float16, converted by the CPU's instruction."""
    return builder.fpext(_raw(builder, ir.HalfType(), weights, offset, lanes), ir.VectorType(llvm.F32, lanes))


def soft_halves(builder: Any, weights: Any, offset: Any, lanes: int) -> Any:
    """Load float16, converted by integer operations: exponent and mantissa shifted, then times 2^112.

    Exact for subnormals too. Infinities and NaN would come out wrong, but weights are finite.
    """
    integers, vector_type = ir.VectorType(llvm.I32, lanes), ir.VectorType(llvm.F32, lanes)

    def constant(value: int) -> Any:
        return ir.Constant(integers, [value] * lanes)

    bits = builder.zext(_raw(builder, ir.IntType(16), weights, offset, lanes), integers)
    size = builder.shl(builder.and_(bits, constant(0x7FFF)), constant(13))
    scaled = builder.fmul(builder.bitcast(size, vector_type), ir.Constant(vector_type, [2.0**112] * lanes))
    sign = builder.shl(builder.and_(bits, constant(0x8000)), constant(16))
    return builder.bitcast(builder.or_(builder.bitcast(scaled, integers), sign), vector_type)


def int8s(builder: Any, weights: Any, offset: Any, lanes: int) -> Any:
    """Load int8, converted without a scale."""
    values = _raw(builder, ir.IntType(8), weights, offset, lanes)
    return builder.sitofp(builder.sext(values, ir.VectorType(llvm.I32, lanes)), ir.VectorType(llvm.F32, lanes))


def _raw(builder: Any, element: Any, weights: Any, offset: Any, lanes: int) -> Any:
    """Load ``lanes`` values unconverted; a group of 8 is aligned to its own length."""
    place = builder.gep(builder.bitcast(weights, element.as_pointer()), [offset])
    bits = 16 if isinstance(element, ir.HalfType) else element.width
    return builder.load(builder.bitcast(place, ir.VectorType(element, lanes).as_pointer()), align=bits)
