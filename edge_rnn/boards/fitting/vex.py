"""Patch AVX and AVX-512 instructions, which the emulator does not support, out of x86 code; keep its control flow.

Each instruction is patched in place: with a no-op, or, where its result is a condition or an integer, with an
instruction that gives the result for zeros. The samples in the emulator are zeros.
"""

from __future__ import annotations

import re

from edge_rnn.boards.fitting.listing import Listing

__all__ = ["without_vectors"]

_VECTOR = re.compile(r"[vk][a-z]")
_COMPARES = re.compile(r"vu?comis|vptest|vtestp|kortest|ktest")
_TO_INTEGER = re.compile(r"%(r\w+|e[a-ds][xip])$")
_UCOMISS_SELF = bytes.fromhex("0f2ec0")  # ucomiss %xmm0, %xmm0: equal
_NOP = b"\x90"
_PREFIX = b"\x3e"  # segment prefix, without effect on register operands: pads an instruction
_REGISTERS = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")


def without_vectors(text: bytes, known: Listing) -> bytes:
    """Patch machine code, keeping its length."""
    patched = bytearray(text)
    for address, (instruction, length) in known.items():
        if not _VECTOR.match(instruction):
            continue
        integer = _TO_INTEGER.search(instruction)
        if _COMPARES.match(instruction):
            put = _UCOMISS_SELF
        elif integer:
            put = _zero(integer[1])
        else:
            put = _NOP
        patched[address : address + length] = put.rjust(length, _PREFIX)
    return bytes(patched)


def _zero(register: str) -> bytes:
    """Machine code of ``xor`` of an integer register with itself."""
    name = register.rstrip("d") if register[1:2].isdigit() else register
    if name[1:].isdigit():
        number = int(name[1:])
        return bytes((0x45, 0x31, 0xC0 | (number & 7) * 9)) if number > 7 else bytes((0x31, 0xC0 | number * 9))
    return bytes((0x31, 0xC0 | _REGISTERS.index(name[1:]) * 9))
