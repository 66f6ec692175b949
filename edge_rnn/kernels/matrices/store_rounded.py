"""Store floats as small integers, in the layout that the CPU's instruction for products takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm

__all__ = ["ROUND", "store_rounded"]

ROUND = np.float32(12582912.0)
"""1.5 * 2^23: added to a float32, it leaves the nearest integer in the low bits."""

_ROUND_BITS = 0x4B400000
I8, I16 = ir.IntType(8), ir.IntType(16)


def store_rounded(dot: str, bits: int) -> Any:
    """Make an intrinsic ``(vector, pointer, i)`` that stores 8 values from ``i`` on, to which ROUND has been added."""
    layouts = {("vnni", 16): _unsigned_bytes, ("sdot", 16): _signed_bytes, ("vnni", 8): _offset, ("sdot", 8): _narrow}
    layout = layouts.get((dot, bits), _int16)
    integers = ir.VectorType(llvm.I32, 8)

    def typed(typing_context: Any, vector: Any, pointer: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            rounded = builder.sub(builder.bitcast(args[0], integers), _constant(_ROUND_BITS))
            stored = layout(builder, rounded)
            place = context.cast(builder, args[2], sig.args[2], types.int32)
            size = stored.type.element.width * stored.type.count // 8  # bytes for 8 values
            base = builder.gep(builder.bitcast(args[1], I8.as_pointer()), [builder.mul(place, llvm.I32(size // 8))])
            builder.store(stored, builder.bitcast(base, stored.type.as_pointer()), align=8)
            return context.get_dummy_value()

        return signature(types.void, vector, pointer, i), generate

    return intrinsic(typed)


def _constant(value: int) -> Any:
    return ir.Constant(ir.VectorType(llvm.I32, 8), [value] * 8)


def _pick(builder: Any, element: Any, integers: Any, which: list[int]) -> Any:
    """Pick bytes or half-words of 8 integers; the least significant one of each comes first.

    By a shuffle, although ``trunc`` would do: some CPUs have an instruction for that, but loads of the values that it
    stores have to wait for it.
    """
    parts = builder.bitcast(integers, ir.VectorType(element, 256 // element.width))
    return llvm.lanes(builder, parts, which)


def _int16(builder: Any, integers: Any) -> Any:
    return _pick(builder, I16, integers, list(range(0, 16, 2)))


def _narrow(builder: Any, integers: Any) -> Any:
    return _pick(builder, I8, integers, list(range(0, 32, 4)))


def _offset(builder: Any, integers: Any) -> Any:
    """Add 128 to each value; the bytes are unsigned."""
    return _narrow(builder, builder.add(integers, _constant(128)))


_FOURS = [4 * i + byte for half in (0, 4) for byte in (1, 0) for i in range(half, half + 4)]
"""Order of bytes: the second bytes of 4 of 8 integers, their first bytes, and the same for the other 4."""


def _unsigned_bytes(builder: Any, integers: Any) -> Any:
    """Split into high bytes plus 128, and low bytes from 0 to 255."""
    return _pick(builder, I8, builder.xor(integers, _constant(0x8000)), _FOURS)


def _signed_bytes(builder: Any, integers: Any) -> Any:
    """Split into high bytes rounded to nearest, and low bytes from -128 to 127, with the carry in the high byte."""
    rounded = builder.and_(builder.add(integers, _constant(128)), _constant(0xFF00))
    low = builder.and_(integers, _constant(0x00FF))
    return _pick(builder, I8, builder.or_(rounded, low), _FOURS)
