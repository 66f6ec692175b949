"""One call at a time in a stream: a word in its handle that says which call is in it.

A call is known by the address of something on its own stack, which no other call that goes on at the same time has. A
single step claims the word by plain loads and stores, which cost a nanosecond; two threads that step at the very same
moment may both find it free, but whichever leaves first then finds the other's number, or none, and both numbers
cannot have been the last one written. What takes long claims it by one atomic exchange. A stream that two calls were
in at once is of no use until it is reset, and says so.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.program.record import FREE, MIXED, Status
from edge_rnn.kernels.standalone.module_names import own_words
from edge_rnn.kernels.vectors.addresses import to_word

__all__ = ["busy", "enter", "enter_atomically", "leave", "own_number"]


@intrinsic
def _read(typing_context: Any, word: Any) -> Any:
    """The word at an address, as it is in memory now."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load_atomic(args[0], "monotonic", context.get_abi_sizeof(context.get_value_type(types.intp)))

    return types.intp(word), generate


@intrinsic
def _write(typing_context: Any, word: Any, value: Any) -> Any:
    """A value to the word at an address, now."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = context.get_value_type(types.intp)
        given = context.cast(builder, args[1], sig.args[1], types.intp)
        builder.store_atomic(given, args[0], "monotonic", context.get_abi_sizeof(kind))
        return context.get_dummy_value()

    return types.void(word, value), generate


@intrinsic
def _exchange_if_free(typing_context: Any, word: Any, value: Any) -> Any:
    """Write ``value`` if the word is free, in one piece; what the word was."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        free = ir.Constant(context.get_value_type(types.intp), FREE)
        return builder.extract_value(builder.cmpxchg(args[0], free, args[1], "acq_rel", "acquire"), 0)

    return types.intp(word, value), generate


@helper
def own_number() -> Any:
    """A number that no other call has that goes on at the same time: an address on this call's stack."""
    return to_word(own_words(1))


@helper
def busy(found: Any) -> Any:
    """The :class:`Status` of a stream whose word is not free."""
    return Status.MIXED if found == MIXED else Status.IN_USE


@helper
def enter(word: Any, number: Any) -> Any:
    """Claim a stream for a single step; what its word was, FREE if it is claimed."""
    found = _read(word)
    if found == FREE:
        _write(word, number)
    return found


@helper
def enter_atomically(word: Any, number: Any) -> Any:
    """Claim a stream for a call that takes long; what its word was, FREE if it is claimed."""
    return _exchange_if_free(word, number)


@helper
def leave(word: Any, number: Any) -> Any:
    """Let go of a stream; whether no other call was in it meanwhile. If one was, nothing may use it any more."""
    alone = _read(word) == number
    _write(word, FREE if alone else MIXED)
    return alone
