"""Other runtimes with 8-bit weights, for comparison with the int8 format of edge_rnn."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from os import PathLike
from typing import Any

from edge_rnn.model import Model
from edge_rnn_export.rivals.litert import litert_rivals
from edge_rnn_export.rivals.onnx_runtime import onnxruntime_rivals
from edge_rnn_export.rivals.rival import Rival

__all__ = ["int8_rivals"]


def int8_rivals(model: Model, litert: str | PathLike[str] | None) -> Iterator[Rival]:
    """LiteRT with dynamic-range quantization if the folder has the file, and onnxruntime's for LSTMs.

    onnxruntime's tool leaves GRU and RNN unchanged, so they have no such rival.
    """
    kinds = {layer.kind for layer in model.layers}
    if litert is not None and kinds & {"GRU", "LSTM"}:
        yield from litert_rivals(model, litert, "int8")
    if "LSTM" in kinds:
        yield from onnxruntime_rivals(model, _quantized, "int8")


def _quantized(graph: Any) -> Any:
    from tempfile import TemporaryDirectory

    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it recommends preprocessing that has no effect on these graphs
    with TemporaryDirectory() as folder:
        path = f"{folder}/int8.onnx"
        quantize_dynamic(graph, path, weight_type=QuantType.QInt8)
        return onnx.load(path)
