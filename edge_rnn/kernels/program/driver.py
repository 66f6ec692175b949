"""Entry of a step: check and store the sample, run the program, check the output and deliver it.

``advance`` does this alone. ``step`` claims the stream first, see :mod:`edge_rnn.kernels.program.claim`; ``run`` and
``rollout`` claim it once for many steps.
"""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import FREE, Handle, Policy, Status

__all__ = ["advancing", "build", "not_done", "stepping"]


def build(name: str, target: Target, streams: int) -> Any:
    """Build the function ``step``, ``advance``, ``run`` or ``rollout``."""
    return {"step": _step, "advance": _advance, "run": _run, "rollout": _rollout}[name]()


def not_done(count: int) -> Status:
    """Status in the result of ``run``, ``rollout`` or ``generate``: DONE, or the reason why it must not be used."""
    return Status(-count) if count < 0 else Status.DONE


def _step() -> Any:
    """Build ``int32_t step(handle, const float *x, float *y)``: a :class:`Status`; ``y`` changes only with DONE."""
    return stepping(_advance())


def stepping(advance: Any) -> Any:
    """Build ``step`` around ``advance``: claim the stream, advance, release it."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.program.claim import busy, enter, leave, own_number
    from edge_rnn.kernels.vectors.load_store import at

    advance = helper(advance)

    def step(handle, x, y):  # type: ignore[no-untyped-def]
        word, number = at(handle, Handle.IN_USE), own_number()
        found = enter(word, number)
        if found != FREE:
            return busy(found)
        status = advance(handle, x, y)
        return status if leave(word, number) else Status.MIXED

    return step


def _advance() -> Any:
    """Build ``int32_t advance(handle, const float *x, float *y)``: as ``step``, for a stream that is claimed."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import as_floats, as_int32s, as_words, call_kernel, to_word
    from edge_rnn.kernels.vectors.load_store import at

    @helper
    def program(handle):  # type: ignore[no-untyped-def]
        """Run the operations in the handle's table."""
        arena, weights = as_floats(handle[Handle.ARENA]), as_floats(handle[Handle.WEIGHTS])
        function = as_words(handle[Handle.FUNCTIONS])
        end, length = to_word(at(function, handle[Handle.OPERATIONS])), handle[Handle.RECORD_LENGTH]
        record = as_int32s(handle[Handle.RECORDS_ODD] if handle[Handle.PARITY] else handle[Handle.RECORDS_EVEN])
        while to_word(function) != end:
            call_kernel(function[0], (record, weights, arena))
            function, record = at(function, 1), at(record, length)

    return advancing(program)


def advancing(program: Any) -> Any:
    """Build ``int32_t advance(handle, const float *x, float *y)``, which runs the operations by ``program(handle)``.

    Words of the handle are read at constant indices, so that a handle that is local to the caller is optimized away.
    """
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.program.policy import REFUSED, hand_over, is_finite, repeat_last, take

    @helper
    def refuse(handle, y, status):  # type: ignore[no-untyped-def]
        """Skip a sample: return an error, or repeat the last output."""
        if handle[Handle.POLICY] == Policy.RAISE:
            return status
        repeat_last(handle, y)
        return Status.DONE

    def advance(handle, x, y):  # type: ignore[no-untyped-def]
        held = take(handle, x)
        if held == REFUSED:
            return refuse(handle, y, Status.BAD_SAMPLE)
        program(handle)
        if not is_finite(handle):
            return refuse(handle, y, Status.BAD_OUTPUT)
        hand_over(handle, y, held)
        return Status.DONE

    return advance


def _run() -> Any:
    """Build ``int64_t run(handle, const float *xs, float *ys, int64_t count)``.

    It returns the number of steps done before one was refused. A result below 0 is a :class:`Status` with its sign
    changed: another call is in the stream, or was.
    """
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import call_for_status
    from edge_rnn.kernels.vectors.load_store import at

    @helper
    def advance_all(handle, xs, ys, count):  # type: ignore[no-untyped-def]
        advance, n_in, n_out = handle[Handle.ADVANCE], handle[Handle.INPUT_SIZE], handle[Handle.OUTPUT_SIZE]
        for t in range(count):
            if call_for_status(advance, (handle, at(xs, t * n_in), at(ys, t * n_out))) != Status.DONE:
                return t
        return count

    return _claimed(advance_all)


def _rollout() -> Any:
    """Build ``int64_t rollout(handle, const float *x, float *ys, int64_t count)``.

    As ``run``, but the first step reads ``x``, and each other step reads the output of the step before.
    """
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import call_for_status
    from edge_rnn.kernels.vectors.load_store import at

    @helper
    def advance_all(handle, x, ys, count):  # type: ignore[no-untyped-def]
        advance, n_out = handle[Handle.ADVANCE], handle[Handle.OUTPUT_SIZE]
        for t in range(count):
            y = at(ys, t * n_out)
            if call_for_status(advance, (handle, x, y)) != Status.DONE:
                return t
            x = y
        return count

    return _claimed(advance_all)


def _claimed(advance_all: Any) -> Any:
    """Build a function of many steps that claims the stream once, around all of them."""
    from edge_rnn.kernels.program.claim import busy, enter_atomically, leave_atomically, own_number
    from edge_rnn.kernels.vectors.load_store import at

    def claimed(handle, xs, ys, count):  # type: ignore[no-untyped-def]
        word, number = at(handle, Handle.IN_USE), own_number()
        found = enter_atomically(word, number)
        if found != FREE:
            return -busy(found)
        done = advance_all(handle, xs, ys, count)
        return done if leave_atomically(word, number) else -Status.MIXED

    return claimed
