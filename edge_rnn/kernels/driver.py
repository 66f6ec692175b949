"""A step from outside: check and store the sample, run the program over it, check the output and hand it over."""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.record import RECORD_INTS, Handle, Policy, Python, Status

__all__ = ["build"]

# Numba takes no members of enumerations as indices.
_STEP, _INPUT_SIZE, _OUTPUT_SIZE = int(Handle.STEP), int(Handle.INPUT_SIZE), int(Handle.OUTPUT_SIZE)
_FUNCTIONS, _OPERATIONS, _RECORDS = int(Handle.FUNCTIONS), int(Handle.OPERATIONS), int(Handle.RECORDS)
_WEIGHTS, _ARENA, _INPUT, _HELD = int(Handle.WEIGHTS), int(Handle.ARENA), int(Handle.INPUT), int(Handle.HELD)
_LAST_OUTPUT, _OUTPUT, _PARITY = int(Handle.LAST_OUTPUT), int(Handle.OUTPUT_EVEN), int(Handle.PARITY)
_POLICY, _REFUSED, _PYTHON = int(Handle.POLICY), int(Handle.REFUSED), int(Handle.PYTHON)
_Y, _Y_DATA, _SLOW = int(Handle.Y), int(Handle.Y_DATA), int(Handle.SLOW)
_RAISE, _HOLD = int(Policy.RAISE), int(Policy.HOLD)
_DONE, _BAD_SAMPLE, _BAD_OUTPUT = int(Status.DONE), int(Status.BAD_SAMPLE), int(Status.BAD_OUTPUT)
_ARRAY_TYPE, _FLOAT32 = int(Python.ARRAY_TYPE), int(Python.FLOAT32)
_INCREF, _CALL = int(Python.INCREF), int(Python.CALL_ONE_ARG)


def build(name: str, block: int) -> Any:
    """The compiled function ``step``, ``run`` or ``call``."""
    return {"step": _step, "run": _run, "call": _call}[name]()


def _step() -> Any:
    """``int32_t step(handle, const float *x, float *y)``: a :class:`Status`; ``y`` and state change only with DONE."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.pointer import as_floats, as_int32s, as_words, call_kernel
    from edge_rnn.kernels.samples import give, hold, take
    from edge_rnn.kernels.vector import at

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
        if not give(at(arena, handle[_OUTPUT + parity]), last, y, handle[_OUTPUT_SIZE]):
            return refuse(handle, last, y, _BAD_OUTPUT)
        handle[_REFUSED] += held
        handle[_PARITY] = 1 - parity
        return _DONE

    return step


def _run() -> Any:
    """``intptr_t run(handle, const float *xs, float *ys, intptr_t count)``: steps done before one was refused."""
    from edge_rnn.kernels.pointer import call_for_status
    from edge_rnn.kernels.vector import at

    def run(handle, xs, ys, count):  # type: ignore[no-untyped-def]
        step, n_in, n_out = handle[_STEP], handle[_INPUT_SIZE], handle[_OUTPUT_SIZE]
        for t in range(count):
            if call_for_status(step, (handle, at(xs, t * n_in), at(ys, t * n_out))) != _DONE:
                return t
        return count

    return run


# Where CPython and NumPy keep things on a 64-bit machine, in words: PyObject {refcount, type}, then PyArrayObject
# {data, int nd, dimensions, strides, base, descr, int flags}. `callable` looks at a live array before it relies on it.
_OB_TYPE, _DATA, _ND, _DIMENSIONS, _DESCR, _FLAGS = 1, 2, 3, 4, 7, 8
_C_CONTIGUOUS_ALIGNED = 0x0001 | 0x0100
_INT = 0xFFFFFFFF


def _call() -> Any:
    """``PyObject *call(PyObject *self, PyObject *x)``: one step, called as a builtin whose self is the handle's array.

    A float32 array of the right shape goes straight into the step; all else, and a sample that was refused, to
    ``SLOW``, which converts or says what is wrong.
    """
    from edge_rnn.kernels.pointer import as_floats, as_words, call_for_status, call_for_word, call_kernel

    def call(self, x):  # type: ignore[no-untyped-def]
        handle = as_words(as_words(self)[_DATA])
        python = as_words(handle[_PYTHON])
        array = as_words(x)
        if (
            array[_OB_TYPE] == python[_ARRAY_TYPE]
            and array[_ND] & _INT == 1
            and array[_DESCR] == python[_FLOAT32]
            and array[_FLAGS] & _C_CONTIGUOUS_ALIGNED == _C_CONTIGUOUS_ALIGNED
            and as_words(array[_DIMENSIONS])[0] == handle[_INPUT_SIZE]
        ):
            y = as_floats(handle[_Y_DATA])
            if call_for_status(handle[_STEP], (handle, as_floats(array[_DATA]), y)) == _DONE:
                call_kernel(python[_INCREF], (handle[_Y],))
                return handle[_Y]
        return call_for_word(python[_CALL], (handle[_SLOW], x))

    return call
