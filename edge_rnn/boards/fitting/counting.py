"""Cycles per step from instruction counts by kind and from how many of each kind a core issues per cycle."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from edge_rnn.boards.fitting.listing import Listing, instructions
from edge_rnn.boards.fitting.trace import Block
from edge_rnn.boards.profile import Device

__all__ = ["cycles"]

# By instruction set: patterns of loads, and of float and vector arithmetic.
_KINDS = {
    "x86_64": (
        r"(?!lea|cmp|test)\S+\s+(?:.*, )?[^,]*\([^)]*\),|cmp|test.*\(",
        r"v?(?:add|sub|mul|div|max|min|fn?m|pmadd|pmul|padd|cvt)\w*\b(?=.*%[xyz]mm)",
    ),
    "aarch64": (r"ld\w*", r"(?:f(?:ml|mul|add|sub|div|max|min|mad|nm)|[su]?(?:ml|dot|mul)|scvt|sxtl|sshll)\w*"),
    "arm": (r"v?ld\w*|pop", r"v(?:ml|mul|fm|fn|add|sub|div|max|min|sel|cvt|cmp|movl|padd)\w*"),
    "riscv64": (r"f?l[bhwd]u?\b|c\.f?l\w+", r"f(?:n?m|mul|add|sub|div|max|min|cvt|lt|le|eq)\w*"),
}


def cycles(device: Device, known: Listing, executed: Sequence[Block]) -> tuple[float, int]:
    """Cycles of a step that executes these blocks with all data in the L1 cache, and its number of instructions.

    Loads, arithmetic and instructions in total each have a throughput; the scarcest of the three determines the time.
    For an in-order core this holds too, since its ``issue_width`` is the sustained rate.
    """
    first = device.triple.split("-", maxsplit=1)[0]
    load, compute = _KINDS[next(name for name in ("aarch64", "riscv64", "x86_64", "arm") if _is(first, name))]
    loads, computes, total = 0, 0.0, 0
    for block, times in Counter(executed).items():
        texts = instructions(known, block)
        total += times * len(texts)
        loads += times * sum(bool(re.match(load, text)) for text in texts)
        computes += times * sum(bool(re.match(compute, text)) for text in texts)
    if first == "x86_64" and "+fma" not in device.features:  # without FMA, a multiply-add is two instructions
        computes /= 2
    scarcest = (loads / device.loads_per_cycle, computes / device.fma_per_cycle, total / device.issue_width)
    return max(scarcest), total


def _is(architecture: str, name: str) -> bool:
    return architecture.startswith(name) or (name == "arm" and architecture.startswith("thumb"))
