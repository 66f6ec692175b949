"""Targets whose kernels the wheels hold, and the choice of one for this process, without LLVM.

A wheel is for one architecture and has kernels for several of its CPUs. They are chosen by the words of
``/proc/cpuinfo``; the architecture is that of the process, since a 64-bit kernel describes its 64-bit CPU to 32-bit
processes too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from edge_rnn.kernels.compile.target import Target

__all__ = ["SHIPPED", "ShippedTarget", "architecture", "suitable"]

_AVX2 = "+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe"
_AVX512 = "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx512vbmi2,+avx512vnni"
_V2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
_V3 = f"{_V2} abm avx avx2 bmi1 bmi2 f16c fma movbe"
_V4 = "avx512f avx512bw avx512cd avx512dq avx512vl avx512_vbmi2 avx512_vnni"
_A76 = "asimd asimddp asimdhp asimdrdm atomics fphp lrcpc"

_IN_ORDER = frozenset({"0xd03", "0xd04", "0xd05", "0xd46", "0xd80"})
"""``CPU part`` of Arm's 64-bit cores that run instructions in order: Cortex-A53, A35, A55, A510 and A520."""


@dataclass(frozen=True, slots=True)
class ShippedTarget:
    """Target whose kernels are in the wheels of its architecture.

    Parameters
    ----------
    name
        Its name among the shipped targets.
    target
        The target.
    needs
        Words that ``/proc/cpuinfo`` has to list for every processor.
    no_parts
        Values of ``CPU part`` that a processor must not have: those that another target suits better.
    """

    name: str
    target: Target
    needs: frozenset[str] = frozenset()
    no_parts: frozenset[str] = frozenset()

    @property
    def file(self) -> str:
        """Name of the archive of its kernels."""
        return f"{self.name}.kernels"


def _shipped(
    name: str, triple: str, cpu: str, features: str = "", needs: str = "", no_parts: frozenset[str] = frozenset()
) -> ShippedTarget:
    target = Target(f"{triple}-unknown-linux-{'gnueabihf' if triple.startswith('armv') else 'gnu'}", cpu, features)
    if triple == "riscv64":
        target = replace(target, abi="lp64d")
    return ShippedTarget(name, target, frozenset(needs.split()), no_parts)


SHIPPED: Mapping[str, tuple[ShippedTarget, ...]] = MappingProxyType(
    {
        "x86_64": (
            _shipped("x86-64-v4", "x86_64", "x86-64-v4", f"{_AVX2},{_AVX512}", f"{_V3} {_V4}"),
            _shipped("x86-64-v3", "x86_64", "x86-64-v3", _AVX2, _V3),
            _shipped("x86-64-v2", "x86_64", "x86-64-v2", "", _V2),
        ),
        "aarch64": (
            _shipped("cortex-a76", "aarch64", "cortex-a76", "+dotprod", _A76),
            _shipped("cortex-a72", "aarch64", "cortex-a72", "", "asimd", _IN_ORDER),
            _shipped("cortex-a53", "aarch64", "cortex-a53", "", "asimd"),
        ),
        "arm": (
            _shipped("armv7", "armv7", "cortex-a8", "", "neon"),  # the code for a Cortex-A7 is the same
            _shipped("armv6", "armv6", "arm1176jzf-s", "", "vfp"),
        ),
        "riscv64": (_shipped("sifive-u74", "riscv64", "sifive-u74", "", "i m a f d c"),),
    }
)
"""Targets by architecture, the best first. The last one runs on every CPU that its architecture's systems support."""


def architecture() -> str:
    """Architecture of this process, as a key of :data:`SHIPPED` where kernels are shipped for it."""
    machine, is_64_bit = os.uname().machine, sys.maxsize > 2**32
    if machine.startswith(("arm", "aarch64")):
        return "aarch64" if is_64_bit else "arm"
    return machine if is_64_bit else f"32-bit {machine}"


def suitable(architecture: str, cpuinfo: str) -> Iterator[ShippedTarget]:
    """Yield the shipped targets that a CPU can run, the best first.

    Parameters
    ----------
    architecture
        As in :data:`SHIPPED`.
    cpuinfo
        Text of ``/proc/cpuinfo``. If it lists no features, as in some emulators and containers, only the last target
        is taken.
    """
    targets = SHIPPED.get(architecture, ())
    words, parts = _features(architecture, cpuinfo), set(_values(cpuinfo, "CPU part"))
    for each in targets:
        if words is None:
            if each is targets[-1]:
                yield each
        elif each.needs <= words and not each.no_parts & parts:
            yield each


def _features(architecture: str, cpuinfo: str) -> set[str] | None:
    """Words that all processors list; None if there are none for this architecture."""
    key = {"x86_64": "flags", "riscv64": "isa"}.get(architecture, "Features")
    read = _letters if key == "isa" else str.split
    found = [set(read(line)) for line in _values(cpuinfo, key)]
    if not found:
        return None
    words = set.intersection(*found)
    if architecture == "arm" and "asimd" in words:  # a 64-bit kernel, whose 32-bit processes have these
        words |= {"vfp", "neon"}
    return words


def _letters(isa: str) -> str:
    """Single-letter extensions in ``rv64imafdc_zicsr``; ``g`` stands for several."""
    return isa.removeprefix("rv64").partition("_")[0].replace("g", "imafd")


def _values(cpuinfo: str, name: str) -> list[str]:
    """Value of a key for each processor."""
    pairs = (line.partition(":") for line in cpuinfo.splitlines())
    return [value.strip() for key, _, value in pairs if key.strip() == name]
