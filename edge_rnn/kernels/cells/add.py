"""Sum of several inputs, which are concatenated in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Operation, Record, Site

__all__ = ["build", "pack"]


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for an Add layer; it has no weights."""
    return (Operation("add"),)


def build(name: str, target: Target, streams: int) -> Any:
    """Build the step: ``out[i] = x[i] + x[i + n] + …``."""

    def add(record, weights, arena):  # type: ignore[no-untyped-def]
        x, out = record[Record.X], record[Record.OUT]
        for i in range(record[Record.N_OUT]):
            total = arena[x + i]
            j = i + record[Record.N_OUT]
            while j < record[Record.N_IN]:  # a range would divide, which 32-bit ARM leaves to a library
                total += arena[x + j]
                j += record[Record.N_OUT]
            arena[out + i] = total

    return add
