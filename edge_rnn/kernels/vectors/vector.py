"""Vectors of float32 as Numba values, so that a cell can be written for whole groups of units.

LLVM does not keep the accumulators of a matrix-vector product in registers when they come from tuples, small arrays or
constant-trip loops; with explicit vector values it does. ``float32x16`` is a Numba type whose LLVM type is
``<16 x float>``; the back end splits it into the CPU's registers.

This module has the type and its arithmetic; ``load_store`` loads and stores, ``matrices.rows`` has the hot loop.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from edge_rnn.kernels.compile import llvm

__all__ = [
    "Vector",
    "absolute",
    "all_zero",
    "bits_shifted_left",
    "exponents",
    "first_lanes",
    "flush_tiny",
    "fma",
    "join",
    "keep_above",
    "largest_lane",
    "maximum",
    "minimum",
    "only_where",
    "significands",
    "splat",
    "square_root",
    "sum_of_lanes",
]


class Vector(types.Type):
    """Numba type of ``lanes`` float32 values."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(llvm.F32, vector.lanes))


# ---- arithmetic: + - * / between vectors, or a vector and a float32


def _as_vector(context: Any, builder: Any, value: Any, given: types.Type, vector: Vector) -> Any:
    if isinstance(given, Vector):
        return value
    return llvm.splat(builder, context.cast(builder, value, given, types.float32), vector.lanes)


def _vector_of(*given: types.Type) -> Vector | None:
    """Vector type among ``given``, if all others are the same or plain numbers; else None."""
    vectors = {type_ for type_ in given if isinstance(type_, Vector)}
    others_are_numbers = all(isinstance(type_, (Vector, types.Number)) for type_ in given)
    return vectors.pop() if len(vectors) == 1 and others_are_numbers else None


class _Arithmetic(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        vector = _vector_of(*args) if len(args) == 2 and not kws else None
        return vector and signature(vector, *args)


def _define_arithmetic(symbol: Any, instruction: str) -> None:
    infer_global(symbol)(type(f"_Vector_{instruction}", (_Arithmetic,), {"key": symbol}))

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        left, right = (_as_vector(context, builder, v, t, sig.return_type) for v, t in zip(args, sig.args, strict=True))
        return getattr(builder, instruction)(left, right)

    for pair in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(symbol, *pair)(lower)


for _symbol, _instruction in {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}.items():
    _define_arithmetic(_symbol, _instruction)


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``; each a vector or a float32, at least one a vector."""
    vector = _vector_of(a, b, c)
    if vector is None:
        return None

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [_as_vector(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True)]
        return builder.call(llvm.fmuladd(builder, values[0].type), values)

    return signature(vector, a, b, c), generate


def _select(comparison: str) -> Any:
    def typed(typing_context: Any, a: Any, b: Any) -> Any:
        vector = _vector_of(a, b)
        if vector is None:
            return None

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            left, right = (_as_vector(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True))
            return builder.select(builder.fcmp_ordered(comparison, left, right), left, right)

        return signature(vector, a, b), generate

    return typed


minimum = intrinsic(_select("<"))
"""Lanewise ``a if a < b else b``: a NaN in ``b`` is kept, a NaN in ``a`` gives ``b``."""
maximum = intrinsic(_select(">"))
"""Lanewise ``a if a > b else b``: a NaN in ``b`` is kept, a NaN in ``a`` gives ``b``."""


@intrinsic
def absolute(typing_context: Any, vector: Any) -> Any:
    """Lanewise absolute value."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.call(llvm.fabs(builder, args[0].type), [args[0]])

    return signature(vector, vector), generate


@intrinsic
def square_root(typing_context: Any, vector: Any) -> Any:
    """Lanewise square root; NaN for values below 0."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.call(llvm.sqrt(builder, args[0].type), [args[0]])

    return signature(vector, vector), generate


@intrinsic
def only_where(typing_context: Any, vector: Any, mask: Any) -> Any:
    """Lanewise value where ``mask`` is not 0, else 0, even in place of NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_unordered("!=", args[1], zero), args[0], zero)

    return signature(vector, vector, mask), generate


@intrinsic
def keep_above(typing_context: Any, vector: Any, limit: Any) -> Any:
    """Lanewise value if it is above ``limit``, else 0; NaN for NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bound = _as_vector(context, builder, args[1], sig.args[1], vector)
        return builder.select(builder.fcmp_unordered(">", args[0], bound), args[0], ir.Constant(args[0].type, None))

    return signature(vector, vector, limit), generate


@intrinsic
def flush_tiny(typing_context: Any, vector: Any) -> Any:
    """Lanewise zero for absolute values below 2^-80; NaN for NaN.

    A decaying state would otherwise end in subnormal numbers, which slow many CPUs down several times. The limit is so
    far above these that products with weights do not reach them either.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = args[0]
        limit, zero = ir.Constant(value.type, [2.0**-80] * vector.lanes), ir.Constant(value.type, None)
        size = builder.call(llvm.fabs(builder, value.type), [value])
        return builder.select(builder.fcmp_ordered("<", size, limit), zero, value)

    return signature(vector, vector), generate


