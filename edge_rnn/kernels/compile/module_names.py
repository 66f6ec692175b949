"""Intrinsics that refer to a module's constants and functions by symbol name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.cgutils import alloca_once, get_or_insert_function
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.compile.compiler import WORDS
from edge_rnn.typing import I32

__all__ = ["MOST_INLINED", "calls_in_order", "external", "is_aligned", "named_constant", "own_words", "stores"]

MOST_INLINED = 4
"""Most calls of a kernel in one step that are inlined, so that sizes and places become constants in each of them."""

_INT32S = llvm.I32.as_pointer()


def named_constant(name: str, pointer: types.CPointer) -> Any:
    """Make an intrinsic ``() -> pointer`` to the module's constant ``name``."""

    def typed(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.bitcast(_constant(builder, name), context.get_value_type(pointer))

        return pointer(), generate

    return intrinsic(typed)


def calls_in_order(names: Sequence[str], records: I32) -> Any:
    """Make an intrinsic ``(parity, weights, arena)`` that calls kernels by name, each with its record as constants.

    A word that differs between even and odd steps is chosen by ``parity``. A kernel that is called too often to be
    inlined reads its records from the module's constant ``records``.

    Parameters
    ----------
    names
        Kernel of each operation.
    records
        ``(2, operations, length)`` int32: records for even and for odd steps.
    """
    uses, (_, count, length) = Counter(names), records.shape

    def record_of(builder: Any, odd: Any, place: int) -> Any:
        """Address of the record of an operation: a local copy, which is optimized away once the kernel is inlined."""
        if uses[names[place]] > MOST_INLINED:
            both = builder.bitcast(_constant(builder, "records"), _INT32S)
            even, other = (builder.gep(both, [llvm.I32((i * count + place) * length)]) for i in (0, 1))
            return builder.select(odd, other, even)
        record = builder.bitcast(alloca_once(builder, ir.ArrayType(llvm.I32, length)), _INT32S)
        for word, values in enumerate(records[:, place].T.tolist()):
            even, other = map(llvm.I32, values)
            value = even if values[0] == values[1] else builder.select(odd, other, even)
            builder.store(value, builder.gep(record, [llvm.I32(word)]))
        return record

    def typed(typing_context: Any, parity: Any, weights: Any, arena: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            parity, *memory = args
            odd = builder.icmp_signed("!=", parity, ir.Constant(parity.type, 0))
            signature = ir.FunctionType(ir.VoidType(), [_INT32S, *(value.type for value in memory)])
            for place, name in enumerate(names):
                kernel = get_or_insert_function(builder.module, signature, name)
                builder.call(kernel, [record_of(builder, odd, place), *memory])
            return context.get_dummy_value()

        return types.void(parity, weights, arena), generate

    return intrinsic(typed)


def _constant(builder: Any, name: str) -> Any:
    """Address of the module's constant ``name``."""
    known = builder.module.globals.get(name) or ir.GlobalVariable(builder.module, ir.IntType(8), name)
    known.global_constant = True
    return known


def external(name: str, signature: Any) -> Any:
    """Refer to the module's function ``name``, to call it from others."""
    return types.ExternalFunction(name, signature)


def stores(values: Mapping[Any, int]) -> Any:
    """Make an intrinsic ``(words)`` that stores constants at constant indices, whole numbers or members of Words."""

    def typed(typing_context: Any, words: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            for place, value in values.items():
                word = ir.Constant(context.get_value_type(types.int64), value)
                builder.store(word, builder.gep(args[0], [llvm.I32(int(place))]))
            return context.get_dummy_value()

        return types.void(words), generate

    return intrinsic(typed)


@intrinsic(prefer_literal=True)
def own_words(typing_context: Any, count: Any) -> Any:
    """Allocate ``count`` (a literal) words on the function's stack: ``int64_t*``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        room = alloca_once(builder, ir.ArrayType(context.get_value_type(types.int64), count.literal_value))
        return builder.bitcast(room, context.get_value_type(WORDS))

    return WORDS(count), generate


@intrinsic(prefer_literal=True)
def is_aligned(typing_context: Any, pointer: Any, nbytes: Any) -> Any:
    """Return True if an address is a multiple of ``nbytes``, a literal power of two."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        low = builder.and_(builder.ptrtoint(args[0], llvm.I32), llvm.I32(nbytes.literal_value - 1))
        return builder.icmp_signed("==", low, llvm.I32(0))

    return types.boolean(pointer, nbytes), generate
