"""Step as a C function that CPython calls: it reads the sample's array in place and allocates nothing.

It relies on the layout of objects on a 64-bit machine, in words: PyObject is {refcount, type}; PyArrayObject continues
with {data, int nd, dimensions, strides, base, descr, int flags}, PyArray_Descr with {typeobj, char kind, char type,
char byteorder, char flags, int type_num}, PyFloatObject with {double}.
:mod:`edge_rnn.kernels.entry.python_function` verifies the layout on live objects first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry.words import Call, Python

__all__ = ["build"]

_OB_TYPE, _DATA, _ND, _DIMENSIONS, _DESCR, _FLAGS = 1, 2, 3, 4, 7, 8
_FLOAT_VALUE = 2
_DESCR_KIND, _FLOAT32_NUMBER, _NATIVE = 3, np.dtype(np.float32).num, ord("=")
_C_CONTIGUOUS_ALIGNED = 0x0001 | 0x0100
_INT = 0xFFFFFFFF


def build(name: str, target: Target, streams: int) -> Any:
    """Build the function ``call`` or ``call_run``."""
    return {"call": _call, "call_run": _call_run}[name]()


def _is_float32() -> Any:
    """Build a check that ``x`` is a contiguous, aligned float32 array with the expected number of axes."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import as_words

    @helper
    def is_float32(words, python, x):  # type: ignore[no-untyped-def]
        if (
            x[_OB_TYPE] != python[Python.ARRAY_TYPE]
            or x[_ND] & _INT != words[Call.NDIM]
            or x[_FLAGS] & _C_CONTIGUOUS_ALIGNED != _C_CONTIGUOUS_ALIGNED
        ):
            return False
        if x[_DESCR] == python[Python.FLOAT32]:
            return True
        kind = as_words(x[_DESCR])[_DESCR_KIND]  # an unpickled array has a dtype object of its own
        return kind >> 32 == _FLOAT32_NUMBER and (kind >> 16) & 0xFF == _NATIVE

    return is_float32


def _call_run() -> Any:
    """Build ``PyObject *call_run(PyObject *self, PyObject *xs)``: many steps, without the GIL."""
    from edge_rnn.kernels.vectors.addresses import as_floats, as_words, call_for_word, call_kernel

    is_float32 = _is_float32()

    def call_run(self, xs):  # type: ignore[no-untyped-def]
        words = as_words(as_words(self)[_DATA])
        python, given = as_words(words[Call.PYTHON]), as_words(xs)
        if not is_float32(words, python, given) or as_words(given[_DIMENSIONS])[1] != words[Call.COLUMNS]:
            return call_for_word(python[Python.CALL_ONE_ARG], (words[Call.SLOW], xs))
        ys = call_for_word(python[Python.CALL_ONE_ARG], (words[Call.MAKE], xs))
        if ys == 0:
            return ys
        rows, x, y = as_words(given[_DIMENSIONS])[0], as_floats(given[_DATA]), as_floats(as_words(ys)[_DATA])
        thread = call_for_word(python[Python.SAVE_THREAD], ())
        done = call_for_word(words[Call.RUN], (words[Call.TARGET], x, y, rows))
        call_kernel(python[Python.RESTORE_THREAD], (thread,))
        if done == rows:
            return ys
        call_kernel(python[Python.DECREF], (ys,))
        words[Call.ROOM] = done
        return call_for_word(python[Python.CALL_ONE_ARG], (words[Call.REFUSED], xs))

    return call_run


def _call() -> Any:
    """Build ``PyObject *call(PyObject *self, PyObject *x)``: one step of the target in self, a :class:`Call`.

    A float32 array of the right shape is passed directly, and so is a float if the model has one input and one output.
    Any other object, and a sample that was refused, goes to ``SLOW``, which converts it or raises the error.
    """
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import (
        as_doubles,
        as_floats,
        as_words,
        call_for_status,
        call_for_word,
        call_kernel,
        to_word,
    )
    from edge_rnn.kernels.vectors.load_store import at

    is_float32 = _is_float32()

    @helper
    def fits(words, python, x):  # type: ignore[no-untyped-def]
        """Return True if ``x`` is such an array and has the expected shape."""
        if not is_float32(words, python, x):
            return False
        dimensions = as_words(x[_DIMENSIONS])
        return dimensions[0] == words[Call.ROWS] and (words[Call.NDIM] == 1 or dimensions[1] == words[Call.COLUMNS])

    def call(self, x):  # type: ignore[no-untyped-def]
        words = as_words(as_words(self)[_DATA])
        python, given, y = as_words(words[Call.PYTHON]), as_words(x), as_floats(words[Call.Y_DATA])
        step = as_words(words[Call.TARGET])[0]
        if fits(words, python, given):
            if call_for_status(step, (words[Call.TARGET], as_floats(given[_DATA]), y)) == 0:
                call_kernel(python[Python.INCREF], (words[Call.Y],))
                return words[Call.Y]
        elif words[Call.SCALAR] and given[_OB_TYPE] == python[Python.FLOAT_TYPE]:
            room = as_floats(to_word(at(words, Call.ROOM)))
            room[0] = as_doubles(x)[_FLOAT_VALUE]
            if call_for_status(step, (words[Call.TARGET], room, y)) == 0:
                return call_for_word(python[Python.FLOAT_FROM_DOUBLE], (np.float64(y[0]),))
        return call_for_word(python[Python.CALL_ONE_ARG], (words[Call.SLOW], x))

    return call
