"""Helpers of verification tests."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edge_rnn.model import Model
from edge_rnn_export.writers.onnx.metadata import metadata
from graphs import graph_of

CELLS = ["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"]


def tampered(model: Model, path: Path, tensor: str, by: float) -> Path:
    """Graph of a model with one value of one weight changed."""
    proto = graph_of(model)
    for stored in proto.graph.initializer:
        if stored.name == tensor:
            array = onnx.numpy_helper.to_array(stored).copy()
            array.flat[0] += by
            stored.CopyFrom(onnx.numpy_helper.from_array(array, tensor))
            break
    else:
        pytest.fail(f"the graph has no {tensor}")
    path.write_bytes(proto.SerializeToString())
    return path


def graph_file(model: Model, path: Path, stated: Model | None = None) -> Path:
    """Graph of a model with the metadata of another model."""
    proto = graph_of(model)
    onnx.helper.set_model_props(proto, metadata(stated or model))
    path.write_bytes(proto.SerializeToString())
    return path
