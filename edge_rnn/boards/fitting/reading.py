"""What reading the weights takes: once in each step, from one end to the other and back in the next.

So what was read last is read first, and from the second level on a cache gives as much as it holds; only the rest comes
from farther away. What the first one still holds was found to make no difference (tests/benchmarks/fit_error.py).
"""

from __future__ import annotations

from edge_rnn.boards.profile import Device

__all__ = ["reading"]


def reading(device: Device, weight_bytes: int) -> tuple[str, float]:
    """The farthest memory that weights are read from in each step, and the cycles that reading them all takes.

    The first-level cache counts as no time: the loads themselves are among the instructions.
    """
    far = "flash" if device.flash_bytes else "RAM"
    if weight_bytes <= device.l1d_bytes:
        return "first-level cache", 0.0
    levels = (
        ("second-level cache", device.l2_bytes, device.l2_bytes_per_cycle),
        ("third-level cache", device.l3_bytes, device.l3_bytes_per_cycle),
        (far, weight_bytes, device.ram_bytes_per_second / device.clock_hz),
    )
    held, cycles = 0, 0.0
    for name, size, bytes_per_cycle in levels:
        here = min(weight_bytes, size) - held
        if here > 0:
            cycles += here / bytes_per_cycle
            held += here
        if held == weight_bytes:
            return name, cycles
    return far, cycles
