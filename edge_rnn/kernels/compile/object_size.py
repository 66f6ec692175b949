"""Size of the code and constants in an object file."""

from __future__ import annotations

from typing import Any

__all__ = ["code_bytes"]

_CONSTANTS = (".rodata", ".data.rel.ro")


def code_bytes(code: bytes) -> int:
    """Bytes of machine code and its constants in an object file, without names, tables and symbols."""
    import llvmlite.binding as llvm

    whole, total = llvm.ObjectFileRef.from_data(code), 0
    for each in whole.sections():  # a section is valid until the next one, and only while the file object lives
        if each.is_text() or _name(each).startswith(_CONSTANTS):
            total += each.size()
    return total


def _name(section: Any) -> str:
    name = section.name()
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
