"""C functions of a library, as Python functions over pointers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types

from edge_rnn.kernels.compile.compiler import FLOATS, INT32S, helper
from edge_rnn.kernels.compile.module_names import (
    external,
    is_aligned,
    named_constant,
    own_words,
    stores,
)
from edge_rnn.kernels.program.fixed import fixed_advance
from edge_rnn.kernels.program.record import Handle, Policy, Status
from edge_rnn.kernels.standalone.c_layout import HEADER_INTS, STATE_ALIGNMENT_BYTES, Layout, Refusal, State
from edge_rnn.kernels.vectors.addresses import as_floats_at, to_word
from edge_rnn.kernels.vectors.load_store import at

__all__ = ["c_functions"]

Functions = dict[str, tuple[Callable[..., Any], Any]]

_POLICIES = len(Policy)
_HANDLE_WORDS = len(Handle)
_ZERO = np.float32(0)
_I32 = types.int32


def c_functions(name: str, layout: Layout) -> Functions:
    """Make the C functions: a Python function and its Numba signature, by the name without the library's prefix."""
    return {**_stepping(name, layout), **_starting(layout), **_keeping(layout), **_testing(name, layout)}


@helper
def _arena(state: Any) -> Any:
    return as_floats_at(state, HEADER_INTS)


def _stepping(name: str, layout: Layout) -> Functions:
    tag, words = layout.tag, layout.structure.words
    n_in, n_out = words[Handle.INPUT_SIZE], words[Handle.OUTPUT_SIZE]
    weights, set_words, advance = named_constant("weights", FLOATS), stores(words), fixed_advance(layout.structure)
    step_by_name = external(f"{name}_step", _I32(FLOATS, FLOATS, INT32S))

    def step(x, y, state):  # type: ignore[no-untyped-def]
        if state[State.MODEL] != tag:
            return Refusal.NOT_RESET
        handle = own_words(_HANDLE_WORDS)
        set_words(handle)
        handle[Handle.ARENA], handle[Handle.WEIGHTS] = to_word(_arena(state)), to_word(weights())
        handle[Handle.PARITY], handle[Handle.POLICY], handle[Handle.REFUSED] = (
            state[State.PARITY],
            state[State.POLICY],
            0,
        )
        status = advance(handle, x, y)
        state[State.PARITY], state[State.REFUSED] = handle[Handle.PARITY], state[State.REFUSED] + handle[Handle.REFUSED]
        return status

    def run(xs, ys, count, state):  # type: ignore[no-untyped-def]
        for t in range(count):
            if step_by_name(at(xs, t * n_in), at(ys, t * n_out), state) != Status.DONE:
                return t
        return count

    return {
        "step": (step, _I32(FLOATS, FLOATS, INT32S)),
        "run": (run, _I32(FLOATS, FLOATS, _I32, INT32S)),
    }


def _starting(layout: Layout) -> Functions:
    tag, nbytes, floats, initial_floats = layout.tag, layout.state_bytes, layout.arena_floats, len(layout.initial)
    initial = named_constant("initial", FLOATS)

    def state_bytes():  # type: ignore[no-untyped-def]
        return nbytes

    def reset(state):  # type: ignore[no-untyped-def]
        if not is_aligned(state, STATE_ALIGNMENT_BYTES):
            return Refusal.BAD_STATE
        for i in range(HEADER_INTS):
            state[i] = 0
        arena, start = _arena(state), initial()
        for i in range(floats):
            arena[i] = _ZERO
        for i in range(initial_floats):
            arena[i] = start[i]
        state[State.MODEL] = tag
        return Status.DONE

    def set_policy(state, which):  # type: ignore[no-untyped-def]
        if state[State.MODEL] != tag:
            return Refusal.NOT_RESET
        if which < 0 or which >= _POLICIES:
            return Refusal.BAD_POLICY
        state[State.POLICY] = which
        return Status.DONE

    def refused(state):  # type: ignore[no-untyped-def]
        return state[State.REFUSED]

    return {
        "state_bytes": (state_bytes, _I32()),
        "reset": (reset, _I32(INT32S)),
        "set_policy": (set_policy, _I32(INT32S, _I32)),
        "refused": (refused, _I32(INT32S)),
    }


def _keeping(layout: Layout) -> Functions:
    tag, parts, total = layout.tag, len(layout.kept), layout.kept_floats
    kept = named_constant("kept", INT32S)
    last_output = int(layout.kept[0, 2])
    others = last_output + int(layout.kept[1, 2])

    def save(state, floats):  # type: ignore[no-untyped-def]
        if state[State.MODEL] != tag:
            return Refusal.NOT_RESET
        arena, places = _arena(state), kept()
        for part in range(parts):
            place, count = places[3 * part + state[State.PARITY]], places[3 * part + 2]
            for i in range(count):
                floats[i] = arena[place + i]
            floats = at(floats, count)
        return Status.DONE

    def restore(state, floats):  # type: ignore[no-untyped-def]
        if state[State.MODEL] != tag:
            return Refusal.NOT_RESET
        for i in range(total):
            no_output_yet = last_output <= i < others and floats[i] != floats[i]
            if floats[i] - floats[i] != _ZERO and not no_output_yet:
                return Refusal.BAD_STATE
        arena, places = _arena(state), kept()
        for part in range(parts):
            place, count = places[3 * part + state[State.PARITY]], places[3 * part + 2]
            for i in range(count):
                arena[place + i] = floats[i]
            floats = at(floats, count)
        return Status.DONE

    return {"save": (save, _I32(INT32S, FLOATS)), "restore": (restore, _I32(INT32S, FLOATS))}


def _testing(name: str, layout: Layout) -> Functions:
    words, tests = layout.structure.words, len(layout.test_x)
    n_in, n_out, last_output = words[Handle.INPUT_SIZE], words[Handle.OUTPUT_SIZE], words[Handle.LAST_OUTPUT]
    tolerance = np.float32(layout.test_tolerance)
    test_x, test_y = named_constant("test_x", FLOATS), named_constant("test_y", FLOATS)
    step = external(f"{name}_step", _I32(FLOATS, FLOATS, INT32S))
    reset = external(f"{name}_reset", _I32(INT32S))

    def self_test(state):  # type: ignore[no-untyped-def]
        status = reset(state)
        if status != Status.DONE:
            return status
        y, xs, ys = at(_arena(state), last_output), test_x(), test_y()
        for t in range(tests):
            status = step(at(xs, t * n_in), y, state)
            if status != Status.DONE:
                return status
            for i in range(n_out):
                off = y[i] - ys[t * n_out + i]
                if not (off <= tolerance and -off <= tolerance):
                    return Refusal.FAILED
        return reset(state)

    return {"self_test": (self_test, _I32(INT32S))}
