"""Reader of RNNoise networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn_export.readers.registry import Option, Reader

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["READER"]


def _read(path: Path, **options: Any) -> Model:
    from edge_rnn_export.readers.rnnoise.reader import from_rnnoise

    return from_rnnoise(path, **options)


READER = Reader(
    kind="RNNoise",
    what="an RNNoise network",
    suffixes=(".rnnn",),
    read=_read,
    options=(Option("part", "--part", "output to read, of two: gains of bands, or vad, voice activity", "gains|vad"),),
    examples=("edge-rnn import bd.rnnn -o denoise.safetensors --part gains",),
)
"""Entry of this reader for ``edge-rnn import``."""
