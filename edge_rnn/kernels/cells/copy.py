"""Copy of values, by which a layer's several inputs come to lie one behind the other."""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Record

__all__ = ["build"]


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled step: ``out[i] = x[i]``."""
    x_at, n_in_at, out_at = int(Record.X), int(Record.N_IN), int(Record.OUT)

    def copy(record, weights, arena):  # type: ignore[no-untyped-def]
        for i in range(record[n_in_at]):
            arena[record[out_at] + i] = arena[record[x_at] + i]

    return copy
