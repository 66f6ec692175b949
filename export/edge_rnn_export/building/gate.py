"""Checks of a compiled library before it is delivered, on the files themselves.

Refused are undefined symbols, writable data, relocations, addresses of the compiling process, double-precision
arithmetic, and instructions that the board's processor lacks.
"""

from __future__ import annotations

import io
import re
from typing import Any

from edge_rnn.errors import CompileError, UnsupportedError
from edge_rnn.kernels.compile.target import Target
from edge_rnn.spelling import counted
from edge_rnn_export.building.link import INSTALL

__all__ = ["check_elf", "check_module"]

_WRITABLE = 1  # SHF_WRITE
_ALLOCATED = 2  # SHF_ALLOC

_AT_LOADING = (".dynamic", ".got", ".got.plt", ".relro_padding")
"""Sections that a loader writes before it makes them read-only; ``.got`` only if it is empty, see relocations."""


def check_module(text: str) -> None:
    """Check the LLVM IR of a library.

    Raises
    ------
    CompileError
        It uses doubles, or contains an address of this process.
    """
    code = re.sub(r'c"[^"]*"', "", text)
    if re.search(r"\bdouble\b", code):
        raise CompileError("build: the code uses double precision, which small processors do not have in hardware.")
    if re.search(r"inttoptr \(?i\d+ \d", code):
        raise CompileError("build: the code contains an address of the process that compiled it.")


def check_elf(data: bytes, target: Target, exports: set[str]) -> None:
    """Check a relocatable object, or the shared library linked from it.

    Raises
    ------
    CompileError
        A check failed; the message names the symbols, sections or instructions.
    UnsupportedError
        pyelftools or capstone is not installed.
    """
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise UnsupportedError(f"build checks its output with pyelftools: {INSTALL} ({error}).") from None
    from edge_rnn_export.building.instructions import check_instructions

    elf = ELFFile(io.BytesIO(data))
    problems = [*_symbols(elf, exports), *_sections(elf), *_relocations(elf)]
    for section in elf.iter_sections() if elf["e_type"] == "ET_REL" else ():  # linking strips the mapping symbols
        if section["sh_flags"] & 4 and section["sh_size"]:  # SHF_EXECINSTR
            problems += check_instructions(section.data(), target, _ranges(elf, section))
    if problems:
        raise CompileError(f"build: the code for {target.cpu} failed its checks: {'; '.join(problems[:5])}.")


def _symbols(elf: Any, exports: set[str]) -> list[str]:
    tables = [section for section in elf.iter_sections() if section.header.sh_type in ("SHT_SYMTAB", "SHT_DYNSYM")]
    symbols = [symbol for table in tables for symbol in table.iter_symbols() if symbol.name]
    undefined = sorted({s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF"})
    seen = {
        s.name
        for s in symbols
        if s["st_info"]["bind"] in ("STB_GLOBAL", "STB_WEAK") and s["st_other"]["visibility"] == "STV_DEFAULT"
    } - {*undefined}
    problems = [f"undefined symbols: {', '.join(undefined)}"] if undefined else []
    if seen != exports:
        problems.append(f"exported symbols differ from the expected ones: {', '.join(sorted(seen ^ exports))}")
    return problems


def _sections(elf: Any) -> list[str]:
    problems: list[str] = []
    for section in elf.iter_sections():
        flags, size = section["sh_flags"], section["sh_size"]
        writable = flags & _WRITABLE and flags & _ALLOCATED and size
        if writable and section.name not in _AT_LOADING:
            problems.append(f"{counted(size, 'byte')} of writable data in {section.name}")
        if section.name in (".init_array", ".ctors", ".fini_array"):
            problems.append(f"code that runs at load time in {section.name}")
    return problems


def _relocations(elf: Any) -> list[str]:
    """Check that a shared library is position-independent, without relocations, and needs no other library."""
    problems: list[str] = []
    if elf["e_type"] != "ET_DYN":
        return problems
    for section in elf.iter_sections():
        if section.header.sh_type in ("SHT_REL", "SHT_RELA") and section["sh_size"]:
            problems.append(f"{section.num_relocations()} relocations in {section.name}")
        if section.header.sh_type == "SHT_DYNAMIC":
            needed = [tag.needed for tag in section.iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
            problems += [f"it needs the library {name}" for name in needed]
    return problems


def _ranges(elf: Any, section: Any) -> list[tuple[int, int]]:
    """Ranges (start, end) with instructions: 32-bit ARM mixes in constants, marked by mapping symbols."""
    size = section["sh_size"]
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return [(0, size)]
    index = next(i for i, other in enumerate(elf.iter_sections()) if other.name == section.name)
    marks = sorted(
        (s["st_value"] & ~1, s.name[:2])
        for s in table.iter_symbols()
        if s["st_shndx"] == index and re.fullmatch(r"\$[atxd](\..*)?", s.name)
    )
    if not marks:
        return [(0, size)]
    ends = [start for start, _ in marks[1:]] + [size]
    return [(start, end) for (start, kind), end in zip(marks, ends, strict=True) if kind != "$d" and end > start]
