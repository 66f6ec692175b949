"""Other runtimes with weights of 8 bits: what our own int8 is to be compared with."""

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
    """LiteRT by dynamic range, if the folder has the file, and onnxruntime's dynamic quantization of an LSTM.

    Of GRU and RNN onnxruntime's tool leaves everything as it was, so there is no such rival.
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

    logging.getLogger().setLevel(logging.ERROR)  # it advises a pass that does nothing for these graphs
    with TemporaryDirectory() as folder:
        path = f"{folder}/int8.onnx"
        quantize_dynamic(graph, path, weight_type=QuantType.QInt8)
        return onnx.load(path)
