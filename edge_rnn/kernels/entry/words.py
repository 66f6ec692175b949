"""Words that a call from Python reads: what to call with which memory, and addresses of CPython."""

from __future__ import annotations

from edge_rnn.kernels.compile.words import Words

__all__ = ["Call", "Python"]


class Call(Words):
    """Where the self of a Python builtin (an array of ``intptr_t``) keeps what."""

    FUNCTION = 0
    """Address of ``int32_t function(target, x, y)``, which returns 0 when all is well."""
    TARGET = 1
    """Address of the handle or table that the function takes."""
    NDIM = 2
    ROWS = 3
    COLUMNS = 4
    """Shape that an array has to have: ``(rows,)`` or ``(rows, columns)``."""
    SCALAR = 5
    """1 if a Python float is taken for ``x`` and given for ``y``."""
    ROOM = 6
    """Room for a float, or for the number of a row."""
    Y = 7
    """The Python object of the preallocated output."""
    Y_DATA = 8
    """Address of its floats."""
    SLOW = 9
    """The Python callable that takes what the fast path does not, and says what is wrong."""
    PYTHON = 10
    """Address of the table that :class:`Python` describes."""
    MAKE = 11
    """For many steps: the Python callable that makes the output for an ``xs``."""
    REFUSED = 12
    """For many steps: the Python callable that says of an ``xs`` what was wrong with the row in ROOM."""


class Python(Words):
    """Addresses in this process that a call from Python needs."""

    ARRAY_TYPE = 0
    """``numpy.ndarray``."""
    FLOAT32 = 1
    """``numpy.dtype("float32")``."""
    INCREF = 2
    """``void Py_IncRef(PyObject *)``."""
    CALL_ONE_ARG = 3
    """``PyObject *PyObject_CallOneArg(PyObject *, PyObject *)``."""
    FLOAT_TYPE = 4
    """``float``."""
    FLOAT_FROM_DOUBLE = 5
    """``PyObject *PyFloat_FromDouble(double)``."""
    DECREF = 6
    """``void Py_DecRef(PyObject *)``."""
    SAVE_THREAD = 7
    """``PyThreadState *PyEval_SaveThread(void)``: lets go of the GIL."""
    RESTORE_THREAD = 8
    """``void PyEval_RestoreThread(PyThreadState *)``: takes the GIL again."""
