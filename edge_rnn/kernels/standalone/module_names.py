"""Intrinsics that refer to a module's constants and functions by symbol name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.cgutils import alloca_once, get_or_insert_function
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.compile.compiler import WORDS

__all__ = ["calls_in_order", "external", "is_aligned", "named_constant", "own_words", "stores"]


def named_constant(name: str, pointer: types.CPointer) -> Any:
    """Make an intrinsic ``() -> pointer`` to the module's constant ``name``."""

    def typed(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            byte = ir.IntType(8)
            known = builder.module.globals.get(name) or ir.GlobalVariable(builder.module, byte, name)
            known.global_constant = True
            return builder.bitcast(known, context.get_value_type(pointer))

        return pointer(), generate

    return intrinsic(typed)


def calls_in_order(names: Sequence[str], record_ints: int) -> Any:
    """Make an intrinsic ``(record, weights, arena)`` that calls kernels by name, each with the next record."""

    def typed(typing_context: Any, record: Any, weights: Any, arena: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            record, weights, arena = args
            signature = ir.FunctionType(ir.VoidType(), [value.type for value in args])
            for place, name in enumerate(names):
                kernel = get_or_insert_function(builder.module, signature, name)
                builder.call(kernel, [builder.gep(record, [llvm.I32(place * record_ints)]), weights, arena])
            return context.get_dummy_value()

        return types.void(record, weights, arena), generate

    return intrinsic(typed)


def external(name: str, signature: Any) -> Any:
    """Refer to the module's function ``name``, to call it from others."""
    return types.ExternalFunction(name, signature)


def stores(values: Mapping[int, int]) -> Any:
    """Make an intrinsic ``(words)`` that stores constants at constant indices."""

    def typed(typing_context: Any, words: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            for place, value in values.items():
                word = ir.Constant(context.get_value_type(types.int64), value)
                builder.store(word, builder.gep(args[0], [llvm.I32(place)]))
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
