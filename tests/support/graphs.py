"""ONNX graphs of models, by the options of an export."""

from __future__ import annotations

from typing import Any

from onnx import ModelProto

from edge_rnn.model import Model
from edge_rnn_export.writers.onnx.graph import build_graph
from edge_rnn_export.writers.onnx.spec import ExportSpec

__all__ = ["graph_of"]


def graph_of(model: Model, *options: Any, **named: Any) -> ModelProto:
    """Build the graph of a model; options as of :class:`~edge_rnn_export.writers.onnx.spec.ExportSpec`."""
    return build_graph(ExportSpec(*options, **named).resolve(model))
