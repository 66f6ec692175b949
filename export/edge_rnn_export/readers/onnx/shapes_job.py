"""Job for :mod:`edge_rnn_export.limits.process`: infer the shapes of the values of an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_rnn.errors import FileError
from edge_rnn_export.limits.worker import Answer, Call

__all__ = ["CALLS", "prepare"]


def prepare() -> None:
    """Import the library."""
    import onnx.shape_inference  # noqa: F401


def _infer(_: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Return the ``shapes`` of values by name: lengths, names or None."""
    import onnx

    try:
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(arrays["data"].tobytes()), data_prop=True)
    except Exception as error:  # exceptions of protobuf and of onnx's own C++ code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileError(f"onnx cannot infer the shapes of the graph: {reason[:300]}") from None
    return {"shapes": dict(_shapes(model.graph))}, {}


def _shapes(graph: Any) -> Iterator[tuple[str, list[int | str | None]]]:
    for value in graph.value_info:
        if value.type.tensor_type.HasField("shape"):
            axes = value.type.tensor_type.shape.dim
            yield (
                value.name,
                [axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None for axis in axes],
            )
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _shapes(attribute.g)


CALLS: dict[str, Call] = {"infer": _infer}
