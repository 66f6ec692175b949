"""Cost of reading the weights: each step reads all of them once, in alternating directions.

Because of the alternation, the most recently read weights are read first, and caches from the second level on serve as
many bytes as they hold; only the rest comes from slower memory. What the L1 cache still holds was found to make no
difference (tests/benchmarks/fit_error.py).
"""

from __future__ import annotations

from edge_rnn.boards.profile import Device

__all__ = ["reading"]


def reading(device: Device, weight_bytes: int) -> tuple[str, float]:
    """Slowest memory that a step reads weights from, and the cycles for reading all weights.

    The L1 cache counts as free, because its loads are among the instructions.
    """
    far = "flash" if device.flash_bytes else "RAM"
    if weight_bytes <= device.l1d_bytes:
        return "L1 cache", 0.0
    levels = (
        ("L2 cache", device.l2_bytes, device.l2_bytes_per_cycle),
        ("L3 cache", device.l3_bytes, device.l3_bytes_per_cycle),
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
