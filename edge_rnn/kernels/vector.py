"""Vectors of float32 as Numba values, so that a cell can be written over whole groups of units.

LLVM does not keep the accumulators of a matrix-vector product in registers when they come from tuples, small arrays or
constant-trip loops; with explicit vector values it does. ``float32x16`` is a Numba type whose LLVM type is
``<16 x float>``; the back end splits it into the registers that the CPU has. Everything takes raw ``float*`` pointers:
an array argument would bring reference counting along.

Only what the kernels need is here: load, store, arithmetic, and :func:`fma_rows`, the loop where the time goes.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

__all__ = [
    "Vector",
    "all_zero",
    "at",
    "bits_shifted_left",
    "flush_tiny",
    "fma",
    "fma_rows",
    "largest_lane",
    "load",
    "maximum",
    "minimum",
    "splat",
    "store",
    "sum_of_lanes",
]

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_REGISTER_LANES = 8
"""Weights and state are padded to this many floats, and aligned to as many."""


class Vector(types.Type):
    """Numba type of ``lanes`` float32 values."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(_F32, vector.lanes))


# ---- arithmetic: + - * / between vectors, or a vector and a float32


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    vector_type = ir.VectorType(_F32, lanes)
    if isinstance(scalar, ir.Constant):
        return ir.Constant(vector_type, [scalar.constant] * lanes)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), scalar, _I32(0))
    return builder.shuffle_vector(
        single, ir.Constant(vector_type, ir.Undefined), ir.Constant(ir.VectorType(_I32, lanes), None)
    )


def _as_vector(context: Any, builder: Any, value: Any, given: types.Type, vector: Vector) -> Any:
    if isinstance(given, Vector):
        return value
    return _splat(builder, context.cast(builder, value, given, types.float32), vector.lanes)


def _vector_of(*given: types.Type) -> Vector | None:
    """The vector type among ``given`` when the others are the same or plain numbers."""
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


def _fmuladd(builder: Any, vector_type: Any) -> Any:
    """``llvm.fmuladd``: one instruction where the CPU has it, multiply and add elsewhere, never a call to libm."""
    return get_or_insert_function(
        builder.module, ir.FunctionType(vector_type, [vector_type] * 3), f"llvm.fmuladd.v{vector_type.count}f32"
    )


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``; each a vector or a float32, at least one a vector."""
    vector = _vector_of(a, b, c)
    if vector is None:
        return None

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [_as_vector(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True)]
        return builder.call(_fmuladd(builder, values[0].type), values)

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
"""Lane by lane ``a if a < b else b``: a NaN in ``b`` is kept, a NaN in ``a`` gives ``b``."""
maximum = intrinsic(_select(">"))
"""Lane by lane ``a if a > b else b``: a NaN in ``b`` is kept, a NaN in ``a`` gives ``b``."""


@intrinsic
def flush_tiny(typing_context: Any, vector: Any) -> Any:
    """Lane by lane zero for what is smaller than 2^-80 in size; NaN kept.

    A state that decays would otherwise end among the subnormal numbers, which many CPUs compute with several times more
    slowly; so far above them that products with weights stay clear of them too.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = args[0]
        limit, zero = ir.Constant(value.type, [2.0**-80] * vector.lanes), ir.Constant(value.type, None)
        name = f"llvm.fabs.v{vector.lanes}f32"
        fabs = get_or_insert_function(builder.module, ir.FunctionType(value.type, [value.type]), name)
        return builder.select(builder.fcmp_ordered("<", builder.call(fabs, [value]), limit), zero, value)

    return signature(vector, vector), generate


