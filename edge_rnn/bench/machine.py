"""Facts about this machine: processor, Python, packages, cache, and how Python calls compiled code."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.errors import CompileError
from edge_rnn.own_files import is_own

if TYPE_CHECKING:
    from edge_rnn.loop.scheme import Scheme

__all__ = ["cache", "calls", "code_memory", "cores", "packages", "processor", "python", "schemes", "shipped", "target"]

_PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "safetensors",
    "rich",
    "onnx",
    "onnxruntime",
    "torch",
    "matplotlib",
    "ai-edge-litert",
    "huggingface_hub",
)
"""Optional packages, in addition to those of sources and sinks."""


def python() -> str:
    """Interpreter and system: ``CPython 3.11.2, 64 bit, Linux x86_64``."""
    bits = 64 if sys.maxsize > 2**32 else 32
    system = f"{platform.system()} {platform.machine()}"
    return f"{platform.python_implementation()} {platform.python_version()}, {bits} bit, {system}"


def processor() -> str:
    """Product name of the processor, or of the board if the system reports it."""
    board = Path("/proc/device-tree/model")
    try:
        if board.is_file():
            return board.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def cores() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def packages() -> dict[str, str | None]:
    """Versions of the packages that edge_rnn can use, None if not installed; nothing is imported."""
    found: dict[str, str | None] = {}
    for name in dict.fromkeys((*_PACKAGES, *(name for scheme in schemes()[0] for name in scheme.packages))):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def schemes() -> tuple[tuple[Scheme, ...], tuple[str, ...]]:
    """Sources and sinks, and why some of other packages cannot be used; none where not even NumPy is there."""
    from edge_rnn.loop.schemes import SINKS, SOURCES

    try:
        faults = (*SOURCES.contents().faults, *SINKS.contents().faults)
        return (*SOURCES.unique(), *SINKS.unique()), faults
    except ImportError:
        return (), ()


def target() -> dict[str, Any]:
    """Target of kernels in LLVM's notation, or ``"reason"`` if there are none and LLVM is not installed."""
    try:
        from edge_rnn.kernels.entry import object_cache

        host = object_cache.host()
    except (ImportError, CompileError) as error:
        return {"triple": None, "cpu": None, "features": [], "block": None, "reason": str(error)}
    features = sorted(each[1:] for each in host.features.split(",") if each.startswith("+"))
    return {"triple": host.triple, "cpu": host.cpu, "features": features, "block": host.block, "reason": ""}


def shipped() -> str:
    """Name of the CPU whose shipped kernels run here; empty if there are none."""
    try:
        from edge_rnn.kernels.entry.shipped_kernels import shipped_kernels
    except ImportError:
        return ""
    found = shipped_kernels()
    return found.chosen.name if found else ""


def calls() -> str:
    """Reason why ``stream.step`` takes the slower path from Python; empty if it takes the fast one."""
    try:
        from edge_rnn.kernels.entry import python_function as fast

        return fast.why_not()
    except ImportError as error:
        return str(error)


def code_memory() -> str:
    """Reason why this system runs no compiled kernels; empty if it does."""
    from edge_rnn.kernels.entry import code_memory

    return code_memory.why_not()


def cache() -> dict[str, Any]:
    """Location of the kernel cache, whether it is writable and trusted, and the number of cached kernels."""
    try:
        from edge_rnn.kernels.entry import object_cache
    except ImportError as error:
        return _cache_facts(None, writable=False, trusted=False, reason=str(error))
    place = object_cache.cache_directory()
    try:
        found = [path.lstat() for path in place.path.glob(f"*{object_cache.SUFFIX}")]
    except OSError:
        found = []
    return _cache_facts(str(place.path), place.writable, place.trusted, place.reason, found)


def _cache_facts(
    path: str | None, writable: bool, trusted: bool, reason: str, found: Sequence[os.stat_result] = ()
) -> dict[str, Any]:
    return {
        "path": path,
        "writable": writable,
        "trusted": trusted,
        "reason": reason,
        "files": len(found),
        "bytes": sum(each.st_size for each in found),
        "not_own": sum(not is_own(each) for each in found),
    }
