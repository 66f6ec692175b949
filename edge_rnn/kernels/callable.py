"""A compiled step as a Python function: a builtin made of machine code, with no wrapper in between.

``PyCFunction_NewEx`` makes a builtin of any C function; its self is the stream's handle (a NumPy array of words), and
its module argument keeps alive what the handle only holds addresses of. The compiled function reads the sample array's
fields in place, so it has to know where CPython and NumPy keep them: that is looked up in a live array first, and where
anything is not as expected (another interpreter, a free-threaded or debug build, a NumPy of another layout), there is
no fast path and the caller uses its plain one.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.kernels import library
from edge_rnn.kernels.record import Handle, Python

__all__ = ["make_builtin", "python_addresses", "why_not"]

_METH_O = 0x0008


class _MethodDefinition(ctypes.Structure):
    """CPython's ``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@cache
def why_not() -> str:
    """Why calls from Python take the plain path in this process, in words; empty when the fast one can be taken."""
    if sys.implementation.name != "cpython":
        return f"the interpreter is {sys.implementation.name}, not CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this CPython is free-threaded"
    if hasattr(sys, "gettotalrefcount") or hasattr(sys, "getobjects"):
        return "this CPython is a debug build"
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return "this is not a 64-bit process"
    return _layout_problem()


def _layout_problem() -> str:
    """What is not where :mod:`edge_rnn.kernels.driver` reads it, found by looking at a live array."""
    probe = np.zeros(3, np.float32)
    words = (ctypes.c_ssize_t * 9).from_address(id(probe))
    dimensions = ctypes.c_ssize_t.from_address(words[4]).value if words[4] else None
    expected = {
        "type": (words[1], id(np.ndarray)),
        "data": (words[2], probe.ctypes.data),
        "nd": (words[3] & 0xFFFFFFFF, probe.ndim),
        "dimensions": (dimensions, probe.size),
        "descr": (words[7], id(np.dtype(np.float32))),
        "flags": (words[8] & 0xFFFFFFFF, probe.flags.num),
    }
    wrong = [name for name, (got, want) in expected.items() if got != want]
    return f"NumPy {np.__version__} keeps {', '.join(wrong)} of an array elsewhere" if wrong else ""


@cache
def python_addresses() -> NDArray[np.intp]:
    """The table that ``Handle.PYTHON`` points to; see :class:`edge_rnn.kernels.record.Python`."""
    table = np.zeros(len(Python), np.intp)
    table[Python.ARRAY_TYPE] = id(np.ndarray)
    table[Python.FLOAT32] = id(np.dtype(np.float32))
    table[Python.INCREF] = _address_of("Py_IncRef")
    table[Python.CALL_ONE_ARG] = _address_of("PyObject_CallOneArg")
    table.setflags(write=False)
    return table


def _address_of(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


@cache
def _definition() -> _MethodDefinition:
    return _MethodDefinition(b"step", library.load("call").address, _METH_O, b"step(x, /)\n--\n\nOne time step.")


class _Owner(tuple[Any, ...]):
    """What a builtin keeps alive; CPython shows it as the builtin's module, so it is called after what users know."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "edge_rnn.Stream"


def make_builtin(handle: NDArray[np.intp], keep_alive: tuple[Any, ...]) -> Callable[[Any], Any]:
    """A builtin ``step(x)`` for a stream.

    Parameters
    ----------
    handle
        ``(len(Handle),)`` intp, filled in.
    keep_alive
        What owns all that the handle holds addresses of; it lives as long as the builtin.
    """
    if handle.dtype != np.intp or handle.shape != (len(Handle),):
        raise TypeError(f"handle got {handle.dtype} {handle.shape}, expected intp ({len(Handle)},)")
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_MethodDefinition), ctypes.py_object, ctypes.py_object)(
        ("PyCFunction_NewEx", ctypes.pythonapi)
    )
    return new(ctypes.byref(_definition()), handle, _Owner(keep_alive))  # type: ignore[no-any-return]
