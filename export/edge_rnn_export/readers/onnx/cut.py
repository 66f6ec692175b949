"""Extract the part of an ONNX graph that computes some values, as a self-contained file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from edge_rnn.errors import FileError
from edge_rnn_export.readers.file_bytes import read_bytes
from edge_rnn_export.readers.onnx.file import embed, file_budget, open_model

__all__ = ["cut_out", "whole_file"]


def cut_out(source: str | PathLike[str] | bytes | ModelProto, outputs: Sequence[str]) -> bytes:
    """Serialize only the nodes that outputs depend on, with the inputs and initializers that they read.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or the initializers exceed the size limit of a file.
    """
    model, folder = open_model(source)
    wanted, nodes = set(outputs), []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(_read_by(node))
            nodes.append(node)
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    graph = GraphProto(
        name="part",
        node=nodes[::-1],
        input=[value for value in model.graph.input if value.name in wanted],
        output=[known.get(name, ValueInfoProto(name=name)) for name in outputs],
        initializer=[tensor for tensor in model.graph.initializer if tensor.name in wanted],
    )
    part = ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        metadata_props=model.metadata_props,
        graph=graph,
    )
    return _serialized(part, folder)


def _read_by(node: NodeProto) -> Iterator[str]:
    """Names of the values that a node reads, itself or in its subgraphs."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            yield from (output.name for output in body.output if output.name)
            for inner in body.node:
                yield from _read_by(inner)


def whole_file(path: str | PathLike[str]) -> bytes:
    """Return an ``.onnx`` file with its external data embedded, or an ``.ort`` file unchanged.

    Raises
    ------
    FileError
        The file or its external data cannot be read, or are damaged.
    """
    data = read_bytes(Path(path))
    if data[4:8] == b"ORTM":
        return data
    model, folder = open_model(path)
    if not any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        return data
    return _serialized(model, folder)


def _serialized(model: ModelProto, folder: Path | None) -> bytes:
    budget = file_budget(model, folder)
    for tensor in model.graph.initializer:
        embed(tensor, folder, budget)
    try:
        return bytes(model.SerializeToString())
    except (ValueError, EncodeError):  # protobuf's own limit
        raise FileError("the graph and its initializers take more than 2 GiB.") from None
