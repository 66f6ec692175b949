"""Trained networks from elsewhere into edge_rnn, and edge_rnn's networks out to other runtimes.

The host's side of edge_rnn. Names are loaded when they are first used; torch, onnx and onnxruntime by the calls that
need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rnn_export.building.builder import Built, build
    from edge_rnn_export.export import to_onnx
    from edge_rnn_export.json_reader import from_json
    from edge_rnn_export.keras_reader import from_keras
    from edge_rnn_export.onnx_reader import from_onnx
    from edge_rnn_export.ort_format import to_ort
    from edge_rnn_export.ort_stream import OrtStream
    from edge_rnn_export.report import Report
    from edge_rnn_export.tflite_reader import from_tflite
    from edge_rnn_export.torch_reader import from_torch
    from edge_rnn_export.verifying import verify

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
    "OrtStream": "ort_stream",
    "Report": "report",
    "build": "building.builder",
    "from_json": "json_reader",
    "from_keras": "keras_reader",
    "from_onnx": "onnx_reader",
    "from_tflite": "tflite_reader",
    "from_torch": "torch_reader",
    "to_onnx": "export",
    "to_ort": "ort_format",
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'edge_rnn_export' has no attribute {name!r}")
    value = getattr(import_module(f"edge_rnn_export.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
