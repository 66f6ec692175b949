"""Copy of values, by which a layer's several inputs come to lie one behind the other."""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Record

__all__ = ["build"]


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled step: ``out[i] = x[i]``."""

    def copy(record, weights, arena):  # type: ignore[no-untyped-def]
        for i in range(record[Record.N_IN]):
            arena[record[Record.OUT] + i] = arena[record[Record.X] + i]

    return copy
