"""Compiled step as a Python function: a builtin that is machine code, with no wrapper in between.

``PyCFunction_NewEx`` makes a builtin of any C function. Its self is a NumPy array of words with the addresses to call
and to use, and its module argument keeps the objects at these addresses alive. The compiled function reads the fields
of the sample's array in place, so it depends on the layout of CPython's and NumPy's objects. The layout is verified on
a live array first; if anything differs (another interpreter, a free-threaded or debug build, another layout of NumPy),
the caller uses its plain path.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry.words import Call, Python
from edge_rnn.typing import F32, AnyArray

__all__ = ["data_address", "make_callable", "make_runner", "why_not"]

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
    """Reason why calls from Python take the plain path in this process; empty if they take the fast one."""
    if sys.implementation.name != "cpython":
        return f"the interpreter is {sys.implementation.name}, not CPython"
    if "t" in sys.abiflags:
        return "this CPython is free-threaded"
    if hasattr(sys, "gettotalrefcount") or hasattr(sys, "getobjects"):
        return "this CPython is a debug build"
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return "this is not a 64-bit process"
    return _layout_problem()


def _layout_problem() -> str:
    """Fields of live objects that are not where :mod:`edge_rnn.kernels.entry.python_call` reads them; empty if none."""
    probe = np.zeros((3, 5), np.float32)
    words = (ctypes.c_ssize_t * 9).from_address(id(probe))
    dimensions = (ctypes.c_ssize_t * 2).from_address(words[4])[:] if words[4] else None
    number = 0.1
    descr = (ctypes.c_ssize_t * 4).from_address(words[7])[3] if words[7] else 0
    expected = {
        "the type of an array": (words[1], id(np.ndarray)),
        "its data": (words[2], probe.ctypes.data),
        "its nd": (words[3] & 0xFFFFFFFF, probe.ndim),
        "its dimensions": (dimensions, [*probe.shape]),
        "its descr": (words[7], id(np.dtype(np.float32))),
        "the byte order of a dtype": ((descr >> 16) & 0xFF, ord("=")),
        "its number": (descr >> 32, probe.dtype.num),
        "its flags": (words[8] & 0xFFFFFFFF, probe.flags.num),
        "the type of a float": (ctypes.c_ssize_t.from_address(id(number) + 8).value, id(float)),
        "its value": (ctypes.c_double.from_address(id(number) + 16).value, number),
    }
    wrong = [name for name, (got, want) in expected.items() if got != want]
    return f"this Python or NumPy {np.__version__} keeps {', '.join(wrong)} elsewhere" if wrong else ""


_lock = threading.Lock()
_definitions: dict[str, _MethodDefinition] = {}
_tables: list[NDArray[np.int64]] = []
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock()))


def _python_addresses() -> NDArray[np.int64]:
    """Table for ``Call.PYTHON``, one per process; see :class:`edge_rnn.kernels.entry.words.Python`."""
    with _lock:
        if not _tables:
            table = np.zeros(len(Python), np.int64)
            table[Python.ARRAY_TYPE] = id(np.ndarray)
            table[Python.FLOAT32] = id(np.dtype(np.float32))
            table[Python.INCREF] = _address_of("Py_IncRef")
            table[Python.CALL_ONE_ARG] = _address_of("PyObject_CallOneArg")
            table[Python.FLOAT_TYPE] = id(float)
            table[Python.FLOAT_FROM_DOUBLE] = _address_of("PyFloat_FromDouble")
            table[Python.DECREF] = _address_of("Py_DecRef")
            table[Python.SAVE_THREAD] = _address_of("PyEval_SaveThread")
            table[Python.RESTORE_THREAD] = _address_of("PyEval_RestoreThread")
            table.setflags(write=False)
            _tables.append(table)
        return _tables[0]


def data_address(array: AnyArray) -> int:
    """``array.ctypes.data``, read from the object in a fifth of the time."""
    offset = _data_offset()
    return array.ctypes.data if offset is None else ctypes.c_size_t.from_address(id(array) + offset).value


@cache
def _data_offset() -> int | None:
    """Offset in bytes of the data pointer in an array object, found in live arrays; None if there is none."""
    if sys.implementation.name != "cpython":
        return None
    probes, word = [np.zeros(size, np.float32) for size in (1, 3, 5)], ctypes.sizeof(ctypes.c_size_t)
    for offset in range(0, np.ndarray.__basicsize__, word):
        if all(ctypes.c_size_t.from_address(id(probe) + offset).value == probe.ctypes.data for probe in probes):
            return offset
    return None


def _address_of(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _definition(name: str) -> _MethodDefinition:
    """Definition of a builtin, one per process."""
    address = object_cache.load(name).address
    with _lock:
        if name not in _definitions:
            doc = {"call": b"step(x, /)\n--\n\nOne time step.", "call_run": b"run(xs, /)\n--\n\nMany time steps."}[name]
            _definitions[name] = _MethodDefinition(doc.partition(b"(")[0], address, _METH_O, doc)
        return _definitions[name]


class _Owner(tuple[Any, ...]):
    """Objects that a builtin keeps alive, even at the end of the process, when modules have been torn down.

    CPython shows it as the builtin's module, hence its repr.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "edge_rnn"


