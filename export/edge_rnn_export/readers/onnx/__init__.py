"""Reader of ONNX graphs: traces them and extracts their layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn_export.readers.registry import UPTO, Reader

if TYPE_CHECKING:
    from edge_rnn_export.readers.tracing.walk import Reading

__all__ = ["READER"]


def _read(path: Path, **options: Any) -> Reading:
    from edge_rnn_export.readers.onnx.reader import reading_of

    return reading_of(path, **options)


def _check(read: Reading, path: Path) -> str:
    from edge_rnn_export.readers.onnx.check import compared

    error, steps = compared(read, path)
    return f"onnxruntime over {steps} random steps: {error:.1e} off at most"


READER = Reader(
    kind="ONNX",
    what="an ONNX graph",
    suffixes=(".onnx",),
    read=_read,
    options=(UPTO,),
    check=_check,
    examples=("edge-rnn import exported.onnx -o model.safetensors",),
)
"""Entry of this reader for ``edge-rnn import``."""
