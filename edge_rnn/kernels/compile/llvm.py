"""LLVM instructions over vectors of float32, as the intrinsics of this package put them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core.cgutils import get_or_insert_function

__all__ = ["ALIGNED", "F32", "I32", "fabs", "fmuladd", "join", "lanes", "load", "loop", "splat", "sqrt", "store"]

F32 = ir.FloatType()
I32 = ir.IntType(32)

ALIGNED = 4 * 8
"""Bytes: weights and state are padded to 8 floats, and aligned to as many; a part of 8 floats to its own length."""


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


def sqrt(builder: Any, vector_type: Any) -> Any:
    """``llvm.sqrt`` for a type of vectors."""
    return get_or_insert_function(
        builder.module, ir.FunctionType(vector_type, [vector_type]), f"llvm.sqrt.v{vector_type.count}f32"
    )


def load(builder: Any, pointer: Any, count: int, align: int = ALIGNED) -> Any:
    """Vector of ``count`` floats at ``pointer``, aligned as far as it is long unless ``align`` (bytes) says less."""
    vector_type = ir.VectorType(F32, count)
    return builder.load(builder.bitcast(pointer, vector_type.as_pointer()), align=min(align, 4 * count))


def store(builder: Any, value: Any, pointer: Any, align: int = ALIGNED) -> None:
    """Write a vector to ``pointer``, aligned as far as it is long unless ``align`` (bytes) says less."""
    aligned = min(align, 4 * value.type.count)
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=aligned)


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


def loop(
    builder: Any, values: list[Any], first: Any, stop: Any, step: int, turn: Callable[[list[Any], Any], list[Any]]
) -> tuple[list[Any], Any]:
    """``for i in range(first, stop, step): values = turn(values, i)``, the values kept in registers.

    Returns
    -------
    The values, and the first ``i`` that was not done; int32 as ``first`` and ``stop`` are.
    """
    before = builder.block
    head, body, after = (builder.append_basic_block(f"loop{step}.{part}") for part in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(I32)
    i.add_incoming(first, before)
    carried = []
    for value in values:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        carried.append(phi)
    builder.cbranch(builder.icmp_signed("<", i, stop), body, after)
    builder.position_at_end(body)
    for phi, value in zip(carried, turn(carried, i), strict=True):
        phi.add_incoming(value, builder.block)
    i.add_incoming(builder.add(i, I32(step)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return carried, i
