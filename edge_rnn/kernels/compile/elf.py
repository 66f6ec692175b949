"""Relocatable ELF objects, as LLVM emits them: their sections, symbols and relocations.

Source: System V ABI, chapter 4, "Object Files"; little-endian, 32 and 64 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_rnn.errors import CompileError

__all__ = ["Object", "Relocation", "Section", "Symbol", "read_object"]

_RELOCATABLE, _SYMBOLS, _RELA, _NOBITS, _REL = 1, 2, 4, 8, 9
_SPECIAL_SECTIONS = 0xFF00


@dataclass(frozen=True, slots=True)
class Section:
    """Section of an object.

    Parameters
    ----------
    name
        Its name: ``".text"``.
    kind, flags
        ``sh_type`` and ``sh_flags``.
    align
        Alignment in bytes.
    size
        Bytes that it takes in memory.
    data
        Its contents; empty if they are all zero (``.bss``).
    """

    name: str
    kind: int
    flags: int
    align: int
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Symbol:
    """Symbol of an object.

    Parameters
    ----------
    name
        Its name; empty for the symbol of a section.
    value
        Offset in its section.
    section
        Number of its section; 0 if it is not defined in one.
    is_exported
        True if other objects may refer to it.
    """

    name: str
    value: int
    section: int
    is_exported: bool


@dataclass(frozen=True, slots=True)
class Relocation:
    """Place that depends on the address of a symbol.

    Parameters
    ----------
    section, offset
        The place.
    kind
        Number of the relocation in the machine's ABI.
    symbol
        Number of the symbol.
    addend
        Number that is added to the symbol's address; None if it is stored at the place.
    """

    section: int
    offset: int
    kind: int
    symbol: int
    addend: int | None


@dataclass(frozen=True, slots=True)
class Object:
    """Relocatable object: its machine (``e_machine``), sections, symbols and relocations."""

    machine: int
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]


def read_object(data: bytes) -> Object:
    """Read a relocatable object.

    Raises
    ------
    CompileError
        It is of another kind, or damaged.
    """
    if data[:4] != b"\x7fELF" or len(data) < 20 or data[5] != 1 or data[16] != _RELOCATABLE:
        raise CompileError(f"Expected a relocatable little-endian ELF object, got {len(data)} bytes of another kind.")
    try:
        return _read(data, is_64=data[4] == 2)
    except (struct.error, IndexError, ValueError) as error:
        raise CompileError(f"A relocatable object of {len(data)} bytes is damaged: {error}.") from error


def _read(data: bytes, is_64: bool) -> Object:
    header = struct.unpack_from("<HHIQQQIHHHHHH" if is_64 else "<HHIIIIIHHHHHH", data, 16)
    machine, table, size, count, names = header[1], header[5], header[10], header[11], header[12]
    layout = "<IIQQQQIIQQ" if is_64 else "<IIIIIIIIII"
    headers = [struct.unpack_from(layout, data, table + number * size) for number in range(count)]
    contents = [b"" if head[1] in (0, _NOBITS) else data[head[4] : head[4] + head[5]] for head in headers]
    for head, found in zip(headers, contents, strict=True):
        if head[1] not in (0, _NOBITS) and len(found) != head[5]:
            raise ValueError(f"a section of {head[5]} bytes ends after {len(found)}")
    sections = tuple(
        Section(_text(contents[names], head[0]), head[1], head[2], max(1, head[8]), head[5], found)
        for head, found in zip(headers, contents, strict=True)
    )
    symbols: tuple[Symbol, ...] = ()
    for head, found in zip(headers, contents, strict=True):
        if head[1] == _SYMBOLS:
            symbols = tuple(_symbols(found, contents[head[6]], is_64))
    relocations = tuple(
        each
        for head, found in zip(headers, contents, strict=True)
        if head[1] in (_RELA, _REL)
        for each in _relocations(found, head[7], is_64, head[1] == _RELA)
    )
    if any(each.section >= count or each.value > sections[each.section].size for each in symbols if each.section):
        raise ValueError("a symbol is outside its section")
    if any(
        each.symbol >= len(symbols) or each.section >= count or each.offset + 4 > sections[each.section].size
        for each in relocations
    ):
        raise ValueError("a relocation is outside its section, or of no symbol")
    return Object(machine, sections, symbols, relocations)


def _text(names: bytes, start: int) -> str:
    return names[start : names.index(b"\0", start)].decode()


def _symbols(table: bytes, names: bytes, is_64: bool) -> Iterator[Symbol]:
    for fields in struct.iter_unpack("<IBBHQQ" if is_64 else "<IIIBBH", table):
        if is_64:
            name, info, other, section, value, _ = fields
        else:
            name, value, _, info, other, section = fields
        is_exported = info >> 4 != 0 and other & 3 == 0
        yield Symbol(_text(names, name), value, section if section < _SPECIAL_SECTIONS else 0, is_exported)


def _relocations(table: bytes, section: int, is_64: bool, has_addends: bool) -> Iterator[Relocation]:
    layout = ("<QQ" if is_64 else "<II") + ("q" if is_64 else "i") * has_addends
    for offset, info, *addend in struct.iter_unpack(layout, table):
        symbol, kind = (info >> 32, info & 0xFFFFFFFF) if is_64 else (info >> 8, info & 0xFF)
        yield Relocation(section, offset, kind, symbol, addend[0] if has_addends else None)
