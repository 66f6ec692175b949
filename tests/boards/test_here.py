"""Boards are recognized by ``/proc/cpuinfo`` and ``/proc/device-tree/model``, with lines of real boards."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_rnn import boards
from edge_rnn.boards.here import recognise

ARM64 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: {}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
A72 = ARM64.format("fp asimd evtstrm crc32 cpuid")
A76 = ARM64.format("fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp")
ARM11 = (
    "processor\t: 0\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\nBogoMIPS\t: 697.95\n"
    "Features\t: half thumb fastmult vfp edsp java tls\nCPU implementer\t: 0x41\nCPU architecture: 7\n\n"
    "Hardware\t: BCM2835\nRevision\t: 9000c1\nModel\t\t: Raspberry Pi Zero W Rev 1.1\n"
)
ARM7 = (
    "processor\t: 0\nmodel name\t: ARMv7 Processor rev 5 (v7l)\nBogoMIPS\t: 57.60\n"
    "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm\n"
)
ARM8 = "processor\t: 0\nmodel name\t: Cortex A8\nFeatures\t: half thumb fastmult vfp edsp thumbee neon vfpv3 tls\n"
X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel\nflags\t\t: fpu sse sse2 {}\n"
V3 = X86.format("ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt avx f16c abm bmi1 avx2 bmi2")

MACHINES = {
    "raspberry_pi_zero_w": ("Raspberry Pi Zero W Rev 1.1\0", ARM11, "armv6l"),
    "raspberry_pi_zero_2w": ("Raspberry Pi Zero 2 W Rev 1.0\0", A72, "aarch64"),
    "raspberry_pi_zero_2w_32bit": ("Raspberry Pi Zero 2 W Rev 1.0\0", ARM7, "armv7l"),
    "raspberry_pi_2": ("Raspberry Pi 2 Model B Rev 1.1\0", ARM7, "armv7l"),
    "raspberry_pi_3": ("Raspberry Pi 3 Model B Plus Rev 1.3\0", A72, "aarch64"),
    "raspberry_pi_3_32bit": ("Raspberry Pi 3 Model B Rev 1.2\0", ARM7, "armv7l"),
    "raspberry_pi_4": ("Raspberry Pi 4 Model B Rev 1.4\0", A72, "aarch64"),
    "raspberry_pi_4_32bit": ("Raspberry Pi 4 Model B Rev 1.4\0", ARM7, "armv7l"),
    "raspberry_pi_5": ("Raspberry Pi 5 Model B Rev 1.0\0", A76, "aarch64"),
    "beaglebone_black": ("TI AM335x BeagleBone Black\0", ARM8, "armv7l"),
    "jetson_nano": ("NVIDIA Jetson Nano Developer Kit\0", A72, "aarch64"),
    "visionfive_2": ("StarFive VisionFive 2 v1.3B\0", "processor\t: 0\nisa\t\t: rv64imafdc\n", "riscv64"),
    "generic_x86_64": ("", X86.format("ssse3 cx16 sse4_1 sse4_2"), "x86_64"),
    "x86_64_v3": ("", V3, "x86_64"),
}


def recognised(folder: Path, model: str, cpuinfo: str, architecture: str) -> str | None:
    """Name of the board with these files; an empty text stands for a missing file."""
    for name, text in (("model", model), ("cpuinfo", cpuinfo)):
        if text:
            (folder / name).write_text(text, encoding="utf-8")
    found = recognise(map(boards.load, boards.names()), folder / "cpuinfo", folder / "model", architecture)
    return found.name if found else None


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_recognized(name: str, tmp_path: Path) -> None:
    assert recognised(tmp_path, *MACHINES[name]) == name


def test_every_board_with_a_system_is_tried() -> None:
    assert {name for name in boards.names() if boards.load(name).output == "shared"} == set(MACHINES)


def test_by_cpuinfo_alone(tmp_path: Path) -> None:
    """A container has no device tree, but kernels of Raspberry Pi OS name the board in cpuinfo too."""
    assert recognised(tmp_path, "", ARM11, "armv6l") == "raspberry_pi_zero_w"


def test_a_32_bit_system_under_a_64_bit_kernel(tmp_path: Path) -> None:
    """32-bit Raspberry Pi OS starts a 64-bit kernel on a Raspberry Pi 4: cpuinfo is that of the kernel."""
    assert recognised(tmp_path, "Raspberry Pi 4 Model B Rev 1.4\0", A72, "armv7l") == "raspberry_pi_4_32bit"


@pytest.mark.parametrize(
    ("model", "cpuinfo", "architecture"),
    [
        ("Radxa ROCK 5B\0", A76, "aarch64"),
        ("Raspberry Pi 6 Model B Rev 1.0\0", A76, "aarch64"),
        ("Raspberry Pi 5 Model B Rev 1.0\0", A72, "aarch64"),  # says that it has no dot products
        ("", A72, "aarch64"),
        ("", "", "x86_64"),
        ("", V3, "i686"),
        ("", "", ""),
    ],
)
def test_unknown_machines_are_not_guessed(model: str, cpuinfo: str, architecture: str, tmp_path: Path) -> None:
    assert recognised(tmp_path, model, cpuinfo, architecture or "s390x") is None
