"""LLVM instructions over vectors of float32, as the intrinsics of this package put them together."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.cgutils import get_or_insert_function

__all__ = ["F32", "I32", "fabs", "fmuladd", "join", "lanes", "load", "splat", "store"]

F32 = ir.FloatType()
I32 = ir.IntType(32)

_REGISTER_LANES = 8
"""Weights and state are padded to this many floats, and aligned to as many."""


def splat(builder: Any, scalar: Any, count: int) -> Any:
    """A vector with ``scalar`` in each of ``count`` lanes."""
    vector_type = ir.VectorType(F32, count)
    if isinstance(scalar, ir.Constant):
        return ir.Constant(vector_type, [scalar.constant] * count)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), scalar, I32(0))
    return builder.shuffle_vector(
        single, ir.Constant(vector_type, ir.Undefined), ir.Constant(ir.VectorType(I32, count), None)
    )


def fmuladd(builder: Any, vector_type: Any) -> Any:
    """``llvm.fmuladd``: one instruction where the CPU has it, multiply and add elsewhere, never a call to libm."""
    return get_or_insert_function(
        builder.module, ir.FunctionType(vector_type, [vector_type] * 3), f"llvm.fmuladd.v{vector_type.count}f32"
    )


def fabs(builder: Any, vector_type: Any) -> Any:
    """``llvm.fabs`` for a type of vectors."""
    return get_or_insert_function(
        builder.module, ir.FunctionType(vector_type, [vector_type]), f"llvm.fabs.v{vector_type.count}f32"
    )


def load(builder: Any, pointer: Any, count: int, align: int = 4 * _REGISTER_LANES) -> Any:
    """Vector of ``count`` floats at ``pointer``, aligned to 8 floats unless ``align`` (bytes) says otherwise."""
    vector_type = ir.VectorType(F32, count)
    return builder.load(builder.bitcast(pointer, vector_type.as_pointer()), align=align)


def store(builder: Any, value: Any, pointer: Any) -> None:
    """Write a vector to ``pointer``, aligned to 8 floats."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=4 * _REGISTER_LANES)


def lanes(builder: Any, value: Any, which: Any) -> Any:
    """The lanes ``which`` of a vector as a vector."""
    chosen = ir.Constant(ir.VectorType(I32, len(which)), list(which))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), chosen)


def join(builder: Any, parts: list[Any]) -> Any:
    """Vectors of one length, a power of two of them, one behind the other."""
    while len(parts) > 1:
        width = parts[0].type.count
        order = ir.Constant(ir.VectorType(I32, 2 * width), list(range(2 * width)))
        parts = [builder.shuffle_vector(parts[i], parts[i + 1], order) for i in range(0, len(parts), 2)]
    return parts[0]
