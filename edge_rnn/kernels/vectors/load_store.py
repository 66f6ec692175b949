"""Loads and stores of vectors.

A kernel may compute the same unit of several streams at once. Weights are then loaded once and repeated, so that a
vector holds ``lanes`` values of the first stream, as many of the second, and so on; a stream's own values come from a
tuple of pointers, one per stream. All memory is aligned to 8 floats, except users' arrays.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.vectors.vector import Vector

__all__ = ["at", "each", "load", "load_anywhere", "load_each", "load_shared", "store", "store_anywhere", "store_each"]


@intrinsic
def at(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """``pointer + offset`` elements, as in C."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return signature(pointer, pointer, offset), generate


@intrinsic(prefer_literal=True)
def load(typing_context: Any, lanes: Any, pointer: Any, offset: Any) -> Any:
    """Load ``lanes`` (a literal) floats at ``pointer + offset``, which is aligned to 8 floats."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return llvm.load(builder, builder.gep(args[1], [args[2]]), lanes.literal_value)

    return signature(Vector(lanes.literal_value), lanes, pointer, offset), generate


@intrinsic(prefer_literal=True)
def load_anywhere(typing_context: Any, lanes: Any, pointer: Any, offset: Any) -> Any:
    """Load ``lanes`` (a literal) floats of a user's array at ``pointer + offset``, which is aligned to one float."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return llvm.load(builder, builder.gep(args[1], [args[2]]), lanes.literal_value, align=4)

    return signature(Vector(lanes.literal_value), lanes, pointer, offset), generate


def _store(align: int) -> Any:
    def typed(typing_context: Any, vector: Any, pointer: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            llvm.store(builder, args[0], builder.gep(args[1], [args[2]]), align)
            return context.get_dummy_value()

        return signature(types.void, vector, pointer, offset), generate

    return typed


store = intrinsic(_store(llvm.ALIGNED))
"""``(vector, pointer, offset)``: write ``vector`` at ``pointer + offset``, which is aligned to 8 floats."""
store_anywhere = intrinsic(_store(4))
"""``(vector, pointer, offset)``: write ``vector`` to a user's array at ``pointer + offset``, aligned to one float."""


@intrinsic(prefer_literal=True)
def load_shared(typing_context: Any, lanes: Any, streams: Any, pointer: Any, offset: Any) -> Any:
    """Load ``lanes`` floats at ``pointer + offset`` and repeat them ``streams`` times (both literals)."""
    width, count = lanes.literal_value, streams.literal_value

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return llvm.join(builder, [llvm.load(builder, builder.gep(args[2], [args[3]]), width)] * count)

    return signature(Vector(width * count), lanes, streams, pointer, offset), generate


@intrinsic(prefer_literal=True)
def load_each(typing_context: Any, lanes: Any, pointers: Any) -> Any:
    """Load ``lanes`` (a literal) floats from each of a tuple of pointers, which are aligned to 8 floats."""
    width, count = lanes.literal_value, len(pointers)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return llvm.join(builder, [llvm.load(builder, builder.extract_value(args[1], s), width) for s in range(count)])

    return signature(Vector(width * count), lanes, pointers), generate


@intrinsic
def store_each(typing_context: Any, vector: Any, pointers: Any) -> Any:
    """Write each stream's part of ``vector`` to its pointer, aligned to 8 floats."""
    count = len(pointers)
    width = vector.lanes // count

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for s in range(count):
            part = llvm.lanes(builder, args[0], range(s * width, (s + 1) * width))
            llvm.store(builder, part, builder.extract_value(args[1], s))
        return context.get_dummy_value()

    return signature(types.void, vector, pointers), generate


@intrinsic(prefer_literal=True)
def each(typing_context: Any, records: Any, arenas: Any, slot: Any, unit: Any) -> Any:
    """Address ``arena + record[slot] + unit`` of each stream: tuple of ``float*`` from tuples of records and arenas."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointers = ir.Constant(args[1].type, ir.Undefined)
        for s in range(len(records)):
            record, arena = builder.extract_value(args[0], s), builder.extract_value(args[1], s)
            offset = builder.load(builder.gep(record, [llvm.I32(slot.literal_value)]))
            place = builder.gep(builder.gep(arena, [offset]), [args[3]])
            pointers = builder.insert_value(pointers, place, s)
        return pointers

    return signature(arenas, records, arenas, slot, unit), generate
