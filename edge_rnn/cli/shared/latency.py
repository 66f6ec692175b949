"""Formatting of latency distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.cli.shared.console import spell_ns

if TYPE_CHECKING:
    from edge_rnn.timing import Latency

__all__ = ["spell_clock", "spell_latency"]


def spell_latency(latency: Latency) -> str:
    """Format the quantiles."""
    quantiles = ((latency.p50, "p50"), (latency.p99, "p99"), (latency.p999, "p99.9"), (latency.max, "max"))
    return ", ".join(f"{spell_ns(value)} {name}" for value, name in quantiles)


def spell_clock(latency: Latency) -> str:
    """Format the clock overhead that was subtracted, and the clock's resolution if it is coarse."""
    return spell_ns(latency.clock) + (f" (resolution {latency.tick} ns)" if latency.tick > 1 else "")
