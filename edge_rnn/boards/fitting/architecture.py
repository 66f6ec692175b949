"""Emulator settings of instruction sets: calling convention, and how a function returns."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rnn.errors import UnsupportedError

__all__ = ["Architecture", "architecture"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Instruction set, in terms of the package ``unicorn``.

    Parameters
    ----------
    name, mode
        Names of unicorn's constants, such as ``"UC_ARCH_ARM64"`` and ``"UC_MODE_ARM"``.
    module
        Name of unicorn's module with the registers, such as ``"arm64"``.
    cpu
        Constant of a processor with all features that kernels use; empty for unicorn's default.
    arguments, stack, link
        Registers of the calling convention; without a link register, the return address is on the stack.
    returns
        Machine code of an empty function: its single return instruction.
    counter
        Program counter.
    thumb
        True if function addresses are odd.
    """

    name: str
    mode: str
    module: str
    cpu: str
    arguments: tuple[str, str, str]
    stack: str
    link: str
    returns: bytes
    counter: str = "PC"
    thumb: bool = False


_ARM_REGISTERS = (("UC_ARM_REG_R0", "UC_ARM_REG_R1", "UC_ARM_REG_R2"), "UC_ARM_REG_SP", "UC_ARM_REG_LR")
_ARCHITECTURES = {
    "aarch64": Architecture(
        "UC_ARCH_ARM64",
        "UC_MODE_ARM",
        "arm64",
        "UC_CPU_ARM64_MAX",
        ("UC_ARM64_REG_X0", "UC_ARM64_REG_X1", "UC_ARM64_REG_X2"),
        "UC_ARM64_REG_SP",
        "UC_ARM64_REG_X30",
        bytes.fromhex("c0035fd6"),
    ),
    "arm": Architecture(
        "UC_ARCH_ARM", "UC_MODE_ARM", "arm", "UC_CPU_ARM_MAX", *_ARM_REGISTERS, bytes.fromhex("1eff2fe1")
    ),
    # A processor with both instruction sets runs Thumb-only code too, and its floating-point unit is easier to
    # enable.
    "thumb": Architecture(
        "UC_ARCH_ARM", "UC_MODE_THUMB", "arm", "UC_CPU_ARM_MAX", *_ARM_REGISTERS, bytes.fromhex("7047"), thumb=True
    ),
    "riscv64": Architecture(
        "UC_ARCH_RISCV",
        "UC_MODE_RISCV64",
        "riscv",
        "",
        ("UC_RISCV_REG_A0", "UC_RISCV_REG_A1", "UC_RISCV_REG_A2"),
        "UC_RISCV_REG_SP",
        "UC_RISCV_REG_RA",
        bytes.fromhex("67800000"),
    ),
    "x86_64": Architecture(
        "UC_ARCH_X86",
        "UC_MODE_64",
        "x86",
        "",
        ("UC_X86_REG_RDI", "UC_X86_REG_RSI", "UC_X86_REG_RDX"),
        "UC_X86_REG_RSP",
        "",
        bytes.fromhex("c3"),
        "RIP",
    ),
}


def architecture(triple: str) -> Architecture:
    """Emulator settings for a target triple.

    Raises
    ------
    UnsupportedError
        The emulator does not support the architecture.
    """
    first = triple.split("-", maxsplit=1)[0]
    found = next((each for start, each in _ARCHITECTURES.items() if first.startswith(start)), None)
    if found is None:
        raise UnsupportedError(f"unicorn does not emulate {first}.")
    return found
