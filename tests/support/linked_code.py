"""LLVM text as linked code of any processor, called in an emulator."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import llvmlite.binding as llvm

from edge_rnn.boards.fitting.architecture import architecture
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.compile.target import Target

__all__ = ["assembled", "called"]

_STACK, _END, _PAGE = 0x40000000, 0x50000000, 0x1000
_LIMIT_US = 10_000_000


def assembled(text: str, target: Target) -> bytes:
    """Relocatable object of LLVM text, with no optimization of the text itself."""
    machine = target.machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    return bytes(machine.emit_object(module))


def called(image: Image, target: Target, base: int, name: str, argument: int = 0) -> int:
    """Place an image at ``base`` in an emulated processor, call ``int32_t name(int32_t)``, and return its result.

    The code cannot be written to, and nothing else is mapped but a stack.
    """
    import unicorn

    kind = architecture(target.triple)
    constants = import_module(f"unicorn.{kind.module}_const")
    emulator = unicorn.Uc(getattr(unicorn, kind.name), getattr(unicorn, kind.mode))
    if kind.cpu:
        emulator.ctl_set_cpu_model(getattr(constants, kind.cpu))

    def change(registers: Mapping[str, int]) -> None:
        for register, value in registers.items():
            emulator.reg_write(getattr(constants, register), value)

    for start, data, rights in (
        (base, image.code, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC),
        (_END, kind.returns, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC),
        (_STACK, bytes(_PAGE), unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE),
    ):
        emulator.mem_map(start, -(-len(data) // _PAGE) * _PAGE, rights)
        emulator.mem_write(start, data)
    stack = _STACK + _PAGE // 2
    if not kind.link:
        emulator.mem_write(stack - 8, _END.to_bytes(8, "little"))
    change({kind.arguments[0]: argument, kind.stack: stack if kind.link else stack - 8})
    change({kind.link: _END} if kind.link else {})
    _start_floats(kind.module, change, lambda register: emulator.reg_read(getattr(constants, register)))
    emulator.emu_start(base + image.symbols[name], _END, timeout=_LIMIT_US)
    returned = {"x86": "UC_X86_REG_EAX"}.get(kind.module, kind.arguments[0])
    value = int(emulator.reg_read(getattr(constants, returned))) & 0xFFFFFFFF
    return value - (value >> 31 << 32)


def _start_floats(module: str, change: Any, read: Any) -> None:
    if module == "arm":
        change({"UC_ARM_REG_C1_C0_2": read("UC_ARM_REG_C1_C0_2") | 0xF << 20, "UC_ARM_REG_FPEXC": 1 << 30})
    elif module == "arm64":
        change({"UC_ARM64_REG_CPACR_EL1": read("UC_ARM64_REG_CPACR_EL1") | 3 << 20})
    elif module == "riscv":
        change({"UC_RISCV_REG_MSTATUS": read("UC_RISCV_REG_MSTATUS") | 3 << 13})
