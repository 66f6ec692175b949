"""Scaling per channel: packing and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import Operation, Packed, Record, Site

__all__ = ["build", "pack"]

_PADDING = (("scale", 1.0), ("mean", 0.0))


def pack(fields: Mapping[str, Any], site: Site) -> tuple[Operation, ...]:
    """Operations for the fields of a Standardize layer: 8 scales and 8 means in turn; 1 and 0 in the padding."""
    scale, mean = (np.pad(fields[name], (0, -len(fields[name]) % 8), constant_values=pad) for name, pad in _PADDING)
    return (Operation("standardize", Packed(np.stack([scale.reshape(-1, 8), mean.reshape(-1, 8)], axis=1).ravel())),)


def build(name: str, target: Target, streams: int) -> Any:
    """Build the step: ``y = (x - mean) / scale``, subtracting first, so that a large mean costs no precision."""
    from edge_rnn.kernels.vectors.load_store import at, load, store

    def standardize(record, weights, arena):  # type: ignore[no-untyped-def]
        w = at(weights, record[Record.WEIGHTS])
        for i in range(0, record[Record.N_OUT], 8):
            scale, mean = load(8, w, 2 * i), load(8, w, 2 * i + 8)
            store((load(8, arena, record[Record.X] + i) - mean) / scale, arena, record[Record.OUT] + i)

    return standardize
