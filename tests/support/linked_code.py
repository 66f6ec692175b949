"""LLVM text as linked code of any processor, called in an emulator."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import llvmlite.binding as llvm

from edge_rnn.boards.fitting.architecture import architecture
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry.program_module import compile_program
from edge_rnn.kernels.program.fixed import fixed_functions
from edge_rnn.streams.plan import Plan

__all__ = ["LOADS", "OTHER", "assembled", "called", "program_object"]

_STACK, _END, _PAGE = 0x40000000, 0x50000000, 0x1000
_LIMIT_US = 10_000_000

# Constants of every size and calls: each relocation of a machine occurs. "volatile" keeps loads that LLVM could fold.
LOADS = """
@b8 = internal constant i8 11
@b16 = internal constant i16 222
@b32 = internal constant i32 3333
@b64 = internal constant i64 44444
@f = internal constant float 1536.5
@v = internal constant <4 x i32> <i32 1, i32 2, i32 70000, i32 4>
@table = internal constant [8 x i32] [i32 7, i32 1, i32 4, i32 9, i32 2, i32 3, i32 8, i32 5]
declare i32 @other(i32)

define i32 @loads(i32 %i) nounwind {
  %a = load volatile i8, ptr @b8
  %b = load volatile i16, ptr @b16
  %c = load volatile i32, ptr @b32
  %d = load volatile i64, ptr @b64
  %e = load volatile float, ptr @f
  %v = load volatile <4 x i32>, ptr @v
  %a1 = zext i8 %a to i32
  %b1 = zext i16 %b to i32
  %d1 = trunc i64 %d to i32
  %e1 = fptosi float %e to i32
  %f1 = extractelement <4 x i32> %v, i32 2
  %1 = add i32 %a1, %b1
  %2 = add i32 %1, %c
  %3 = add i32 %2, %d1
  %4 = add i32 %3, %e1
  %5 = add i32 %4, %f1
  ret i32 %5
}
define i32 @entry(i32 %i) nounwind {
  %p = getelementptr i32, ptr @table, i32 %i
  %r = load i32, ptr %p
  ret i32 %r
}
define i32 @calls(i32 %i) nounwind {
  %r = call i32 @other(i32 %i)
  %s = mul i32 %r, 3
  ret i32 %s
}
define i32 @jumps(i32 %i) nounwind {
  %j = add i32 %i, 1
  %r = tail call i32 @other(i32 %j)
  ret i32 %r
}
"""
OTHER = """
@b32 = internal constant i32 1000
define i32 @other(i32 %i) nounwind {
  %a = load volatile i32, ptr @b32
  %b = add i32 %a, %i
  ret i32 %b
}
"""


def assembled(text: str, target: Target) -> bytes:
    """Relocatable object of LLVM text, with no optimization of the text itself."""
    machine = target.machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    return bytes(machine.emit_object(module))


def program_object(plan: Plan, target: Target) -> bytes:
    """Relocatable object of the program of a plan, with the functions ``step`` and ``advance``."""
    machine, functions = target.machine(), fixed_functions(plan.structure)
    return bytes(machine.emit_object(compile_program(plan.structure, functions, [*functions], (), target, machine)))


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
