"""Trained networks from elsewhere into edge_rnn, and edge_rnn's networks out to other runtimes.

The host's side of edge_rnn. Names are loaded when they are first used; torch, onnx and onnxruntime by the calls that
need them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn_export.building.builder import Built, build
    from edge_rnn_export.exporting.onnx_file import to_onnx
    from edge_rnn_export.exporting.ort_file import to_ort
    from edge_rnn_export.readers.json.reader import from_json
    from edge_rnn_export.readers.keras.reader import from_keras
    from edge_rnn_export.readers.onnx.reader import from_onnx
    from edge_rnn_export.readers.rnnoise.reader import from_rnnoise
    from edge_rnn_export.readers.tflite.reader import from_tflite
    from edge_rnn_export.readers.torch.reader import from_torch
    from edge_rnn_export.runtime.ort_stream import OrtStream
    from edge_rnn_export.training.torch_module import to_torch
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
    "from_rnnoise",
    "from_tflite",
    "from_torch",
    "to_onnx",
    "to_ort",
    "to_torch",
    "verify",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "building.builder": ("Built", "build"),
            "exporting.onnx_file": ("to_onnx",),
            "exporting.ort_file": ("to_ort",),
            "readers.json.reader": ("from_json",),
            "readers.keras.reader": ("from_keras",),
            "readers.onnx.reader": ("from_onnx",),
            "readers.rnnoise.reader": ("from_rnnoise",),
            "readers.tflite.reader": ("from_tflite",),
            "readers.torch.reader": ("from_torch",),
            "runtime.ort_stream": ("OrtStream",),
            "training.torch_module": ("to_torch",),
            "verification.check": ("verify",),
            "verification.report": ("Report",),
        },
    )
