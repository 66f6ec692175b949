"""Shapes of the values inside an ONNX graph, which the file need not tell."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from edge_rnn_export.limits.process import Limits, Worker

__all__ = ["inferred"]

_SECONDS, _MEMORY = 5.0, 2**28
_BYTES_PER_SECOND = 2**24
_MAX_AXES = 8


def inferred(model: ModelProto) -> dict[str, tuple[int | str | None, ...]]:
    """Infer shapes with onnx, in a limited process.

    Raises
    ------
    FileError
        onnx cannot infer them, or takes too long or too much memory for it.
    """
    data = model.SerializeToString()
    limits = Limits(_SECONDS + len(data) / _BYTES_PER_SECOND, _MEMORY + 8 * len(data))
    with Worker("edge_rnn_export.readers.onnx.shapes_job", "onnx: inferring shapes", limits) as worker:
        about, _ = worker.call("infer", {"data": np.frombuffer(data, np.uint8)})
    return {name: tuple(shape) for name, shape in about["shapes"].items() if len(shape) <= _MAX_AXES}