@intrinsic(prefer_literal=True)
def splat(typing_context: Any, lanes: Any, value: Any) -> Any:
    """A vector with ``value`` in each of ``lanes`` (a literal) lanes."""
    vector = Vector(lanes.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as_vector(context, builder, args[1], sig.args[1], vector)

    return signature(vector, lanes, value), generate


# ---- memory
#
# A kernel may do the same unit of several streams at once. Weights are then loaded once and repeated, so that a vector
# holds `lanes` values of the first stream, as many of the second, and so on; what is a stream's own comes from a tuple
# of pointers, one a stream.


@intrinsic
def at(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """``pointer + offset`` elements, as in C."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return signature(pointer, pointer, offset), generate


@intrinsic(prefer_literal=True)
def load(typing_context: Any, lanes: Any, pointer: Any, offset: Any) -> Any:
    """Vector of ``lanes`` (a literal) floats at ``pointer + offset``, which is aligned to 8 floats."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _load(builder, builder.gep(args[1], [args[2]]), lanes.literal_value)

    return signature(Vector(lanes.literal_value), lanes, pointer, offset), generate


@intrinsic
def store(typing_context: Any, vector: Any, pointer: Any, offset: Any) -> Any:
    """Write ``vector`` at ``pointer + offset``, which is aligned to 8 floats."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _store(builder, args[0], builder.gep(args[1], [args[2]]))
        return context.get_dummy_value()

    return signature(types.void, vector, pointer, offset), generate


@intrinsic(prefer_literal=True)
def load_shared(typing_context: Any, lanes: Any, streams: Any, pointer: Any, offset: Any) -> Any:
    """Vector of ``lanes`` floats at ``pointer + offset``, repeated ``streams`` times (both literals)."""
    width, count = lanes.literal_value, streams.literal_value

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _join(builder, [_load(builder, builder.gep(args[2], [args[3]]), width)] * count)

    return signature(Vector(width * count), lanes, streams, pointer, offset), generate


@intrinsic(prefer_literal=True)
def load_each(typing_context: Any, lanes: Any, pointers: Any) -> Any:
    """Vector of ``lanes`` (a literal) floats from each of a tuple of pointers, aligned to 8 floats."""
    width, count = lanes.literal_value, len(pointers)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _join(builder, [_load(builder, builder.extract_value(args[1], s), width) for s in range(count)])

    return signature(Vector(width * count), lanes, pointers), generate


@intrinsic
def store_each(typing_context: Any, vector: Any, pointers: Any) -> Any:
    """Write each stream's part of ``vector`` to its pointer, aligned to 8 floats."""
    count = len(pointers)
    width = vector.lanes // count

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for s in range(count):
            part = _lanes(builder, args[0], range(s * width, (s + 1) * width))
            _store(builder, part, builder.extract_value(args[1], s))
        return context.get_dummy_value()

    return signature(types.void, vector, pointers), generate


@intrinsic(prefer_literal=True)
def each(typing_context: Any, records: Any, arenas: Any, slot: Any, unit: Any) -> Any:
    """For each stream ``arena + record[slot] + unit``: tuple of ``float*`` from tuples of records and arenas."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointers = ir.Constant(args[1].type, ir.Undefined)
        for s in range(len(records)):
            record, arena = builder.extract_value(args[0], s), builder.extract_value(args[1], s)
            offset = builder.load(builder.gep(record, [_I32(slot.literal_value)]))
            place = builder.gep(builder.gep(arena, [offset]), [args[3]])
            pointers = builder.insert_value(pointers, place, s)
        return pointers

    return signature(arenas, records, arenas, slot, unit), generate


def _load(builder: Any, pointer: Any, lanes: int) -> Any:
    vector_type = ir.VectorType(_F32, lanes)
    return builder.load(builder.bitcast(pointer, vector_type.as_pointer()), align=4 * _REGISTER_LANES)


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=4 * _REGISTER_LANES)


def _lanes(builder: Any, value: Any, which: Any) -> Any:
    chosen = ir.Constant(ir.VectorType(_I32, len(which)), list(which))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), chosen)


def _join(builder: Any, parts: list[Any]) -> Any:
    """Vectors of one length, a power of two of them, one behind the other."""
    while len(parts) > 1:
        width = parts[0].type.count
        order = ir.Constant(ir.VectorType(_I32, 2 * width), list(range(2 * width)))
        parts = [builder.shuffle_vector(parts[i], parts[i + 1], order) for i in range(0, len(parts), 2)]
    return parts[0]


@intrinsic(prefer_literal=True)
def fma_rows(typing_context: Any, chains: Any, accumulators: Any, weights: Any, pitch: Any, xs: Any, rows: Any) -> Any:
    """``accumulators[g] + sum over k of weights[k, g] * x[k]``: the hot loop of every cell.

    Parameters
    ----------
    chains
        Literal: how many independent sums each accumulator is split into. An FMA takes some four cycles and two start
        in each, so some eight have to be under way at once.
    accumulators
        Tuple of ``n`` vectors of one length, ``lanes`` for each stream.
    weights
        ``float*`` to rows of ``n * pitch`` floats, one behind the other; the vector for ``g`` begins at ``g * pitch``.
    pitch
        Literal: floats from one vector of a row to the next, ``lanes`` or more.
    xs
        For each stream a ``float*`` to ``rows`` values.
    rows
        Number of rows, int; zero is allowed.
    """
    count, streams, split = len(accumulators), len(xs), chains.literal_value
    lanes, step = accumulators.dtype.lanes // streams, pitch.literal_value
    vector_type = ir.VectorType(_F32, accumulators.dtype.lanes)
    word = ir.IntType(64)

    def add_rows(builder: Any, sums: list[Any], weights: Any, xs: Any, row: Any, how_many: int) -> list[Any]:
        """The sums after ``how_many`` rows from ``row`` on, row ``j`` of them added to chain ``j``."""
        sums = list(sums)
        fmuladd = _fmuladd(builder, vector_type)
        start = builder.mul(builder.zext(row, word), word(count * step))
        for j in range(how_many):
            place = builder.add(row, _I32(j))
            values = [builder.load(builder.gep(builder.extract_value(xs, s), [place])) for s in range(streams)]
            x = _join(builder, [_splat(builder, value, lanes) for value in values])
            for g in range(count):
                pointer = builder.gep(weights, [builder.add(start, word((j * count + g) * step))])
                w = _join(builder, [_load(builder, pointer, lanes)] * streams)
                slot = j * count + g
                sums[slot] = builder.call(fmuladd, [w, x, sums[slot]])
        return sums

    def loop(builder: Any, sums: list[Any], weights: Any, xs: Any, first: Any, stop: Any, step: int) -> list[Any]:
        """The sums after the rows from ``first`` to ``stop``, ``step`` in each turn."""
        before = builder.block
        head, body, after = (builder.append_basic_block(f"rows{step}.{part}") for part in ("head", "body", "end"))
        builder.branch(head)
        builder.position_at_end(head)
        row = builder.phi(_I32)
        row.add_incoming(first, before)
        carried = []
        for value in sums:
            phi = builder.phi(vector_type)
            phi.add_incoming(value, before)
            carried.append(phi)
        builder.cbranch(builder.icmp_signed("<", row, stop), body, after)
        builder.position_at_end(body)
        for phi, value in zip(carried, add_rows(builder, carried, weights, xs, row, step), strict=True):
            phi.add_incoming(value, body)
        row.add_incoming(builder.add(row, _I32(step)), body)
        builder.branch(head)
        builder.position_at_end(after)
        return carried

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, given, weights, _, xs, rows = args
        rows = context.cast(builder, rows, sig.args[5], types.int32)
        start = [builder.extract_value(given, g) for g in range(count)]
        done = _I32(0)
        if split > 1:  # the other chains are not worth their start and end for a few rows
            before = builder.block
            whole = builder.mul(builder.sdiv(rows, _I32(split)), _I32(split))
            with builder.if_then(builder.icmp_signed(">=", rows, _I32(split))):
                zeros = [ir.Constant(vector_type, None)] * (count * (split - 1))
                sums = loop(builder, start + zeros, weights, xs, done, whole, split)
                while len(sums) > count:  # pairwise, to keep the chain short
                    half = (len(sums) // count + 1) // 2 * count
                    upper = sums[half:]
                    sums = [builder.fadd(a, b) for a, b in zip(sums, upper, strict=False)] + sums[len(upper) : half]
                many = builder.block
            for g in range(count):
                start[g] = _either(builder, start[g], before, sums[g], many)
            done = _either(builder, done, before, whole, many)
        sums = loop(builder, start, weights, xs, done, rows, 1)
        result = ir.Constant(given.type, ir.Undefined)
        for g, value in enumerate(sums):
            result = builder.insert_value(result, value, g)
        return result

    return signature(accumulators, chains, accumulators, weights, pitch, xs, rows), generate


def _either(builder: Any, one: Any, one_block: Any, other: Any, other_block: Any) -> Any:
    """``one`` when coming from ``one_block``, ``other`` from ``other_block``."""
    phi = builder.phi(one.type)
    phi.add_incoming(one, one_block)
    phi.add_incoming(other, other_block)
    return phi


# ---- single lanes and bits: what softmax needs


def _fold(combine: Any) -> Any:
    """An intrinsic that folds the lanes of a vector pairwise into one float32."""

    def typed(typing_context: Any, vector: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            lanes = [builder.extract_element(args[0], _I32(i)) for i in range(vector.lanes)]
            while len(lanes) > 1:
                half = len(lanes) // 2
                lanes = [combine(builder, lanes[i], lanes[i + half]) for i in range(half)]
            return lanes[0]

        return signature(types.float32, vector), generate

    return typed


largest_lane = intrinsic(_fold(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b)))
"""The largest value of a vector, float32."""
sum_of_lanes = intrinsic(_fold(lambda builder, a, b: builder.fadd(a, b)))
"""The sum of a vector's values, float32."""


@intrinsic
def all_zero(typing_context: Any, vector: Any) -> Any:
    """Whether every lane is zero; false where one is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        other = builder.fcmp_unordered("!=", args[0], ir.Constant(args[0].type, None))
        return builder.icmp_unsigned(
            "==", builder.bitcast(other, ir.IntType(vector.lanes)), ir.IntType(vector.lanes)(0)
        )

    return signature(types.boolean, vector), generate


@intrinsic(prefer_literal=True)
def bits_shifted_left(typing_context: Any, vector: Any, shift: Any, addend: Any) -> Any:
    """The floats whose bits are ``(bits of vector << shift) + bits of addend``: how ``2**k`` is multiplied in."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = ir.VectorType(_I32, vector.lanes)
        amount = ir.Constant(integers, [shift.literal_value] * vector.lanes)
        shifted = builder.shl(builder.bitcast(args[0], integers), amount)
        return builder.bitcast(builder.add(shifted, builder.bitcast(args[2], integers)), args[0].type)

    return signature(vector, vector, shift, addend), generate
