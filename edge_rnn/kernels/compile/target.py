"""Target CPU of compiled code, in LLVM's terms."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

__all__ = ["OVERRIDES", "Target", "cpuinfo", "host", "host_facts"]

OVERRIDES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
"""Environment variables that override the CPU of this process, as in Numba."""
_CPUINFO = re.compile(
    r"(?:vendor_id|cpu family|model|model name|stepping|flags"  # x86
    r"|Features|CPU (?:implementer|architecture|variant|part|revision)"  # ARM
    r"|isa|hart isa|uarch|mvendorid|marchid|mimpid)\s*:"  # RISC-V
)


@dataclass(frozen=True, slots=True)
class Target:
    """CPU, with the properties that kernels depend on.

    Parameters
    ----------
    triple
        Architecture and system: ``"aarch64-unknown-linux-gnu"``.
    cpu
        CPU name as LLVM spells it: ``"cortex-a72"``.
    features
        LLVM's feature string: ``"+neon,-sve"``.
    abi
        LLVM's name of the ABI, for an architecture that has several: ``"lp64d"``. Empty for the default.
    """

    triple: str
    cpu: str
    features: str
    abi: str = ""

    @property
    def has_vectors(self) -> bool:
        """True if the CPU has vector registers: on 32-bit ARM from Armv7-A on, on wasm with ``+simd128``."""
        architecture = self.triple.partition("-")[0]
        if architecture.startswith("wasm"):
            return "+simd128" in self.features
        if architecture.startswith(("armv7", "armv8")):
            return "-neon" not in self.features
        return architecture.startswith(("x86_64", "aarch64"))

    @property
    def register_bits(self) -> int:
        """Width in bits of the widest vector register that kernels use.

        512 if the CPU has units of that width and does not slow down for them: Intel from Ice Lake on. Zen 4 computes
        512-bit vectors in two halves.
        """
        features = self.features.split(",")
        if "+avx512vbmi2" in features and self.cpu != "znver4":
            return 512
        if not self.has_vectors:
            return 32
        return 256 if "+avx2" in features else 128

    @property
    def block(self) -> int:
        """Number of vectors of 8 floats that a kernel accumulates in registers at a time.

        In addition to the loop's own values, 16 registers of 4 floats (SSE, 32-bit NEON) hold 4; 16 of 8 (AVX) or 32 of
        4 (64-bit NEON) hold 8; 32 of 16 hold 16 and more, and at least 8 sums have to be in flight at once. It is 1
        without vectors.
        """
        wide = 8 if self.triple.startswith("aarch64") else 4
        return {512: 16, 256: 8, 32: 1}.get(self.register_bits, wide)

    def lanes(self, gates: int) -> int | None:
        """Most units that a kernel with this many gates computes at once without vectors; None if the CPU has them.

        A CPU without vectors has 16 or 32 registers of one float: 16 sums leave room for their operands.
        """
        return None if self.has_vectors else 8 if gates == 1 else 4

    @property
    def dot(self) -> Literal["vnni", "pmaddwd", "sdot", "mla"]:
        """Instruction for sums of products of small integers.

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
        """True if the CPU has an instruction that converts float16 to float32."""
        features = self.features.split(",")
        return self.triple.startswith("aarch64") or "+f16c" in features or "+avx512f" in features

    @property
    def group(self) -> int:
        """Number of streams that a kernel of a bank computes at once; 1 if the registers hold no more than one."""
        if "+avx512vl" in self.features.split(","):  # 32 registers of 8 or 16 floats
            return 4
        return 2 if self.block == 8 else 1

    def machine(self) -> Any:
        """Make an llvmlite target machine for this CPU that emits position-independent code, except on wasm."""
        import llvmlite.binding as llvm

        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(self.triple)
        reloc = "static" if self.triple.startswith("wasm") else "pic"
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc=reloc, codemodel="default", abiname=self.abi
        )


def host() -> Target:
    """CPU of this process; ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` override it, as in Numba."""
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if name == "generic" else llvm.get_host_cpu_features().flatten() + _unnoticed()
    return Target(llvm.get_process_triple(), name, features)


def host_facts() -> str:
    """Everything that :func:`host` depends on, found without LLVM; empty if the system does not describe the CPU.

    The cores of an ARM processor may differ, those of others have the same instructions.
    """
    lines = cpuinfo()
    first = list(takewhile(str.strip, lines))
    cores = [*first, *lines] if any(line.startswith("CPU implementer") for line in first) else first
    found = sorted({line.strip() for line in cores if _CPUINFO.match(line)})
    return repr((found, os.uname().machine, sys.maxsize, *map(os.environ.get, OVERRIDES))) if found else ""


def _unnoticed() -> str:
    """Features that LLVM does not detect on ARM, but Linux reports: ``",+dotprod"``."""
    cores = [line.partition(":")[2].split() for line in cpuinfo() if line.startswith("Features")]
    return ",+dotprod" if cores and all("asimddp" in words for words in cores) else ""


def cpuinfo() -> Iterator[str]:
    """Yield lines of the system's description of its processors, which it writes as they are read."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            yield from file
    except OSError:
        return
