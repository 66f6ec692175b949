"""Cache of compiled functions by name: compiled once, kept as images, and loaded without a compiler from then on.

An image (:mod:`edge_rnn.kernels.compile.image`) is named after a hash of its inputs: the sources of this package, the
version of llvmlite, and the CPU. So an edited kernel cannot run stale code, several versions can share a directory, and
several machines a disk. Files are written atomically and carry a checksum: neither a process that dies half-way nor two
that compile at once do any harm. If the directory is not writable, each process compiles for itself.

An image is code that will be executed. So it is used only if it is this user's own, in a directory that no other user
can write to (:mod:`edge_rnn.own_files`); otherwise the function is compiled. Files are accessible to their owner alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from edge_rnn import atomic
from edge_rnn.errors import CompileError, FileError
from edge_rnn.kernels.compile import target
from edge_rnn.kernels.compile.image import Image, parse
from edge_rnn.kernels.entry.code_memory import place
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.own_files import distrusted, read_own

__all__ = [
    "CACHE_VARIABLE",
    "SOURCES",
    "SUFFIX",
    "CacheDirectory",
    "Loaded",
    "cache_directory",
    "compile_for",
    "find",
    "function_of",
    "grouped",
    "host",
    "load",
]

CACHE_VARIABLE = "EDGE_RNN_CACHE_DIR"
"""Environment variable that names the cache directory."""
SUFFIX = ".image"
"""Ending of the names of images."""


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


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """Directory of images.

    Parameters
    ----------
    path
        The directory; it need not exist.
    writable
        True if new files can be written there.
    reason
        Reason why not; empty if writable.
    trusted
        True if no other user can have written files there; otherwise nothing is read from it or written to it.
    """

    path: Path
    writable: bool
    reason: str
    trusted: bool = True


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
            start, directory = time.perf_counter(), cache_directory()
            image = compiled() if compiled else _compiled(name)
            if directory.trusted:
                _write(_path(directory, name), image.to_bytes())
            found = _loaded[name] = Loaded(name, place(image), False, time.perf_counter() - start)
        return found


def find(name: str, functions: Sequence[str] = ()) -> Loaded | None:
    """Return what :func:`load` returns, if it is loaded or cached."""
    with _lock:
        if name not in _loaded:
            start, directory = time.perf_counter(), cache_directory()
            image = _kept_image(_path(directory, name), functions or (name,)) if directory.trusted else None
            if image is None:
                return None
            _loaded[name] = Loaded(name, place(image), True, time.perf_counter() - start)
        return _loaded[name]


def _path(directory: CacheDirectory, name: str) -> Path:
    return directory.path / f"{name}-{_key(name)}{SUFFIX}"


def kept_text(key: str, make: Callable[[], str]) -> str:
    """Return the text of a key from the cache next to the images; call ``make`` for it only if it is missing."""
    directory = cache_directory()
    path = directory.path / f"{hashlib.sha256(_sources() + key.encode()).hexdigest()[:32]}.json"
    data = _read(path) if directory.trusted else None
    if data is None:
        data = make().encode()
        if directory.trusted:
            _write(path, data)
    return data.decode()


@cache
def host() -> target.Target:
    """CPU that code is compiled for in this process; a later process knows it without loading LLVM.

    Raises
    ------
    ImportError
        llvmlite is not installed.
    """
    facts = target.host_facts()
    if not facts:
        return target.host()
    text = kept_text(repr(("host", facts, _llvmlite())), lambda: json.dumps(astuple(target.host())))
    return target.Target(*json.loads(text))


def cache_directory() -> CacheDirectory:
    """Directory of images: ``EDGE_RNN_CACHE_DIR``, else ``edge_rnn`` in the user's cache directory."""
    given = os.environ.get(CACHE_VARIABLE)
    path = Path(given) if given else Path(os.devnull, "edge_rnn")  # never in the current directory
    try:
        path = path.expanduser()
        if not given:
            base = os.environ.get("XDG_CACHE_HOME")
            path = (Path(base) if base else Path("~/.cache").expanduser()) / "edge_rnn"
        path = path.absolute()
        existing = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
        if not existing.is_dir():
            return CacheDirectory(path, False, f"{existing} is not a directory")
        if reason := distrusted(path):
            return CacheDirectory(path, False, reason, trusted=False)
        if not os.access(existing, os.W_OK | os.X_OK):
            return CacheDirectory(path, False, f"{existing} is not writable")
    except (OSError, RuntimeError) as error:  # not searchable, a name too long; no home directory
        return CacheDirectory(path, False, str(error), trusted=False)
    return CacheDirectory(path, True, "")


@cache
def _sources() -> bytes:
    """Digest of all sources that the code of a kernel depends on, so that a change invalidates old images."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[2]
    for path in sorted(path for pattern in SOURCES for path in package.glob(pattern)):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


@cache
def _llvmlite() -> str:
    """Text that determines llvmlite's version, found without importing it or the metadata of packages."""
    spec = find_spec("llvmlite")
    if spec is None or not spec.origin:
        raise ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite")
    try:
        return Path(spec.origin).with_name("_version.py").read_text(encoding="utf-8")
    except OSError:
        from importlib.metadata import version

        return version("llvmlite")


def _key(name: str) -> str:
    cpu = host()
    # Not Numba's version: with cached files, Numba need not be installed. llvmlite's version changes with it.
    parts = (name, _llvmlite(), cpu.triple, cpu.cpu, cpu.features)
    return hashlib.sha256(_sources() + "\0".join(parts).encode()).hexdigest()[:32]


def compile_for(name: str, cpu: target.Target, form: Literal["object", "assembly"] = "object") -> Any:
    """Compile ``name`` for any CPU, to an object file or to assembly text; nothing is cached or loaded.

    Raises
    ------
    CompileError
        Numba is missing or may not run here, or the code is not self-contained.
    """
    try:
        from edge_rnn.kernels.compile.compiler import compile_assembly, compile_object
    except (ImportError, OSError) as error:
        raise CompileError(
            f"Kernel {name} has to be compiled, but Numba cannot be imported ({error}): pip install 'edge-rnn[jit]', "
            f"or run edge-rnn warm-up on a machine with the same CPU and copy its cache directory."
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


def _compiled(name: str) -> Image:
    from edge_rnn.kernels.compile.link import link

    return link([bytes(compile_for(name, host()))], host())


def _kept_image(path: Path, functions: Sequence[str]) -> Image | None:
    data = _read(path)
    image = None if data is None else parse(data)
    return image if image and {*functions} <= image.symbols.keys() else None


def _read(path: Path) -> bytes | None:
    """Read data from a cache file; None if the file is missing, damaged, or not this user's own."""
    data = read_own(path)
    if data is None:
        return None
    code, checksum = data[:-32], data[-32:]
    return code if code and hashlib.sha256(code).digest() == checksum else None


def _write(path: Path, code: bytes) -> None:
    """Write data to the cache if possible; a cache that cannot be written is not an error."""
    try:
        for folder in reversed([each for each in (path.parent, *path.parent.parents) if not each.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        atomic.write(path, code + hashlib.sha256(code).digest(), mode=0o600, follow=False)
    except (OSError, FileError):
        return
