"""Cache of compiled functions by name: compiled once, kept as images, and loaded without a compiler from then on.

An image (:mod:`edge_rnn.kernels.compile.image`) is named after a hash of its inputs: the sources of this package, the
version of llvmlite, and the CPU. So an edited kernel cannot run stale code, several versions can share a directory, and
several machines a disk. Files are written atomically and carry a checksum: neither a process that dies half-way nor two
that compile at once do any harm. If the directory is not writable, each process compiles for itself.

An image is code that will be executed. So it is used only if it is this user's own, in a directory that no other user
can write to (:mod:`edge_rnn.own_files`); otherwise the function is compiled. Files are accessible to their owner alone.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from edge_rnn.digest import sha256
from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile import target
from edge_rnn.kernels.compile.image import Image, parse
from edge_rnn.kernels.entry.cache_files import CACHE_VARIABLE, CacheDirectory, cache_directory, read, write
from edge_rnn.kernels.entry.code_memory import place
from edge_rnn.kernels.entry.shipped_kernels import shipped_kernels
from edge_rnn.kernels.lower.key import Generated

__all__ = [
    "CACHE_VARIABLE",
    "SOURCES",
    "SUFFIX",
    "CacheDirectory",
    "Loaded",
    "NoCompilerError",
    "cache_directory",
    "compile_for",
    "find",
    "function_of",
    "grouped",
    "host",
    "image_for",
    "load",
    "sources_digest",
]

SUFFIX = ".image"
"""Ending of the names of images."""


class NoCompilerError(CompileError):
    """A kernel is neither shipped nor cached, and there is no compiler.

    Parameters
    ----------
    reason
        Beginning of the message.
    kernel
        Name of the kernel; empty if any.
    """

    def __init__(self, reason: str, kernel: str = "") -> None:
        super().__init__(f"{reason}: pip install 'edge-rnn[jit]'.")
        self.kernel = kernel


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image in this process.

    Parameters
    ----------
    name
        Name of the image, and of its function if it has only one.
    addresses
        Address of each function.
    cached
        True if its image existed already.
    seconds
        Time to compile or load it, in s.
    """

    name: str
    addresses: Mapping[str, int]
    cached: bool
    seconds: float

    @property
    def address(self) -> int:
        """Address of the function with the image's name."""
        return self.addresses[self.name]


_MODULES = {
    "step": "program.driver",
    "advance": "program.driver",
    "run": "program.driver",
    "rollout": "program.driver",
    "bank": "program.bank",
    "read": "program.read_weights",
    "call": "entry.python_call",
    "call_run": "entry.python_call",
    "generate": "writing.generate",
    "quantize8": "matrices.round_vector",
    "quantize16": "matrices.round_vector",
}
SOURCES = ("kernels/**/*.py", "equations/*.py", "layers/cell_equations.py", "activation.py", "formats/*.py")
"""Files within the package that the code of kernels depends on."""

_lock = threading.RLock()
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.RLock()))
_loaded: dict[str, Loaded] = {}


def load(name: str, functions: Sequence[str] = (), compiled: Callable[[], Image] | None = None) -> Loaded:
    """Load the function ``name`` (``"dense_tanh"``, ``"step"``), after compiling it if it is not cached.

    Parameters
    ----------
    name
        Name of a function; or of an image with several, which is cached by this name.
    functions
        Names of the functions of an image that has several.
    compiled
        Function that makes an image that has several.

    Raises
    ------
    CompileError
        It cannot be compiled or loaded on this machine.
    """
    with _lock:
        found = find(name, functions)
        if found is None:
            start = time.perf_counter()
            image = compiled() if compiled else _compiled(name, host())
            _keep(name, host(), image)
            found = _loaded[name] = Loaded(name, place(image), False, time.perf_counter() - start)
        return found


def find(name: str, functions: Sequence[str] = ()) -> Loaded | None:
    """Return what :func:`load` returns, if it is loaded, shipped or cached."""
    with _lock:
        if name not in _loaded:
            start, shipped = time.perf_counter(), shipped_kernels()
            image = shipped.image(name) if shipped else None
            image = image or _kept_image(name, functions or (name,), host())
            if image is None:
                return None
            _loaded[name] = Loaded(name, place(image), True, time.perf_counter() - start)
        return _loaded[name]


def image_for(name: str, cpu: target.Target) -> Image:
    """Image of a function for any CPU, from the cache or compiled.

    Raises
    ------
    CompileError
        It cannot be compiled.
    """
    image = _kept_image(name, (name,), cpu)
    if image is None:
        image = _compiled(name, cpu)
        _keep(name, cpu, image)
    return image


def kept_text(key: str, make: Callable[[], str]) -> str:
    """Return the text of a key from the cache next to the images; call ``make`` for it only if it is missing."""
    directory = cache_directory()
    path = directory.path / f"{sha256(_sources() + key.encode()).hexdigest()[:32]}.json"
    data = read(path) if directory.trusted else None
    if data is None:
        data = make().encode()
        if directory.trusted:
            write(path, data)
    return data.decode()


@cache
def host() -> target.Target:
    """CPU that code is compiled for in this process; a later process knows it without loading LLVM.

    Raises
    ------
    CompileError
        There are neither shipped kernels nor a compiler.
    """
    if shipped := shipped_kernels():
        return shipped.chosen.target
    compiler, facts = _llvmlite(), target.host_facts()
    if not compiler:
        raise NoCompilerError("Kernels have to be compiled, but llvmlite is not installed")
    if not facts:
        return target.host()
    text = kept_text(repr(("host", facts, compiler)), lambda: json.dumps(astuple(target.host())))
    return target.Target(*json.loads(text))


