"""Addresses as Numba values: conversion of words to pointers, and calls of C functions by address."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from edge_rnn.kernels.compile.compiler import FLOATS, INT32S, WORDS

__all__ = [
    "as_doubles",
    "as_floats",
    "as_floats_at",
    "as_int32s",
    "as_int32s_at",
    "as_words",
    "call_for_status",
    "call_for_word",
    "call_kernel",
    "floats_from",
    "int32s_from",
    "to_word",
]


def _pointer_from_word(pointer: types.CPointer) -> Any:
    def typed(typing_context: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(pointer))

        return pointer(word), generate

    return typed


as_floats = intrinsic(_pointer_from_word(FLOATS))
"""Convert a word to ``float*``."""
as_doubles = intrinsic(_pointer_from_word(types.CPointer(types.float64)))
"""Convert a word to ``double*``."""
as_int32s = intrinsic(_pointer_from_word(INT32S))
"""Convert a word to ``int32_t*``."""
as_words = intrinsic(_pointer_from_word(WORDS))
"""Convert a word to ``int64_t*``."""


@intrinsic
def as_int32s_at(typing_context: Any, floats: Any, offset: Any) -> Any:
    """``floats + offset`` as ``int32_t*``: integers among weights."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(builder.gep(args[0], [args[1]]), context.get_value_type(INT32S))

    return INT32S(floats, offset), generate


@intrinsic
def as_floats_at(typing_context: Any, integers: Any, offset: Any) -> Any:
    """``integers + offset`` as ``float*``: floats after integers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(builder.gep(args[0], [args[1]]), context.get_value_type(FLOATS))

    return FLOATS(integers, offset), generate


@intrinsic
def to_word(typing_context: Any, pointer: Any) -> Any:
    """Convert a pointer to a word; one of 32 bits is extended by zeros."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], context.get_value_type(types.int64))

    return types.int64(pointer), generate


def _typed_pointers(pointer: types.CPointer) -> Any:
    def typed(typing_context: Any, count: Any, table: Any) -> Any:
        result = types.UniTuple(pointer, count.literal_value)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = ir.Constant(context.get_value_type(result), ir.Undefined)
            for i in range(count.literal_value):
                word = builder.load(builder.gep(args[1], [ir.IntType(32)(i)]))
                values = builder.insert_value(values, builder.inttoptr(word, context.get_value_type(pointer)), i)
            return values

        return result(count, table), generate

    return typed


floats_from = intrinsic(prefer_literal=True)(_typed_pointers(FLOATS))
"""``(count, table)``: tuple of the first ``count`` (a literal) addresses in a table, as ``float*``."""
int32s_from = intrinsic(prefer_literal=True)(_typed_pointers(INT32S))
"""``(count, table)``: tuple of the first ``count`` (a literal) addresses in a table, as ``int32_t*``."""


def _call(returns: types.Type) -> Any:
    """Make an intrinsic ``(address, tuple of arguments)`` that calls the C function at ``address``."""

    def typed(typing_context: Any, address: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            given = [builder.extract_value(args[1], i) for i in range(len(arguments))]
            returned = ir.VoidType() if returns == types.void else context.get_value_type(returns)
            function = ir.FunctionType(returned, [value.type for value in given])
            value = builder.call(builder.inttoptr(args[0], function.as_pointer()), given)
            return context.get_dummy_value() if returns == types.void else value

        return returns(address, arguments), generate

    return typed


call_kernel = intrinsic(_call(types.void))
"""Call ``void f(…)``."""
call_for_status = intrinsic(_call(types.int32))
"""Call ``int32_t f(…)``."""
call_for_word = intrinsic(_call(types.int64))
"""Call ``int64_t f(…)``, or a function that returns a pointer."""
