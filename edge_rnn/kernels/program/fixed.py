"""Step of one model structure, compiled with the sizes and places of all its operations as constants.

It computes the same as the step in :mod:`edge_rnn.kernels.program.driver`, bit for bit, in memory of the same layout:
either can continue what the other began. Weights stay apart, so that all models of a structure share the code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from numba.core import types

from edge_rnn.kernels.compile.compiler import FLOATS, WORDS, helper
from edge_rnn.kernels.compile.module_names import MOST_INLINED, calls_in_order, own_words, stores
from edge_rnn.kernels.program.driver import advancing, stepping
from edge_rnn.kernels.program.record import Handle
from edge_rnn.kernels.program.structure import Structure
from edge_rnn.kernels.vectors.addresses import as_floats

__all__ = ["fixed_advance", "fixed_functions", "inlined"]

_HANDLE_WORDS = len(Handle)


def fixed_advance(structure: Structure) -> Any:
    """Make a helper ``advance(handle, x, y)`` that calls kernels by name, for a handle that is local to its caller."""
    calls = calls_in_order(structure.operations, structure.records)

    @helper
    def program(handle):  # type: ignore[no-untyped-def]
        calls(handle[Handle.PARITY], as_floats(handle[Handle.WEIGHTS]), as_floats(handle[Handle.ARENA]))

    return helper(advancing(program))


def inlined(operations: Sequence[str]) -> set[str]:
    """Kernels that are called seldom enough in a step to be inlined into it."""
    return {name for name, uses in Counter(operations).items() if uses <= MOST_INLINED}


def fixed_functions(structure: Structure) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Make ``step`` and ``advance`` of a structure: Python functions over pointers, with their Numba signatures."""
    inner, set_words = fixed_advance(structure), stores(structure.words)

    def advance(handle, x, y):  # type: ignore[no-untyped-def]
        own = own_words(_HANDLE_WORDS)
        set_words(own)
        own[Handle.ARENA], own[Handle.WEIGHTS] = handle[Handle.ARENA], handle[Handle.WEIGHTS]
        own[Handle.POLICY], own[Handle.PARITY] = handle[Handle.POLICY], handle[Handle.PARITY]
        own[Handle.REFUSED] = handle[Handle.REFUSED]
        status = inner(own, x, y)
        handle[Handle.PARITY], handle[Handle.REFUSED] = own[Handle.PARITY], own[Handle.REFUSED]
        return status

    signature = types.int32(WORDS, FLOATS, FLOATS)
    return {"advance": (advance, signature), "step": (stepping(advance), signature)}
