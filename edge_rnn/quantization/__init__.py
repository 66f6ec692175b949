"""Quantization: calibration, rounding, and the search for the cheapest format of each matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn.quantization.apply import dequantize, quantize
    from edge_rnn.quantization.calibration import Calibration, calibrate
    from edge_rnn.quantization.search import shrink
    from edge_rnn.quantization.trials import Shrunk, Trial

__all__ = ["Calibration", "Shrunk", "Trial", "calibrate", "dequantize", "quantize", "shrink"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "apply": ("dequantize", "quantize"),
            "calibration": ("Calibration", "calibrate"),
            "search": ("shrink",),
            "trials": ("Shrunk", "Trial"),
        },
    )
