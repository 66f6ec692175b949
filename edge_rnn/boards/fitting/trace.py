"""Trace of the instructions that a step executes on a board, from one run of its code in an emulator.

Only the control flow matters, not the values: constants of a function are not even linked, so floating-point values in
the emulator are meaningless. The control flow of the kernels depends on sizes alone, which are those of the model; the
check for finite samples sees zeros.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from edge_rnn.boards.fitting.architecture import Architecture, architecture
from edge_rnn.boards.fitting.program import STEP, Program
from edge_rnn.errors import UnsupportedError
from edge_rnn.kernels.program.record import Handle, Policy

__all__ = ["Block", "Image", "image", "trace"]

Block = tuple[int, int]
"""A run of consecutively executed instructions: its address, and its length in bytes."""

_PAGE = 0x1000
_BASE = 0x10_0000
_STACK_BYTES = 0x4_0000
_UNTOUCHED = b"\xa5"
_LIMIT_US = 60_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Machine code in one piece, with the offsets of its functions.

    Parameters
    ----------
    text
        Code of all functions.
    entries
        Offset of each function's entry by name, without Thumb's odd bit.
    places
        Offset of each function's section, which may hold other functions too.
    ends
        End offset of that section.
    """

    text: bytes
    entries: Mapping[str, int]
    places: Mapping[str, int]
    ends: Mapping[str, int]


def image(program: Program) -> Image:
    """Lay out the code of a program's functions, each on its own page.

    Raises
    ------
    UnsupportedError
        ``pyelftools`` is not installed.
    """
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise UnsupportedError(f"{error.name} is not installed; pip install 'edge-rnn[fit]'.") from error
    text, entries, places, ends = bytearray(), {}, {}, {}
    for name, code in program.objects.items():
        elf = ELFFile(io.BytesIO(code))
        section = elf.get_section_by_name(".text")
        symbol = elf.get_section_by_name(".symtab").get_symbol_by_name(name)[0]
        text += bytes(-len(text) % _PAGE)
        places[name] = len(text)
        entries[name] = len(text) + (symbol["st_value"] & ~1)
        text += section.data()
        ends[name] = len(text)
    return Image(bytes(text), entries, places, ends)


def trace(program: Program, loaded: Image) -> tuple[list[Block], int]:
    """Blocks that a step executes, in order, and the bytes of stack that it uses.

    Addresses are relative to the image. The instructions of ``advance`` come first, then those of each operation.

    Raises
    ------
    UnsupportedError
        ``unicorn`` is not installed, or cannot run this code.
    """
    try:
        import unicorn
    except ImportError as error:
        raise UnsupportedError("unicorn is not installed; pip install 'edge-rnn[fit]'.") from error
    machine = _Machine(unicorn, architecture(program.device.triple), loaded.text, program)
    try:
        executed = machine.call(loaded.entries[STEP], machine.handle())
        machine.stay_below()
        for i, name in enumerate(program.plan.operations):
            executed += machine.call(loaded.entries[name], machine.operation(i))
    except unicorn.UcError as error:
        raise UnsupportedError(f"unicorn cannot run the code of {program.device.name}: {error}.") from error
    return executed, machine.stack_bytes()


