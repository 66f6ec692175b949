"""Words that a call from Python reads: functions, memory, and addresses of CPython."""

from __future__ import annotations

from edge_rnn.kernels.compile.words import Words

__all__ = ["Call", "Python"]


class Call(Words):
    """Layout of the self of a Python builtin, an array of ``int64_t``."""

    TARGET = 0
    """Address of a handle or table whose first word is the address of ``int32_t step(target, x, y)``."""
    RUN = 1
    """For many steps: address of ``int64_t run(target, xs, ys, count)``."""
    NDIM = 2
    ROWS = 3
    COLUMNS = 4
    """Expected shape of an array: ``(rows,)`` or ``(rows, columns)``."""
    SCALAR = 5
    """1 if ``x`` may be a Python float, and ``y`` is then returned as one."""
    ROOM = 6
    """Space for a float or for the index of a row."""
    Y = 7
    """Python object of the preallocated output."""
    Y_DATA = 8
    """Address of its floats."""
    SLOW = 9
    """Python callable for arguments that the fast path does not take; it converts them or raises the error."""
    PYTHON = 10
    """Address of the table that :class:`Python` describes."""
    MAKE = 11
    """For many steps: Python callable that allocates the output for an ``xs``."""
    REFUSED = 12
    """For many steps: Python callable that raises the error for the row in ROOM of an ``xs``."""


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
    """``PyThreadState *PyEval_SaveThread(void)``, which releases the GIL."""
    RESTORE_THREAD = 8
    """``void PyEval_RestoreThread(PyThreadState *)``, which acquires the GIL again."""
