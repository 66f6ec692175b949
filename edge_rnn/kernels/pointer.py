"""Addresses as Numba values: words taken as pointers, and calls of C functions by address."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from edge_rnn.kernels.compiler import FLOATS, INT32S, WORDS

__all__ = ["as_floats", "as_int32s", "as_words", "call_for_status", "call_for_word", "call_kernel"]


def _pointer_from_word(pointer: types.CPointer) -> Any:
    def typed(typing_context: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(pointer))

        return pointer(word), generate

    return typed


as_floats = intrinsic(_pointer_from_word(FLOATS))
"""The address in a word as ``float*``."""
as_int32s = intrinsic(_pointer_from_word(INT32S))
"""The address in a word as ``int32_t*``."""
as_words = intrinsic(_pointer_from_word(WORDS))
"""The address in a word as ``intptr_t*``."""


def _call(returns: types.Type) -> Any:
    """An intrinsic ``(address, tuple of arguments)`` that calls the C function at ``address``."""

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
call_for_word = intrinsic(_call(types.intp))
"""Call ``intptr_t f(…)``, or a function that returns a pointer."""
