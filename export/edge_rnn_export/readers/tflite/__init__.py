"""Reader of TensorFlow Lite files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn_export.readers.registry import AFTER, UPTO, Reader

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["READER"]


def _read(path: Path, **options: Any) -> Model:
    from edge_rnn_export.readers.tflite.reader import from_tflite

    return from_tflite(path, **options)


READER = Reader(
    kind="TFLite",
    what="a TFLite file",
    suffixes=(".tflite",),
    read=_read,
    options=(UPTO, AFTER),
)
"""Entry of this reader for ``edge-rnn import``."""