@intrinsic(prefer_literal=True)
def splat(typing_context: Any, lanes: Any, value: Any) -> Any:
    """Vector with ``value`` in each of ``lanes`` (a literal) lanes."""
    vector = Vector(lanes.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as_vector(context, builder, args[1], sig.args[1], vector)

    return signature(vector, lanes, value), generate


# ---- single lanes and bits, for softmax and logarithms


def _fold(combine: Any) -> Any:
    """Make an intrinsic that folds the lanes of a vector, half onto half, into one float32."""

    def typed(typing_context: Any, vector: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            folded, count = args[0], vector.lanes
            while count > 1:
                count //= 2
                low, high = (llvm.lanes(builder, folded, range(start, start + count)) for start in (0, count))
                folded = combine(builder, low, high)
            return builder.extract_element(folded, llvm.I32(0))

        return signature(types.float32, vector), generate

    return typed


largest_lane = intrinsic(_fold(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b)))
"""Largest value of a vector, float32."""
sum_of_lanes = intrinsic(_fold(lambda builder, a, b: builder.fadd(a, b)))
"""Sum of a vector's values, float32."""


@intrinsic
def all_zero(typing_context: Any, vector: Any) -> Any:
    """Return True if every lane is zero; False if one is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        other = builder.fcmp_unordered("!=", args[0], ir.Constant(args[0].type, None))
        return builder.icmp_unsigned(
            "==", builder.bitcast(other, ir.IntType(vector.lanes)), ir.IntType(vector.lanes)(0)
        )

    return signature(types.boolean, vector), generate


@intrinsic
def first_lanes(typing_context: Any, vector: Any, count: Any) -> Any:
    """Zero all but the first ``count`` lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = ir.VectorType(llvm.I32, vector.lanes)
        many = context.cast(builder, args[1], sig.args[1], types.int32)
        limit = builder.insert_element(ir.Constant(integers, ir.Undefined), many, llvm.I32(0))
        limit = builder.shuffle_vector(limit, limit, ir.Constant(integers, None))
        within = builder.icmp_signed("<", ir.Constant(integers, list(range(vector.lanes))), limit)
        return builder.select(within, args[0], ir.Constant(args[0].type, None))

    return signature(vector, vector, count), generate


@intrinsic
def join(typing_context: Any, low: Any, high: Any) -> Any:
    """Concatenate two vectors of equal length."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return llvm.join(builder, list(args))

    return signature(Vector(2 * low.lanes), low, high), generate


@intrinsic
def exponents(typing_context: Any, vector: Any) -> Any:
    """Lanewise integer ``k`` for which ``value / 2**k`` is from sqrt(1/2) to sqrt(2); for normal numbers > 0."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.sitofp(_whole_exponents(builder, args[0]), args[0].type)

    return signature(vector, vector), generate


@intrinsic
def significands(typing_context: Any, vector: Any) -> Any:
    """Lanewise ``value / 2**k``, with ``k`` from :func:`exponents`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        k = _whole_exponents(builder, args[0])
        bits = builder.bitcast(args[0], k.type)
        places = ir.Constant(k.type, [23] * vector.lanes)
        return builder.bitcast(builder.sub(bits, builder.shl(k, places)), args[0].type)

    return signature(vector, vector), generate


def _whole_exponents(builder: Any, value: Any) -> Any:
    integers = ir.VectorType(llvm.I32, value.type.count)
    root_of_half, places = (ir.Constant(integers, [n] * value.type.count) for n in (0x3F3504F3, 23))
    return builder.ashr(builder.sub(builder.bitcast(value, integers), root_of_half), places)


@intrinsic(prefer_literal=True)
def bits_shifted_left(typing_context: Any, vector: Any, shift: Any, addend: Any) -> Any:
    """Floats with the bits ``(bits of vector << shift) + bits of addend``, to multiply by ``2**k``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = ir.VectorType(llvm.I32, vector.lanes)
        amount = ir.Constant(integers, [shift.literal_value] * vector.lanes)
        shifted = builder.shl(builder.bitcast(args[0], integers), amount)
        return builder.bitcast(builder.add(shifted, builder.bitcast(args[2], integers)), args[0].type)

    return signature(vector, vector, shift, addend), generate
