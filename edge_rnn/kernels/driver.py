"""A step from outside: check and store the sample, run the program over it, check the output and hand it over."""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.record import RECORD_INTS, Handle, Policy, Status

__all__ = ["build"]

# Numba takes no members of enumerations as indices.
_STEP, _INPUT_SIZE, _OUTPUT_SIZE = int(Handle.STEP), int(Handle.INPUT_SIZE), int(Handle.OUTPUT_SIZE)
_FUNCTIONS, _OPERATIONS, _RECORDS = int(Handle.FUNCTIONS), int(Handle.OPERATIONS), int(Handle.RECORDS)
_WEIGHTS, _ARENA, _INPUT, _HELD = int(Handle.WEIGHTS), int(Handle.ARENA), int(Handle.INPUT), int(Handle.HELD)
_LAST_OUTPUT, _OUTPUT, _PARITY = int(Handle.LAST_OUTPUT), int(Handle.OUTPUT_EVEN), int(Handle.PARITY)
_POLICY, _REFUSED = int(Handle.POLICY), int(Handle.REFUSED)
_STATES, _STATE_FLOATS = int(Handle.STATES_EVEN), int(Handle.STATE_FLOATS)
_RAISE, _HOLD = int(Policy.RAISE), int(Policy.HOLD)
_DONE, _BAD_SAMPLE, _BAD_OUTPUT = int(Status.DONE), int(Status.BAD_SAMPLE), int(Status.BAD_OUTPUT)


def build(name: str, block: int, streams: int) -> Any:
    """The compiled function ``step`` or ``run``."""
    return {"step": _step, "run": _run}[name]()


def _step() -> Any:
    """``int32_t step(handle, const float *x, float *y)``: a :class:`Status`; ``y`` and state change only with DONE."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import as_floats, as_int32s, as_words, call_kernel
    from edge_rnn.kernels.samples import all_finite, give, hold, take

    @helper
    def refuse(handle, last, y, status):  # type: ignore[no-untyped-def]
        """The sample does not count: an error, or the last output once more."""
        if handle[_POLICY] == _RAISE:
            return status
        handle[_REFUSED] += 1
        for i in range(handle[_OUTPUT_SIZE]):
            y[i] = last[i]
        return _DONE

    def step(handle, x, y):  # type: ignore[no-untyped-def]
        arena, parity = as_floats(handle[_ARENA]), handle[_PARITY]
        sample, last = at(arena, handle[_INPUT]), at(arena, handle[_LAST_OUTPUT])
        held = 0
        if handle[_POLICY] == _HOLD:
            if not hold(sample, at(arena, handle[_HELD]), x, handle[_INPUT_SIZE]):
                held = 1
        elif not take(sample, x, handle[_INPUT_SIZE]):
            return refuse(handle, last, y, _BAD_SAMPLE)
        functions, operations = as_words(handle[_FUNCTIONS]), handle[_OPERATIONS]
        weights = as_floats(handle[_WEIGHTS])
        record = at(as_int32s(handle[_RECORDS]), parity * operations * RECORD_INTS)
        for i in range(operations):
            call_kernel(functions[i], (record, weights, arena))
            record = at(record, RECORD_INTS)
        output = at(arena, handle[_OUTPUT + parity])
        states = at(arena, handle[_STATES + parity])
        if not (all_finite(output, handle[_OUTPUT_SIZE]) and all_finite(states, handle[_STATE_FLOATS])):
            return refuse(handle, last, y, _BAD_OUTPUT)
        give(output, last, y, handle[_OUTPUT_SIZE])
        handle[_REFUSED] += held
        handle[_PARITY] = 1 - parity
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
