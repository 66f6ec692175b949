"""Trained networks from elsewhere into edge_rnn, and edge_rnn's networks out to other runtimes.

The host's side of edge_rnn. torch, onnx and onnxruntime are imported by the calls that need them, never here.
"""

from __future__ import annotations

from edge_rnn_export.build import Built, build
from edge_rnn_export.export import to_onnx
from edge_rnn_export.json_reader import from_json
from edge_rnn_export.keras_reader import from_keras
from edge_rnn_export.onnx_reader import from_onnx
from edge_rnn_export.ort_format import to_ort
from edge_rnn_export.ort_stream import OrtStream
from edge_rnn_export.report import Report
from edge_rnn_export.tflite_reader import from_tflite
from edge_rnn_export.torch_reader import from_torch

# Imported here rather than on demand: a module loaded later would take its function's place under the same name.
from edge_rnn_export.verify import verify

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
