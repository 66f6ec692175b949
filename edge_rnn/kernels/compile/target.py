"""The CPU that code is compiled for, as LLVM spells it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Target", "host"]


@dataclass(frozen=True, slots=True)
class Target:
    """A CPU and what the kernels have to know about it.

    Parameters
    ----------
    triple
        Architecture and system: ``"aarch64-unknown-linux-gnu"``.
    cpu
        CPU name as LLVM spells it: ``"cortex-a72"``.
    features
        LLVM's feature string: ``"+neon,-sve"``.
    abi
        LLVM's name of the calling convention, where an architecture has several: ``"lp64d"``. Empty for the usual one.
    """

    triple: str
    cpu: str
    features: str
    abi: str = ""

    @property
    def has_vectors(self) -> bool:
        """Whether there are registers of several floats: on 32-bit ARM from Armv7-A on, on wasm if it says so."""
        architecture = self.triple.partition("-")[0]
        if architecture.startswith("wasm"):
            return "+simd128" in self.features
        if architecture.startswith(("armv7", "armv8")):
            return "-neon" not in self.features
        return architecture.startswith(("x86_64", "aarch64"))

    @property
    def register_bits(self) -> int:
        """Widest vector register that kernels use.

        512 where the CPU has units of that width and does not slow down for them: Intel from Ice Lake on. Zen 4 does
        them in two halves.
        """
        features = self.features.split(",")
        if "+avx512vbmi2" in features and self.cpu != "znver4":
            return 512
        if not self.has_vectors:
            return 32
        return 256 if "+avx2" in features else 128

    @property
    def block(self) -> int:
        """How many vectors of 8 floats a kernel accumulates in registers at a time.

        16 registers of 4 floats (SSE, 32-bit NEON) hold 4 beside what the loop needs; 16 of 8 (AVX) or 32 of 4 (64-bit
        NEON) hold 8; 32 of 16 hold 16 and more, and 8 sums have to be under way at once. Without vectors it is 1.
        """
        wide = 8 if self.triple.startswith("aarch64") else 4
        return {512: 16, 256: 8, 32: 1}.get(self.register_bits, wide)

    def lanes(self, gates: int) -> int | None:
        """How many units a kernel with so many gates does at once at most, where 8 would not stay in registers.

        A CPU without vectors has 32 registers of one float, or 16: sums of 16 leave room for what they are made of.
        """
        return None if self.has_vectors else 8 if gates == 1 else 4

    @property
    def dot(self) -> Literal["vnni", "pmaddwd", "sdot", "mla"]:
        """How the CPU multiplies small integers: the instruction that a sum of products is made of.

        ``vnni`` and ``sdot`` add 4 products of 8 bits to a sum of 32, ``pmaddwd`` 2 of 16 bits; ``mla`` is a
        multiply-add of single values (``smlal`` on ARM). AVX-VNNI without AVX-512 does not count: 16 registers do not
        hold the sums.
        """
        features = self.features.split(",")
        if not self.triple.startswith(("x86_64", "i")):
            return "sdot" if "+dotprod" in features and self.triple.startswith("aarch64") else "mla"
        return "vnni" if {"+avx512vnni", "+avx512vl"} <= {*features} else "pmaddwd"

    @property
    def converts_half(self) -> bool:
        """Whether there is an instruction from float16 to float32."""
        features = self.features.split(",")
        return self.triple.startswith("aarch64") or "+f16c" in features or "+avx512f" in features

    @property
    def group(self) -> int:
        """How many streams a kernel does at once in a bank; 1 where the registers hold no more than one."""
        if "+avx512vl" in self.features.split(","):  # 32 registers of 8 or 16 floats
            return 4
        return 2 if self.block == 8 else 1

    def machine(self) -> Any:
        """An llvmlite target machine that optimizes for this CPU and emits position-independent code (not on wasm)."""
        import llvmlite.binding as llvm

        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(self.triple)
        reloc = "static" if self.triple.startswith("wasm") else "pic"
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc=reloc, codemodel="default", abiname=self.abi
        )


def host() -> Target:
    """The CPU of this process; ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` are heeded, as Numba does."""
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if name == "generic" else llvm.get_host_cpu_features().flatten() + _unnoticed()
    return Target(llvm.get_process_triple(), name, features)


def _unnoticed() -> str:
    """Features that LLVM does not look for where it names an ARM CPU; Linux tells them: ``",+dotprod"``."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    told = [line.partition(":")[2].split() for line in text.splitlines() if line.startswith("Features")]
    return ",+dotprod" if told and all("asimddp" in words for words in told) else ""