class _Machine:
    """Emulator with the program in its memory."""

    def __init__(self, unicorn: Any, kind: Architecture, text: bytes, program: Program) -> None:
        self.kind, self.plan, self.program = kind, program.plan, program
        self.constants = import_module(f"unicorn.{kind.module}_const")
        self.emulator = unicorn.Uc(getattr(unicorn, kind.name), getattr(unicorn, kind.mode))
        if kind.cpu:
            self.emulator.ctl_set_cpu_model(getattr(self.constants, kind.cpu))
        self.end = _BASE
        self.code = self._put(text)
        self.nothing = self._put(kind.returns)
        self.stack = self.top = self._put(_UNTOUCHED * _STACK_BYTES) + _STACK_BYTES
        self.records = self._put(self.plan.records.tobytes())
        self.weights = self._put(self.plan.weights.tobytes())
        self.arena = self._put(bytes(4 * self.plan.arena_floats))
        self.x = self._put(bytes(4 * program.input_size))
        self.y = self._put(bytes(4 * program.output_size))
        self._start_floats()
        self.seen: list[Block] = []
        self.emulator.hook_add(unicorn.UC_HOOK_BLOCK, self._see)

    def call(self, entry: int, arguments: Sequence[int]) -> list[Block]:
        """Call a function, and return the blocks that it executed."""
        self.seen = []
        stack = self.stack
        if self.kind.link:
            self._set(self.kind.link, self.nothing | self.kind.thumb)
        else:
            stack -= 8
            self.emulator.mem_write(stack, self.nothing.to_bytes(8, "little"))
        self._set(self.kind.stack, stack)
        for register, value in zip(self.kind.arguments, arguments, strict=True):
            self._set(register, value)
        start = (self.code + entry) | self.kind.thumb
        self.emulator.emu_start(start, self.nothing, timeout=_LIMIT_US)
        if not self.seen or self._get(f"UC_{self.kind.module.upper()}_REG_{self.kind.counter}") != self.nothing:
            raise UnsupportedError(f"the code of {self.program.device.name} does not terminate in the emulator.")
        return [(address - self.code, size) for address, size in self.seen if address < self.nothing]

    def stack_bytes(self) -> int:
        """Bytes of stack that the calls wrote to."""
        bottom = self.top - _STACK_BYTES
        return len(bytes(self.emulator.mem_read(bottom, _STACK_BYTES)).lstrip(_UNTOUCHED))

    def stay_below(self) -> None:
        """Place later calls below the current stack use, since ``advance`` is still active while it calls them."""
        self.stack = self.top - -(-self.stack_bytes() // 64) * 64

    def operation(self, i: int) -> tuple[int, int, int]:
        """Arguments of an operation's kernel in an even step."""
        return self.records + i * self.plan.records.itemsize * self.plan.records.shape[2], self.weights, self.arena

    def handle(self) -> tuple[int, int, int]:
        """Arguments of ``advance``, with empty functions as operations."""
        plan = self.plan
        # A second copy of the empty function: execution stops at the first one.
        nothing = self._put(self.kind.returns) | self.kind.thumb
        functions = self._put(np.full(len(plan.operations), nothing, np.int64).tobytes())
        words = np.zeros(len(Handle), np.int64)
        addresses = {
            Handle.FUNCTIONS: functions,
            Handle.RECORDS_EVEN: self.records,
            Handle.RECORDS_ODD: self.records + plan.records[0].nbytes,
            Handle.WEIGHTS: self.weights,
            Handle.ARENA: self.arena,
            Handle.POLICY: Policy.RAISE,
        }
        for word, value in (plan.words | addresses).items():
            words[word] = value
        return self._put(words.tobytes()), self.x, self.y

    def _see(self, _emulator: Any, address: int, size: int, _data: Any) -> None:
        self.seen.append((address, size))

    def _put(self, data: bytes) -> int:
        """Allocate memory for ``data``, with a free page after it, and return its address."""
        start, size = self.end, -(-(len(data) + 64) // _PAGE) * _PAGE
        self.emulator.mem_map(start, size)
        self.emulator.mem_write(start, data)
        self.end = start + size + _PAGE
        return start

    def _set(self, register: str, value: int) -> None:
        self.emulator.reg_write(getattr(self.constants, register), value)

    def _get(self, register: str) -> int:
        return int(self.emulator.reg_read(getattr(self.constants, register)))

    def _start_floats(self) -> None:
        """Enable the floating-point unit, as an operating system does."""
        if self.kind.module == "arm":
            access = self._get("UC_ARM_REG_C1_C0_2")
            self._set("UC_ARM_REG_C1_C0_2", access | 0xF << 20)
            self._set("UC_ARM_REG_FPEXC", 1 << 30)
        elif self.kind.module == "arm64":
            access = self._get("UC_ARM64_REG_CPACR_EL1")
            self._set("UC_ARM64_REG_CPACR_EL1", access | 3 << 20)
        elif self.kind.module == "riscv":
            status = self._get("UC_RISCV_REG_MSTATUS")
            self._set("UC_RISCV_REG_MSTATUS", status | 3 << 13)
