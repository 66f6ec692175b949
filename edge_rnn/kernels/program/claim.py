"""Claim a stream for one call at a time, by a word in its handle that identifies the call.

A call is identified by an address on its own stack, which no concurrent call has. A single step claims the word by
plain loads and stores, which cost a nanosecond. Two threads that step at the same moment may both find it free, but
only one of the two numbers can have been written last, so the call with the other number finds a number that is not its
own, or none, when it leaves. Long calls claim the word by one atomic exchange, and so do steps of Python code that has
no fast path: without the GIL, these may well start at the same moment. A stream that two calls were in at once
is marked, and refuses all calls until it is reset.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.compile.module_names import own_words
from edge_rnn.kernels.program.record import FREE, MIXED, Status
from edge_rnn.kernels.vectors.addresses import to_word

__all__ = ["busy", "enter", "enter_atomically", "leave", "leave_atomically", "own_number"]

_WORD_BYTES = 8


@intrinsic
def _read(typing_context: Any, word: Any) -> Any:
    """Load the word at an address from memory, atomically."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load_atomic(args[0], "monotonic", _WORD_BYTES)

    return types.int64(word), generate


@intrinsic
def _write(typing_context: Any, word: Any, value: Any) -> Any:
    """Store a value to the word at an address, atomically."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        given = context.cast(builder, args[1], sig.args[1], types.int64)
        builder.store_atomic(given, args[0], "monotonic", _WORD_BYTES)
        return context.get_dummy_value()

    return types.void(word, value), generate


@intrinsic
def _exchange(typing_context: Any, word: Any, expected: Any, value: Any) -> Any:
    """Store ``value`` if the word is ``expected``, by one atomic exchange; return the old word.

    Memory that the call before used is seen as that call left it.
    """

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        old, new = (context.cast(builder, args[i], sig.args[i], types.int64) for i in (1, 2))
        return builder.extract_value(builder.cmpxchg(args[0], old, new, "acq_rel", "acquire"), 0)

    return types.int64(word, expected, value), generate


@helper
def own_number() -> Any:
    """Number that no concurrent call has: an address on this call's stack."""
    return to_word(own_words(1))


@helper
def busy(found: Any) -> Any:
    """:class:`Status` for a stream whose word is not free."""
    return Status.MIXED if found == MIXED else Status.IN_USE


@helper
def enter(word: Any, number: Any) -> Any:
    """Claim a stream for a single step; return its old word, FREE if the claim succeeded."""
    found = _read(word)
    if found == FREE:
        _write(word, number)
    return found


@helper
def enter_atomically(word: Any, number: Any) -> Any:
    """Claim a stream for a long call; return its old word, FREE if the claim succeeded."""
    return _exchange(word, FREE, number)


@helper
def leave(word: Any, number: Any) -> Any:
    """Release a stream; return True if no other call entered it meanwhile. Otherwise mark it as MIXED."""
    alone = _read(word) == number
    _write(word, FREE if alone else MIXED)
    return alone


@helper
def leave_atomically(word: Any, number: Any) -> Any:
    """Release a stream after a long call, as :func:`leave`."""
    alone = _exchange(word, number, FREE) == number
    if not alone:
        _write(word, MIXED)
    return alone
