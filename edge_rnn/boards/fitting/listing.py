"""LLVM's command-line tools, and a disassembly of a program by address."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from edge_rnn.boards.fitting.program import Program
from edge_rnn.boards.fitting.trace import Block, Image
from edge_rnn.errors import UnsupportedError

__all__ = ["Listing", "instructions", "listing", "run_tool"]

Listing = Mapping[int, tuple[str, int]]
"""Text, and length in bytes, of each instruction by its address in the image."""

_VERSIONS = range(24, 13, -1)  # the versions in Debian and Ubuntu since 2022
_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$", re.MULTILINE)
_COMMENT = re.compile(r"\s+(?:#|//|@|;)\s.*$")
_TARGET = re.compile(r"(?:0x)?[0-9a-f#-]+ <[^>]*>")


@cache
def _tool(name: str) -> str:
    for candidate in (*(f"{name}-{version}" for version in _VERSIONS), name):
        path = shutil.which(candidate)
        if path:
            return path
    raise UnsupportedError(f"{name} is not installed; apt install llvm.")


def run_tool(name: str, arguments: Sequence[str], text: str = "") -> str:
    """Return the output of an LLVM tool for the input ``text``, using the newest installed version.

    Raises
    ------
    UnsupportedError
        The tool is not installed, or fails.
    """
    done = subprocess.run([_tool(name), *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[0]
        raise UnsupportedError(f"{name} failed: {said[:200]}")
    return done.stdout


def listing(program: Program, loaded: Image) -> Listing:
    """Disassemble a program.

    Raises
    ------
    UnsupportedError
        ``llvm-objdump`` is not installed, or fails.
    """
    device = program.device
    found: dict[int, tuple[str, int]] = {}
    options = ["-d", "--no-show-raw-insn", f"--mcpu={device.cpu}", f"--mattr={device.features}", "-j", ".text"]
    with tempfile.TemporaryDirectory() as folder:
        for name, code in program.objects.items():
            path = Path(folder, f"{name}.o")
            path.write_bytes(code)
            lines = _LINE.findall(run_tool("llvm-objdump", [*options, str(path)]))
            place = loaded.places[name]
            addresses = [place + int(address, 16) for address, _ in lines]
            ends = [*addresses[1:], loaded.ends[name]]
            for (_, text), address, end in zip(lines, addresses, ends, strict=True):
                found[address] = (_TARGET.sub("target", _COMMENT.sub("", text)), end - address)
    return found


def instructions(known: Listing, block: Block) -> list[str]:
    """Text of the instructions in a block.

    Raises
    ------
    UnsupportedError
        An executed instruction is missing from the disassembly.
    """
    address, size = block
    end, texts = address + size, []
    while address < end:
        if address not in known:
            raise UnsupportedError(f"llvm-objdump lists no instruction at {address:#x} of the code.")
        text, length = known[address]
        texts.append(text)
        address += length
    return texts
