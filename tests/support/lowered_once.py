"""Kernels that are lowered once for each target, in all tests and all workers.

Numba's part takes most of a compilation. The object code for this machine is cached, that for boards and libraries is
not, though their kernels are the same: here the lowered text of each is kept next to the object files.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakSet

from edge_rnn import atomic
from edge_rnn.errors import FileError
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache

_FOLDER = object_cache.cache_directory().path / "lowered"  # of the whole run, not that of a test with its own cache

_function_of = object_cache.function_of
_made: WeakSet[Callable[..., Any]] = WeakSet()


def _remembered(name: str, cpu: Target) -> tuple[Callable[..., Any], Any]:
    function, signature = _function_of(name, cpu)
    _made.add(function)
    from edge_rnn.kernels.compile import compiler

    if not hasattr(compiler._lowered, "keeps"):
        compiler._lowered = _keeping(compiler._lowered)
    return function, signature


def _keeping(lowered: Callable[..., str]) -> Callable[..., str]:
    """Make a ``_lowered`` that does each kernel once; other functions have no name of their own."""

    def keeping(name: str, function: Callable[..., Any], signature: Any, target: Target) -> str:
        if function not in _made:
            return lowered(name, function, signature, target)
        path = _path(name, target)
        try:
            return zlib.decompress(path.read_bytes()).decode()
        except (OSError, zlib.error):
            text = lowered(name, function, signature, target)
        with suppress(OSError, FileError):
            _FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.write(path, zlib.compress(text.encode(), 1))
        return text

    keeping.keeps = True  # type: ignore[attr-defined]
    return keeping


def _path(name: str, target: Target) -> Path:
    key = object_cache._sources() + repr((name, target, version("numba"))).encode()
    return _FOLDER / f"{hashlib.sha256(key).hexdigest()[:32]}.z"


object_cache.function_of = _remembered
