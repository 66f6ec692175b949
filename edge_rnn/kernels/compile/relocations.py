"""Relocations of a machine: how an instruction holds the distance from itself to a symbol.

All of them are relative to the place of the instruction, or to its page of 4096 bytes, so that code may be placed at
any multiple of that. Relocations that hold an address, or go through a table of addresses, are missing on purpose.

Sources: System V ABI, AMD64 supplement; ELF for the Arm Architecture and for the Arm 64-bit Architecture; RISC-V ELF
psABI.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["MACHINES", "Machine", "Patch"]


@dataclass(frozen=True, slots=True)
class Patch:
    """Relocation of one kind.

    Parameters
    ----------
    name
        Its name in the ABI.
    write
        Function ``(code, place, target)`` that makes the instruction at ``place`` refer to ``target``, both offsets in
        ``code``. It raises OverflowError if the distance does not fit.
    addend
        Function ``(code, place)`` that reads the addend stored at a place; used if the object has none of its own.
    """

    name: str
    write: Callable[[bytearray, int, int], None]
    addend: Callable[[bytearray, int], int] | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Relocations of a machine.

    Parameters
    ----------
    number
        Its number in ELF (``e_machine``).
    patches
        Relocations by their kind.
    low_parts
        Kinds whose symbol is the place of the instruction that holds the high part, as on RISC-V.
    """

    number: int
    patches: Mapping[int, Patch]
    low_parts: frozenset[int] = frozenset()


def _word(code: bytearray, place: int) -> int:
    return int(struct.unpack_from("<I", code, place)[0])


def _set_bits(code: bytearray, place: int, mask: int, bits: int) -> None:
    struct.pack_into("<I", code, place, _word(code, place) & ~mask & 0xFFFFFFFF | bits & mask)


def _signed(value: int, bits: int) -> int:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise OverflowError(f"a distance of {value} bytes does not fit in {bits} bits")
    return value & (1 << bits) - 1


def _relative_32(code: bytearray, place: int, target: int) -> None:
    struct.pack_into("<I", code, place, _signed(target - place, 32))


def _stored_32(code: bytearray, place: int) -> int:
    return int(struct.unpack_from("<i", code, place)[0])


# ---- AArch64


def _page(code: bytearray, place: int, target: int) -> None:
    pages = _signed((target >> 12) - (place >> 12), 21)
    _set_bits(code, place, 0x60FFFFE0, (pages & 3) << 29 | (pages >> 2) << 5)


def _in_page(size: int) -> Callable[[bytearray, int, int], None]:
    """Offset in the page, in units of ``size`` bytes, as the immediate of an addition, a load or a store."""

    def write(code: bytearray, place: int, target: int) -> None:
        if target % size:
            raise OverflowError(f"offset {target} is no multiple of {size}")
        _set_bits(code, place, 0x003FFC00, (target & 0xFFF) // size << 10)

    return write


def _branch_26(code: bytearray, place: int, target: int) -> None:
    _set_bits(code, place, 0x03FFFFFF, _signed(target - place, 28) >> 2)


# ---- 32-bit ARM (instructions of 32 bits)


def _arm_branch(code: bytearray, place: int, target: int) -> None:
    if target % 4:
        raise OverflowError(f"offset {target} is no ARM instruction")
    _set_bits(code, place, 0x00FFFFFF, _signed(target - place, 26) >> 2)


def _arm_branch_addend(code: bytearray, place: int) -> int:
    field = _word(code, place) & 0xFFFFFF
    return (field - (field >> 23 << 24)) * 4


# ---- RISC-V


def _high_20(code: bytearray, place: int, target: int) -> None:
    _set_bits(code, place, 0xFFFFF000, _signed(target - place + 0x800 & ~0xFFF, 32))


def _low_12(code: bytearray, place: int, distance: int) -> None:
    _set_bits(code, place, 0xFFF00000, (distance & 0xFFF) << 20)


def _call(code: bytearray, place: int, target: int) -> None:
    """``auipc`` and ``jalr``."""
    _high_20(code, place, target)
    _low_12(code, place + 4, target - place)


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(
        62,
        {2: Patch("R_X86_64_PC32", _relative_32), 4: Patch("R_X86_64_PLT32", _relative_32)},
    ),
    "aarch64": Machine(
        183,
        {
            275: Patch("R_AARCH64_ADR_PREL_PG_HI21", _page),
            277: Patch("R_AARCH64_ADD_ABS_LO12_NC", _in_page(1)),
            278: Patch("R_AARCH64_LDST8_ABS_LO12_NC", _in_page(1)),
            284: Patch("R_AARCH64_LDST16_ABS_LO12_NC", _in_page(2)),
            285: Patch("R_AARCH64_LDST32_ABS_LO12_NC", _in_page(4)),
            286: Patch("R_AARCH64_LDST64_ABS_LO12_NC", _in_page(8)),
            299: Patch("R_AARCH64_LDST128_ABS_LO12_NC", _in_page(16)),
            282: Patch("R_AARCH64_JUMP26", _branch_26),
            283: Patch("R_AARCH64_CALL26", _branch_26),
        },
    ),
    "arm": Machine(
        40,
        {
            3: Patch("R_ARM_REL32", _relative_32, _stored_32),
            28: Patch("R_ARM_CALL", _arm_branch, _arm_branch_addend),
            29: Patch("R_ARM_JUMP24", _arm_branch, _arm_branch_addend),
        },
    ),
    "riscv64": Machine(
        243,
        {
            19: Patch("R_RISCV_CALL_PLT", _call),
            23: Patch("R_RISCV_PCREL_HI20", _high_20),
            24: Patch("R_RISCV_PCREL_LO12_I", _low_12),
        },
        low_parts=frozenset({24}),
    ),
}
"""Machines by the first part of their triples, where armv6 and armv7 are both ``arm``."""
