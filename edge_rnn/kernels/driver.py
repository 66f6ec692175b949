"""A step from outside: check and store the sample, run the program over it, check the output and hand it over."""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.record import RECORD_INTS, Handle, Policy, Status
from edge_rnn.kernels.target import Target

__all__ = ["build"]

# Numba takes no members of enumerations as indices.
_STEP, _INPUT_SIZE, _OUTPUT_SIZE = int(Handle.STEP), int(Handle.INPUT_SIZE), int(Handle.OUTPUT_SIZE)
_FUNCTIONS, _OPERATIONS, _RECORDS = int(Handle.FUNCTIONS), int(Handle.OPERATIONS), int(Handle.RECORDS)
_WEIGHTS, _ARENA, _PARITY, _POLICY = int(Handle.WEIGHTS), int(Handle.ARENA), int(Handle.PARITY), int(Handle.POLICY)
_RAISE, _DONE = int(Policy.RAISE), int(Status.DONE)
_BAD_SAMPLE, _BAD_OUTPUT = int(Status.BAD_SAMPLE), int(Status.BAD_OUTPUT)


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled function ``step``, ``run`` or ``rollout``."""
    return {"step": _step, "run": _run, "rollout": _rollout}[name]()


def _step() -> Any:
    """``int32_t step(handle, const float *x, float *y)``: a :class:`Status`; ``y`` and state change only with DONE."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import as_floats, as_int32s, as_words, call_kernel
    from edge_rnn.kernels.samples import REFUSED, hand_over, is_finite, repeat_last, take

    @helper
    def refuse(handle, y, status):  # type: ignore[no-untyped-def]
        """The sample does not count: an error, or the last output once more."""
        if handle[_POLICY] == _RAISE:
            return status
        repeat_last(handle, y)
        return _DONE

    def step(handle, x, y):  # type: ignore[no-untyped-def]
        held = take(handle, x)
        if held == REFUSED:
            return refuse(handle, y, _BAD_SAMPLE)
        arena, weights = as_floats(handle[_ARENA]), as_floats(handle[_WEIGHTS])
        functions, operations = as_words(handle[_FUNCTIONS]), handle[_OPERATIONS]
        record = at(as_int32s(handle[_RECORDS]), handle[_PARITY] * operations * RECORD_INTS)
        for i in range(operations):
            call_kernel(functions[i], (record, weights, arena))
            record = at(record, RECORD_INTS)
        if not is_finite(handle):
            return refuse(handle, y, _BAD_OUTPUT)
        hand_over(handle, y, held)
        return _DONE

    return step


def _run() -> Any:
    """``intptr_t run(handle, const float *xs, float *ys, intptr_t count)``: steps done before one was refused."""
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import call_for_status

    def run(handle, xs, ys, count):  # type: ignore[no-untyped-def]
        step, n_in, n_out = handle[_STEP], handle[_INPUT_SIZE], handle[_OUTPUT_SIZE]
        for t in range(count):
            if call_for_status(step, (handle, at(xs, t * n_in), at(ys, t * n_out))) != _DONE:
                return t
        return count

    return run


def _rollout() -> Any:
    """``intptr_t rollout(handle, const float *x, float *ys, intptr_t count)``: steps done before one was refused.

    The first step reads ``x``, each other one what the step before it has written.
    """
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import call_for_status

    def rollout(handle, x, ys, count):  # type: ignore[no-untyped-def]
        step, n_out = handle[_STEP], handle[_OUTPUT_SIZE]
        for t in range(count):
            y = at(ys, t * n_out)
            if call_for_status(step, (handle, x, y)) != _DONE:
                return t
            x = y
        return count

    return rollout
