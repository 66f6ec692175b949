"""LLVM instructions on vectors of float32, from which this package's intrinsics are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core.cgutils import get_or_insert_function

__all__ = ["ALIGNED", "F32", "I32", "fabs", "fmuladd", "join", "lanes", "load", "loop", "splat", "sqrt", "store"]

F32 = ir.FloatType()
I32 = ir.IntType(32)

ALIGNED = 4 * 8
"""Alignment in bytes: weights and state are padded and aligned to 8 floats; shorter vectors to their own length."""


def splat(builder: Any, scalar: Any, count: int) -> Any:
    """Vector with ``scalar`` in each of ``count`` lanes."""
    vector_type = ir.VectorType(F32, count)
    if isinstance(scalar, ir.Constant):
        return ir.Constant(vector_type, [scalar.constant] * count)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), scalar, I32(0))
    return builder.shuffle_vector(
        single, ir.Constant(vector_type, ir.Undefined), ir.Constant(ir.VectorType(I32, count), None)
    )


def fmuladd(builder: Any, vector_type: Any) -> Any:
    """``llvm.fmuladd``: one instruction if the CPU has it, otherwise multiply and add; never a call to libm."""
    return get_or_insert_function(
        builder.module, ir.FunctionType(vector_type, [vector_type] * 3), f"llvm.fmuladd.v{vector_type.count}f32"
    )


def fabs(builder: Any, vector_type: Any) -> Any:
    """``llvm.fabs`` for a vector type."""
    return get_or_insert_function(
        builder.module, ir.FunctionType(vector_type, [vector_type]), f"llvm.fabs.v{vector_type.count}f32"
    )


def sqrt(builder: Any, vector_type: Any) -> Any:
    """``llvm.sqrt`` for a vector type."""
    return get_or_insert_function(
        builder.module, ir.FunctionType(vector_type, [vector_type]), f"llvm.sqrt.v{vector_type.count}f32"
    )


def load(builder: Any, pointer: Any, count: int, align: int = ALIGNED) -> Any:
    """Load ``count`` floats at ``pointer``, aligned to their own length or to ``align`` bytes if that is less."""
    vector_type = ir.VectorType(F32, count)
    return builder.load(builder.bitcast(pointer, vector_type.as_pointer()), align=min(align, 4 * count))


def store(builder: Any, value: Any, pointer: Any, align: int = ALIGNED) -> None:
    """Store a vector at ``pointer``, aligned to its own length or to ``align`` bytes if that is less."""
    aligned = min(align, 4 * value.type.count)
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=aligned)


def lanes(builder: Any, value: Any, which: Any) -> Any:
    """Vector of the lanes ``which`` of a vector."""
    chosen = ir.Constant(ir.VectorType(I32, len(which)), list(which))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), chosen)


def join(builder: Any, parts: list[Any]) -> Any:
    """Concatenate vectors of equal length; their number is a power of two."""
    while len(parts) > 1:
        width = parts[0].type.count
        order = ir.Constant(ir.VectorType(I32, 2 * width), list(range(2 * width)))
        parts = [builder.shuffle_vector(parts[i], parts[i + 1], order) for i in range(0, len(parts), 2)]
    return parts[0]


def loop(
    builder: Any, values: list[Any], first: Any, stop: Any, step: int, turn: Callable[[list[Any], Any], list[Any]]
) -> tuple[list[Any], Any]:
    """Emit ``for i in range(first, stop, step): values = turn(values, i)``, with the values in registers.

    Returns
    -------
    The values, and the first ``i`` that was not processed; int32, as ``first`` and ``stop`` are.
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
