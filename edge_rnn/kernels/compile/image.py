"""Image of compiled functions: machine code that runs wherever it is placed, and the offsets of its functions.

As bytes, an image is its code, a table of symbols in JSON, and 24 bytes that say how long each is. Code comes first, so
that a file can be mapped from its start. Files may be damaged: everything is checked before use.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["END_BYTES", "Image", "lengths", "parse", "symbols_of"]

_END = struct.Struct("<8sQQ")
_MAGIC = b"ERNNim01"
END_BYTES = _END.size
"""Bytes at the end of an image that give the lengths of its parts."""


@dataclass(frozen=True, slots=True)
class Image:
    """Linked code.

    Parameters
    ----------
    code
        Instructions and constants. It refers to nothing outside, and runs at every multiple of a page of memory.
    symbols
        Offset of each function in the code.
    """

    code: bytes
    symbols: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """Contents of a file."""
        table = json.dumps(dict(self.symbols), separators=(",", ":")).encode()
        return self.code + table + _END.pack(_MAGIC, len(self.code), len(table))


def parse(data: bytes) -> Image | None:
    """Return the image that a file contains; None if it is damaged."""
    sizes = lengths(data[-END_BYTES:], len(data))
    if sizes is None:
        return None
    code_bytes, table_bytes = sizes
    symbols = symbols_of(data[code_bytes : code_bytes + table_bytes], code_bytes)
    return None if symbols is None else Image(data[:code_bytes], symbols)


def lengths(end: bytes, size: int) -> tuple[int, int] | None:
    """Return the bytes of an image's code and of its table, given its last bytes and its size; None if damaged."""
    if len(end) != END_BYTES:
        return None
    magic, code_bytes, table_bytes = _END.unpack(end)
    whole = magic == _MAGIC and code_bytes > 0 and code_bytes + table_bytes + END_BYTES == size
    return (code_bytes, table_bytes) if whole else None


def symbols_of(table: bytes, code_bytes: int) -> dict[str, int] | None:
    """Return the offsets by name that a table holds; None if it is damaged, or one is outside the code."""
    try:
        symbols = json.loads(table)
    except (ValueError, RecursionError):
        return None
    if not isinstance(symbols, dict):
        return None
    inside = all(type(offset) is int and 0 <= offset < code_bytes for offset in symbols.values())
    return symbols if inside else None
