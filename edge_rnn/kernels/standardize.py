"""Scaling per channel: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rnn.kernels.panels import pack_panels
from edge_rnn.kernels.record import Operation, Record

__all__ = ["build", "pack"]


def pack(fields: Mapping[str, Any], block: int) -> tuple[Operation, ...]:
    """Operations for the fields of a Standardize layer: 8 scales and 8 means in turn; 1 and 0 in the padding."""
    scale, mean = (fields[name].reshape(1, -1, 1) for name in ("scale", "mean"))
    return (Operation("standardize", (pack_panels((scale, mean), 1, 1, pad=1.0),)),)


def build(name: str, block: int, streams: int) -> Any:
    """The compiled step: ``y = (x - mean) / scale``, subtracting first, so that a large mean costs no digits."""
    from edge_rnn.kernels.memory import at, load, store

    weights_at, x_at, n_out_at, out_at = int(Record.WEIGHTS), int(Record.X), int(Record.N_OUT), int(Record.OUT)

    def standardize(record, weights, arena):  # type: ignore[no-untyped-def]
        w = at(weights, record[weights_at])
        for i in range(0, record[n_out_at], 8):
            scale, mean = load(8, w, 2 * i), load(8, w, 2 * i + 8)
            store((load(8, arena, record[x_at] + i) - mean) / scale, arena, record[out_at] + i)

    return standardize