@cache
def _sources() -> bytes:
    """Digest of all sources that the code of a kernel depends on, so that a change invalidates old images.

    Sources with shipped kernels do not change.
    """
    if shipped := shipped_kernels():
        return shipped.sources
    return sources_digest()


def sources_digest() -> bytes:
    """Digest of these sources as they are now."""
    digest = sha256(size=1 << 20)
    package = Path(__file__).parents[2]
    for path in sorted(path for pattern in SOURCES for path in package.glob(pattern)):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


@cache
def _llvmlite() -> str:
    """Text that determines llvmlite's version, without importing it or the metadata of packages; empty if missing."""
    from importlib.util import find_spec

    spec = find_spec("llvmlite")
    if spec is None or not spec.origin:
        return ""
    try:
        return Path(spec.origin).with_name("_version.py").read_text(encoding="utf-8")
    except OSError:
        from importlib.metadata import version

        return version("llvmlite")


def _key(name: str, cpu: target.Target) -> str:
    # Not Numba's version: with cached files, Numba need not be installed. llvmlite's version changes with it.
    parts = (name, _llvmlite(), *astuple(cpu))
    return sha256(_sources() + "\0".join(parts).encode()).hexdigest()[:32]


def compile_for(name: str, cpu: target.Target, form: Literal["object", "assembly"] = "object") -> Any:
    """Compile ``name`` for any CPU, to an object file or to assembly text; nothing is cached or loaded.

    Raises
    ------
    CompileError
        Numba is missing or may not run here, or the code is not self-contained.
    """
    try:
        from edge_rnn.kernels.compile.compiler import compile_assembly, compile_object
    except ModuleNotFoundError as error:
        raise NoCompilerError(f"Kernel {name} has to be compiled, but {error.name} is not installed", name) from error
    except (ImportError, OSError) as error:
        raise CompileError(
            f"Kernel {name} has to be compiled, but Numba cannot be imported ({error}); run edge-rnn warm-up where it "
            f"can, on the same machine or on one with the same CPU, and copy its cache directory."
        ) from error
    emit = compile_object if form == "object" else compile_assembly
    return emit(name, *function_of(name, cpu), cpu)


def function_of(name: str, cpu: target.Target) -> tuple[Callable[..., Any], Any]:
    """Python function that is compiled as ``name`` for a CPU, and its Numba signature."""
    from numba.core import types

    from edge_rnn.kernels.compile.compiler import FLOATS, INT32S, WORDS

    signatures = {
        "step": types.int32(WORDS, FLOATS, FLOATS),
        "advance": types.int32(WORDS, FLOATS, FLOATS),
        "run": types.int64(WORDS, FLOATS, FLOATS, types.int64),
        "rollout": types.int64(WORDS, FLOATS, FLOATS, types.int64),
        "generate": types.int64(WORDS, INT32S, types.int64, INT32S, FLOATS, types.int64, types.int64),
        "call": types.int64(types.int64, types.int64),
        "call_run": types.int64(types.int64, types.int64),
        "bank": types.int32(WORDS, FLOATS, FLOATS),
    }
    if isinstance(name, Generated):
        from edge_rnn.kernels.lower.build import build

        grouped = types.void(WORDS, FLOATS, WORDS) if name.streams > 1 else types.void(INT32S, FLOATS, FLOATS)
        return build(name, cpu), grouped
    stem, _, count = name.partition("_x")
    kernel = types.void(WORDS, FLOATS, WORDS) if count else types.void(INT32S, FLOATS, FLOATS)
    return _module(stem).build(stem, cpu, int(count or 1)), signatures.get(name, kernel)


def grouped(name: str, streams: int) -> str:
    """Name of the variant of ``name`` for several streams at once; empty if there is none, as for packed integers."""
    if isinstance(name, Generated):
        return name.grouped(streams) if name.for_groups else ""
    has_form = "__" not in name and bool(getattr(_module(name), "FOR_GROUPS", False))
    return f"{name}_x{streams}" if has_form else ""


def _module(name: str) -> ModuleType:
    cell = name.split("_")[0]
    return import_module(f"edge_rnn.kernels.{_MODULES.get(name) or _MODULES.get(cell) or f'cells.{cell}'}")


def _compiled(name: str, cpu: target.Target) -> Image:
    from edge_rnn.kernels.compile.link import link

    return link([bytes(compile_for(name, cpu))], cpu)


def _path(directory: CacheDirectory, name: str, cpu: target.Target) -> Path:
    return directory.path / f"{name}-{_key(name, cpu)}{SUFFIX}"


def _kept_image(name: str, functions: Sequence[str], cpu: target.Target) -> Image | None:
    directory = cache_directory()
    if not directory.trusted or not _llvmlite():
        return None
    data = read(_path(directory, name, cpu))
    image = None if data is None else parse(data)
    return image if image and {*functions} <= image.symbols.keys() else None


def _keep(name: str, cpu: target.Target, image: Image) -> None:
    directory = cache_directory()
    if directory.trusted:
        write(_path(directory, name, cpu), image.to_bytes())
