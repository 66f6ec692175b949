"""Trained networks from elsewhere into edge_rnn, and edge_rnn's networks out to other runtimes.

The host's side of edge_rnn. Names are loaded when they are first used; torch, onnx and onnxruntime by the calls that
need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rnn_export.building.builder import Built, build
    from edge_rnn_export.exporting.onnx_file import to_onnx
    from edge_rnn_export.exporting.ort_file import to_ort
    from edge_rnn_export.readers.json.reader import from_json
    from edge_rnn_export.readers.keras.reader import from_keras
    from edge_rnn_export.readers.onnx.reader import from_onnx
    from edge_rnn_export.readers.tflite.reader import from_tflite
    from edge_rnn_export.readers.torch.reader import from_torch
    from edge_rnn_export.runtime.ort_stream import OrtStream
    from edge_rnn_export.verification.check import verify
    from edge_rnn_export.verification.report import Report

__all__ = [
    "Built",
    "OrtStream",
    "Report",
    "build",
    "from_json",
    "from_keras",
    "from_onnx",
    "from_tflite",
    "from_torch",
    "to_onnx",
    "to_ort",
    "verify",
]

# A module with the name of a function would take its place as soon as it is loaded.
_MODULE_OF = {
    "Built": "building.builder",
    "OrtStream": "runtime.ort_stream",
    "Report": "verification.report",
    "build": "building.builder",
    "from_json": "readers.json.reader",
    "from_keras": "readers.keras.reader",
    "from_onnx": "readers.onnx.reader",
    "from_tflite": "readers.tflite.reader",
    "from_torch": "readers.torch.reader",
    "to_onnx": "exporting.onnx_file",
    "to_ort": "exporting.ort_file",
    "verify": "verification.check",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'edge_rnn_export' has no attribute {name!r}")
    value = getattr(import_module(f"edge_rnn_export.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
