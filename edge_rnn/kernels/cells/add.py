"""Sum of several inputs, which lie one behind the other."""

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
    """The compiled step: ``out[i] = x[i] + x[i + n] + …``."""
    x_at, n_in_at, n_out_at, out_at = int(Record.X), int(Record.N_IN), int(Record.N_OUT), int(Record.OUT)

    def add(record, weights, arena):  # type: ignore[no-untyped-def]
        x, out = record[x_at], record[out_at]
        for i in range(record[n_out_at]):
            total = arena[x + i]
            for j in range(i + record[n_out_at], record[n_in_at], record[n_out_at]):
                total += arena[x + j]
            arena[out + i] = total

    return add