def make_callable(
    target: NDArray[np.int64], shape: tuple[int, ...], y: F32, slow: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """Make the callable for a step: a builtin, or ``slow`` if a builtin is impossible.

    Parameters
    ----------
    target
        Handle or table whose first word is the address of ``int32_t step(target, x, y)``.
    shape
        Shape of arrays that the function takes.
    y
        Array that the function writes to, and that the builtin returns.
    slow
        Callable for arguments that the builtin does not take, and for samples that the function refused, which it
        explains by an error. It owns everything whose address ``target`` holds.
    """
    if why_not():
        return slow
    words = _words(target, shape, slow)
    words[Call.SCALAR] = shape == (1,) and y.shape == (1,)
    words[Call.Y], words[Call.Y_DATA] = id(y), data_address(y)
    return _builtin("call", words, (target, y, slow))


def make_runner(
    target: NDArray[np.int64],
    sizes: tuple[int, int],
    slow: Callable[[Any], F32],
    refused: Callable[[Any, int], NoReturn],
) -> Callable[[Any], F32]:
    """Make the callable for many steps, which returns a new array: a builtin, or ``slow`` if a builtin is impossible.

    Parameters
    ----------
    target
        The handle.
    sizes
        Length of a sample and of an output.
    slow
        Callable for arguments that the builtin does not take; it owns everything whose address ``target`` holds.
    refused
        Callable that raises the error, given the samples and the row that was refused.
    """
    if why_not():
        return slow
    columns = sizes[1]

    def make(xs: F32) -> F32:
        return np.empty((xs.shape[0], columns), np.float32)

    def tell(xs: F32) -> NoReturn:
        refused(xs, int(words[Call.ROOM]))

    words = _words(target, (0, sizes[0]), slow)
    words[Call.RUN], words[Call.MAKE], words[Call.REFUSED] = object_cache.load("run").address, id(make), id(tell)
    return _builtin("call_run", words, (target, slow, make, tell))


def _words(target: NDArray[np.int64], shape: tuple[int, ...], slow: Callable[[Any], Any]) -> Any:
    """Self of a builtin, with the words that both builtins have in common."""
    words = np.zeros(len(Call), np.int64)
    words[Call.TARGET] = data_address(target)
    words[Call.NDIM], words[Call.ROWS], words[Call.COLUMNS] = len(shape), shape[0], shape[-1]
    words[Call.SLOW], words[Call.PYTHON] = id(slow), data_address(_python_addresses())
    return words


@cache
def _maker() -> Any:
    kinds = ctypes.py_object, ctypes.POINTER(_MethodDefinition), ctypes.py_object, ctypes.py_object
    return ctypes.PYFUNCTYPE(*kinds)(("PyCFunction_NewEx", ctypes.pythonapi))


def _builtin(name: str, words: NDArray[np.int64], keep_alive: tuple[Any, ...]) -> Callable[[Any], Any]:
    definition = _definition(name)
    owner = _Owner((*keep_alive, definition, _python_addresses()))
    return _maker()(ctypes.byref(definition), words, owner)  # type: ignore[no-any-return]
