"""The choice of a shipped target by ``/proc/cpuinfo``, with texts of real machines."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from edge_rnn import boards
from edge_rnn.kernels.compile.shipped_targets import SHIPPED, architecture, suitable

X86 = "processor\t: {n}\nvendor_id\t: {vendor}\nmodel name\t: a CPU\nflags\t\t: {flags}\nbugs\t\t: avx512_vnni\n\n"
NEHALEM = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx fxsr sse sse2 "
    "ss ht tm pbe syscall nx rdtscp lm constant_tsc arch_perfmon pebs bts rep_good nopl xtopology nonstop_tsc "
    "cpuid aperfmperf pni dtes64 monitor ds_cpl vmx est tm2 ssse3 cx16 xtpr pdcm sse4_1 sse4_2 popcnt lahf_lm "
    "pti ssbd ibrs ibpb stibp tpr_shadow vnmi"
)
HASWELL = (
    f"{NEHALEM} pclmulqdq fma pcid movbe tsc_deadline_timer aes xsave avx f16c rdrand abm cpuid_fault fsgsbase "
    "tsc_adjust bmi1 avx2 smep bmi2 erms invpcid xsaveopt dtherm ida arat pln pts"
)
SKYLAKE_X = (
    f"{HASWELL} avx512f avx512dq rdseed adx smap clflushopt clwb intel_pt avx512cd avx512bw avx512vl xsavec xgetbv1"
)
SAPPHIRE_RAPIDS = (
    f"{SKYLAKE_X} avx512ifma sha_ni xsaves avx_vnni avx512_bf16 wbnoinvd avx512vbmi umip pku ospke waitpkg "
    "avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq la57 rdpid amx_bf16 "
    "avx512_fp16 amx_tile amx_int8"
)
ZEN_4 = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht "
    "syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good amd_lbr_v2 nopl nonstop_tsc cpuid "
    "extd_apicid aperfmperf rapl pni pclmulqdq monitor ssse3 fma cx16 sse4_1 sse4_2 x2apic movbe popcnt aes "
    "xsave avx f16c rdrand lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw "
    "ibs skinit wdt tce topoext fsgsbase bmi1 avx2 smep bmi2 erms invpcid cqm avx512f avx512dq rdseed adx smap "
    "avx512ifma clflushopt clwb avx512cd sha_ni avx512bw avx512vl xsaveopt xsavec avx512_bf16 clzero avx512vbmi "
    "umip pku ospke avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni avx512_bitalg avx512_vpopcntdq rdpid "
    "overflow_recov succor smca fsrm flush_l1d"
)
ARM = (
    "processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: "
    "8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n"
)
ARMV8_0 = "fp asimd evtstrm crc32 cpuid"
ARMV8_2 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
CORTEX_A7 = (
    "processor\t: {n}\nmodel name\t: ARMv7 Processor rev 5 (v7l)\nBogoMIPS\t: 57.60\nFeatures\t: half thumb "
    "fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm\nCPU implementer\t: 0x41\nCPU "
    "architecture: 7\nCPU part\t: 0xc07\n\n"
)
CORTEX_A8 = (
    "processor\t: {n}\nmodel name\t: ARMv7 Processor rev 2 (v7l)\nBogoMIPS\t: 995.32\nFeatures\t: half thumb "
    "fastmult vfp edsp thumbee neon vfpv3 tls vfpd32\nCPU implementer\t: 0x41\nCPU architecture: 7\nCPU part\t: "
    "0xc08\n\nHardware\t: Generic AM33XX (Flattened Device Tree)\n"
)
ARM1176 = (
    "processor\t: {n}\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\nBogoMIPS\t: 697.95\nFeatures\t: "
    "half thumb fastmult vfp edsp java tls\nCPU implementer\t: 0x41\nCPU architecture: 7\nCPU part\t: "
    "0xb76\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi Zero W Rev 1.1\n"
)
TEGRA_2 = CORTEX_A8.replace("neon vfpv3", "vfpv3 vfpv3d16").replace("0xc08", "0xc09")
U74 = (
    "processor\t: {n}\nhart\t\t: 1\nisa\t\t: rv64imafdc_zicntr_zicsr_zifencei_zihpm_zba_zbb\nmmu\t\t: "
    "sv39\nuarch\t\t: sifive,u74-mc\n\n"
)


def x86(flags: str, vendor: str = "GenuineIntel") -> str:
    return X86.replace("{flags}", flags).replace("{vendor}", vendor)


def arm64(features: str, part: str) -> str:
    return ARM.replace("{features}", features).replace("{part}", part)


MACHINES = {
    "Sapphire Rapids": ("x86_64", x86(SAPPHIRE_RAPIDS), "x86-64-v4"),
    "Skylake-X, without products of bytes": ("x86_64", x86(SKYLAKE_X), "x86-64-v3"),
    "Haswell": ("x86_64", x86(HASWELL), "x86-64-v3"),
    "Nehalem": ("x86_64", x86(NEHALEM), "x86-64-v2"),
    "Zen 4": ("x86_64", x86(ZEN_4, "AuthenticAMD"), "x86-64-v4"),
    "Raspberry Pi Zero 2 W and 3": ("aarch64", arm64(ARMV8_0, "0xd03"), "cortex-a53"),
    "Raspberry Pi 4": ("aarch64", arm64(ARMV8_0, "0xd08"), "cortex-a72"),
    "Raspberry Pi 5": ("aarch64", arm64(ARMV8_2, "0xd0b"), "cortex-a76"),
    "Raspberry Pi 2": ("arm", CORTEX_A7, "armv7"),
    "Raspberry Pi 4, 32-bit system under a 64-bit kernel": ("arm", arm64(ARMV8_0, "0xd08"), "armv7"),
    "BeagleBone Black": ("arm", CORTEX_A8, "armv7"),
    "Raspberry Pi Zero W": ("arm", ARM1176, "armv6"),
    "Tegra 2, without NEON": ("arm", TEGRA_2, "armv6"),
    "VisionFive 2": ("riscv64", U74, "sifive-u74"),
}


def best(architecture: str, cpuinfo: str, cores: int = 2) -> str:
    text = "".join(cpuinfo.replace("{n}", str(n)) for n in range(cores))
    return next((each.name for each in suitable(architecture, text)), "")


@pytest.mark.parametrize("machine", MACHINES)
def test_the_best_target_is_chosen(machine: str) -> None:
    architecture, cpuinfo, expected = MACHINES[machine]
    assert best(architecture, cpuinfo) == expected


def test_every_target_is_chosen_on_some_machine() -> None:
    assert {each.name for targets in SHIPPED.values() for each in targets} == {name for *_, name in MACHINES.values()}


@pytest.mark.parametrize(
    ("wanted", "cpuinfo", "word"),
    [
        (each.name, next(text for kind, text, name in MACHINES.values() if name == each.name), word)
        for kind, targets in SHIPPED.items()
        for each in targets
        for word in sorted(each.needs)
        if len(word) > 1  # letters of RISC-V are tried below
    ],
)
def test_a_target_is_left_out_if_one_feature_is_missing(wanted: str, cpuinfo: str, word: str) -> None:
    lines = []
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        words = value.split() if key.strip() in ("flags", "Features") else None
        lines.append(line if words is None else f"{key}{colon} {' '.join(each for each in words if each != word)}")
    text = "\n".join(lines) + "\n"
    architecture = next(kind for kind, targets in SHIPPED.items() if wanted in {each.name for each in targets})
    assert wanted in {each.name for each in suitable(architecture, cpuinfo)}
    assert wanted not in {each.name for each in suitable(architecture, text)}


@pytest.mark.parametrize(
    ("isa", "expected"),
    [("rv64imafdc", True), ("rv64gc", True), ("rv64gcv_zba", True), ("rv64imac", False), ("rv64imafd_c", False)],
)
def test_extensions_of_risc_v(isa: str, expected: bool) -> None:
    text = U74.replace("rv64imafdc_zicntr_zicsr_zifencei_zihpm_zba_zbb", isa)
    assert best("riscv64", text) == ("sifive-u74" if expected else "")


def test_a_feature_of_some_processors_alone_does_not_count() -> None:
    big, little = arm64(ARMV8_2, "0xd0b"), arm64(ARMV8_0, "0xd08")
    assert best("aarch64", big + little) == "cortex-a72"


def test_one_core_in_order_among_others_is_scheduled_for() -> None:
    assert best("aarch64", arm64(ARMV8_0, "0xd08") + arm64(ARMV8_0, "0xd03")) == "cortex-a53"


def test_an_emulator_that_shows_the_cpu_of_its_host_gets_the_least() -> None:
    found = {kind: best(kind, x86(SAPPHIRE_RAPIDS)) for kind in SHIPPED}
    assert found == {"x86_64": "x86-64-v4", "aarch64": "cortex-a53", "arm": "armv6", "riscv64": "sifive-u74"}
    assert {kind: best(kind, "") for kind in SHIPPED} == found | {"x86_64": "x86-64-v2"}


def test_a_cpu_older_than_all_targets_has_none() -> None:
    core_2 = x86(NEHALEM.replace(" popcnt", "").replace(" sse4_2", ""))
    assert best("x86_64", core_2) == ""
    assert best("s390x", core_2) == ""


@pytest.mark.parametrize(
    ("machine", "largest", "expected"),
    [
        ("x86_64", 2**63 - 1, "x86_64"),
        ("x86_64", 2**31 - 1, "32-bit x86_64"),
        ("i686", 2**31 - 1, "32-bit i686"),
        ("aarch64", 2**63 - 1, "aarch64"),
        ("aarch64", 2**31 - 1, "arm"),
        ("armv8l", 2**31 - 1, "arm"),
        ("armv7l", 2**31 - 1, "arm"),
        ("armv6l", 2**31 - 1, "arm"),
        ("riscv64", 2**63 - 1, "riscv64"),
        ("s390x", 2**63 - 1, "s390x"),
    ],
)
def test_the_architecture_is_that_of_the_process(
    machine: str, largest: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    monkeypatch.setattr(sys, "maxsize", largest)
    assert architecture() == expected


def test_properties_that_kernels_depend_on() -> None:
    found = {
        each.name: (each.target.register_bits, each.target.block, each.target.group, each.target.dot)
        for targets in SHIPPED.values()
        for each in targets
    }
    assert found == {
        "x86-64-v4": (512, 16, 4, "vnni"),
        "x86-64-v3": (256, 8, 2, "pmaddwd"),
        "x86-64-v2": (128, 4, 1, "pmaddwd"),
        "cortex-a76": (128, 8, 2, "sdot"),
        "cortex-a72": (128, 8, 2, "mla"),
        "cortex-a53": (128, 8, 2, "mla"),
        "armv7": (128, 4, 1, "mla"),
        "armv6": (32, 1, 1, "mla"),
        "sifive-u74": (32, 1, 1, "mla"),
    }


@pytest.mark.parametrize(
    ("name", "board"),
    [
        ("x86-64-v3", "x86_64_v3"),
        ("cortex-a76", "raspberry_pi_5"),
        ("cortex-a72", "raspberry_pi_4"),
        ("cortex-a53", "raspberry_pi_zero_2w"),
        ("armv7", "beaglebone_black"),
        ("armv6", "raspberry_pi_zero_w"),
        ("sifive-u74", "visionfive_2"),
    ],
)
def test_a_shipped_target_is_that_of_its_board(name: str, board: str) -> None:
    (found,) = [each.target for targets in SHIPPED.values() for each in targets if each.name == name]
    assert found == boards.load(board).target
