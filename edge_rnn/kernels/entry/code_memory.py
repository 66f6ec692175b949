"""Machine code in this process's memory: readable and executable, and at no time writable and executable.

Code is written to a file in memory, sealed against further writes, and mapped. That file, unlike one in a folder that
is mounted ``noexec``, may be executed, and the system makes written bytes visible as instructions where processors do
not do so themselves (ARM, RISC-V). Where there are no such files, or executing them is forbidden, memory is filled
first and made executable afterwards.

Code stays until the process ends, because builtins may be called when modules have been torn down. A child process
inherits it.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from functools import cache
from typing import Any

from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile.image import Image

__all__ = ["place", "why_not"]

_CLOSE_ON_EXEC, _ALLOW_SEALING = 1, 2  # of memfd_create; Python has them only if its C library did when it was built
_ANONYMOUS = -1


def place(image: Image) -> dict[str, int]:
    """Place an image in memory; return the addresses of its functions.

    Raises
    ------
    CompileError
        This system lets no process make memory executable.
    """
    try:
        start = _in_sealed_file(image.code)
    except (OSError, AttributeError):  # no memfd_create, or one whose files may not be executed
        try:
            start = _in_anonymous_memory(image.code)
        except OSError as error:
            raise CompileError(
                f"This system refuses to make memory executable ({error.strerror}), which compiled kernels need."
            ) from error
    return {name: start + offset for name, offset in image.symbols.items()}


def why_not() -> str:
    """Reason why this system runs no compiled code; empty if it does."""
    try:
        place(Image(bytes(1), {}))
    except CompileError as error:
        return str(error)
    return ""


def _in_sealed_file(code: bytes) -> int:
    file = _called("memfd_create", b"edge_rnn", _CLOSE_ON_EXEC | _ALLOW_SEALING)
    try:
        view = memoryview(code)
        while view:
            view = view[os.write(file, view) :]
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
        return _called("mmap", None, len(code), mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, file, 0)
    finally:
        os.close(file)


def _in_anonymous_memory(code: bytes) -> int:
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    start = _called("mmap", None, len(code), mmap.PROT_READ | mmap.PROT_WRITE, kind, _ANONYMOUS, 0)
    ctypes.memmove(start, code, len(code))
    try:
        _called("mprotect", start, len(code), mmap.PROT_READ | mmap.PROT_EXEC)
    except OSError:
        _called("munmap", start, len(code))
        raise
    return start


def _called(name: str, *args: Any) -> int:
    """Call a function of the C library; raise OSError where it returns -1."""
    result = _function(name)(*args)
    if result in (-1, ctypes.c_void_p(-1).value):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(result)


# Python's own mmap would keep a writable descriptor of the file open for as long as the mapping lives.
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "memfd_create": (ctypes.c_int, (ctypes.c_char_p, ctypes.c_uint)),
    "mmap": (
        ctypes.c_void_p,
        (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
    ),
    "munmap": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t)),
    "mprotect": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)),
}


@cache
def _function(name: str) -> Any:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.restype, function.argtypes = _SIGNATURES[name]
    return function
