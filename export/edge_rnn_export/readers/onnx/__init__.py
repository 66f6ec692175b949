"""Reader of ONNX graphs: traces them and extracts their layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn_export.readers.registry import AFTER, UPTO, Option, Reader, pairs

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


def _numbers(texts: list[str]) -> dict[str, float]:
    return {name: float(value) for name, value in pairs(texts).items()}


READER = Reader(
    kind="ONNX",
    what="an ONNX graph",
    suffixes=(".onnx",),
    read=_read,
    options=(
        UPTO,
        AFTER,
        Option(
            "given",
            "--given",
            "value of an input that is constant from now on; repeat for others",
            "INPUT=NUMBER",
            _numbers,
            "a name, = and a number",
            repeated=True,
        ),
        Option(
            "states",
            "--state-input",
            "input that is a state, and its new value; repeat for others",
            "INPUT=VALUE",
            pairs,
            "two names around =",
            repeated=True,
        ),
    ),
    check=_check,
    examples=("edge-rnn import exported.onnx -o model.safetensors",),
)
"""Entry of this reader for ``edge-rnn import``."""
