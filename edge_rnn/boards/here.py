"""Recognize the board that this machine is, by what Linux reports about it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from pathlib import Path

from edge_rnn.boards.profile import Device

__all__ = ["CPUINFO", "DEVICE_TREE_MODEL", "recognise"]

CPUINFO = Path("/proc/cpuinfo")
DEVICE_TREE_MODEL = Path("/proc/device-tree/model")


def recognise(
    devices: Iterable[Device],
    cpuinfo: Path = CPUINFO,
    model: Path = DEVICE_TREE_MODEL,
    architecture: str | None = None,
) -> Device | None:
    """Find the profile among ``devices`` that matches this machine.

    A board matches by the beginning of its device-tree model and by its address width; a machine without a device tree,
    such as x86, by its architecture. All features in the profile have to be present. If several profiles match, the one
    with the longest model prefix, then with the most features, is chosen.

    Parameters
    ----------
    devices
        Profiles.
    cpuinfo, model
        Files in which Linux describes processor and board.
    architecture
        Architecture of this process, as in ``platform.machine()``: ``"aarch64"``, ``"armv7l"``, ``"x86_64"``. By
        default that of this machine; a 32-bit Python on a 64-bit kernel counts as 32-bit.

    Returns
    -------
    Device or None
        None for an unknown machine.
    """
    text = _text(cpuinfo)
    board = _text(model).strip("\0 \n") or _value(text, "Model")
    words = set(_value(text, "flags").split()) | set(_value(text, "Features").split())
    if "asimd" in words:  # all that a 64-bit kernel reports, even to a 32-bit system
        words |= {"vfp", "neon", "vfpv4"}
    machine = architecture or platform.machine()
    bits = 64 if "64" in machine and (architecture or sys.maxsize > 2**32) else 32
    best, rank = None, (-1, -1)
    for device in devices:
        if device.output != "shared" or device.bits != bits or not words.issuperset(device.hwcaps):
            continue
        if device.models:
            known = max((len(start) for start in device.models if board.startswith(start)), default=0)
            if not known:
                continue
        elif not board and device.triple.split("-")[0] == machine.lower().replace("amd64", "x86_64"):
            known = 0
        else:
            continue
        if (known, len(device.hwcaps)) > rank:
            best, rank = device, (known, len(device.hwcaps))
    return best


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _value(text: str, name: str) -> str:
    """First value of a key in ``/proc/cpuinfo``."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
