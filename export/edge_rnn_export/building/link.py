"""Linking of an object file to a shared library or a wasm module, with any linker that is installed."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile.target import Target

__all__ = ["INSTALL", "linker_for", "shared_library", "wasm_module"]

INSTALL = "pip install 'edge-rnn[cross]'"

_GNU = {
    "x86_64": "x86_64-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "armv6": "arm-linux-gnueabihf",
    "armv7": "arm-linux-gnueabihf",
    "riscv64": "riscv64-linux-gnu",
}

# Nothing from outside the library: no startup code, no other library, no symbol interposition. Pages of 64 KiB work
# with every kernel; that of a Raspberry Pi 5 has pages of 16.
_SHARED = (
    "-shared",
    "-Bsymbolic",
    "--no-undefined",
    "--strip-all",
    "--gc-sections",
    "--hash-style=gnu",
    "--build-id=none",
    "-z",
    "noexecstack",
    "-z",
    "relro",
    "-z",
    "now",
    "-z",
    "max-page-size=65536",
)


def linker_for(target: Target) -> tuple[str, ...]:
    """Command prefix of a linker for a target; empty if there is none.

    In order of preference: LLVM's linker from the package ``ziglang``, then from the system, then a GNU compiler for
    the target.
    """
    return next(_linkers(target), ())


def _linkers(target: Target) -> Iterator[tuple[str, ...]]:
    is_wasm = target.triple.startswith("wasm")
    name = "wasm-ld" if is_wasm else "ld.lld"
    if find_spec("ziglang") is not None:
        yield (sys.executable, "-m", "ziglang", name)
    if found := shutil.which(name):
        yield (found,)
    if is_wasm:
        return
    prefix = next((gnu for start, gnu in _GNU.items() if target.triple.startswith(start)), "")
    if prefix and (found := shutil.which(f"{prefix}-gcc")):
        yield (found,)
    if target.triple.startswith(platform.machine()) and (found := shutil.which("cc")):
        yield (found,)


def shared_library(target: Target, linker: Sequence[str], source: Path, output: Path, soname: str) -> None:
    """Link a shared library from one object file.

    Raises
    ------
    CompileError
        The linker fails.
    """
    options = [*_SHARED, "-soname", soname]
    if Path(linker[0]).name.endswith(("gcc", "cc")):  # passes options on, and would add startup code
        options = [option if option == "-shared" else f"-Wl,{option}" for option in options]
        options = [*_joined(options), "-nostdlib"]
    _run([*linker, *options, "-o", str(output), str(source)])


def wasm_module(linker: Sequence[str], source: Path, output: Path, exports: Sequence[str]) -> None:
    """Link a wasm module from one object file; it imports nothing, and exports its memory and the start of the heap."""
    names = [f"--export={name}" for name in (*exports, "__heap_base")]
    _run([*linker, "--no-entry", "--strip-all", *names, "-o", str(output), str(source)])


def _joined(options: Sequence[str]) -> list[str]:
    """Join ``-Wl,-z -Wl,now`` to ``-Wl,-z,now``."""
    joined: list[str] = []
    for option in options:
        if joined and joined[-1] in ("-Wl,-z", "-Wl,-soname"):
            joined[-1] += "," + option.removeprefix("-Wl,")
        else:
            joined.append(option)
    return joined


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"build: the linker {command[0]} cannot be run: {error}.") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise CompileError(f"build: the linker {' '.join(command[:4])} failed: {said[:300]}.")
