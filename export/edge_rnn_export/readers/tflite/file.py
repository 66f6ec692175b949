"""Parse ``.tflite`` files into plain tensors and operators, checking every offset and length against the file.

The schema [1]_ is read by the package ``tflite``, which does not validate; this is the only place that calls it.

References
----------
.. [1] https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn_export.readers.file_bytes import read_bytes
from edge_rnn_export.readers.tflite.contents import Contents, Subgraph, Tensor, TfliteOperator, shape_text
from edge_rnn_export.readers.tflite.options import OPTIONS, TEXTS, VECTORS

__all__ = ["open_contents"]

_MAX_SUBGRAPHS = 2**7
_MAX_TENSORS = 2**14  # of all subgraphs together
_MAX_OPERATORS = 2**13
_MAX_PLACES = 2**10  # inputs of an operator, outputs of an operator
_MAX_AXES = 64
_MAX_TEXT = 1024
_NAME_SLOT = 10  # of a tensor's name, in the schema's table
_CUSTOM_SLOT = 6  # of a custom operator's name


def open_contents(path: Path) -> Contents:
    """Read a file.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, longer than 1 GiB, or not a ``.tflite`` file.
    UnsupportedError
        The package ``tflite`` is not installed.
    """
    data = read_bytes(path, expected="a .tflite file")
    if data[4:8] != b"TFL3":
        raise FileError(f"{path} is not a .tflite file: bytes 4 to 8 are {data[4:8]!r}, expected b'TFL3'.")
    try:
        schema = importlib.import_module("tflite")
    except ImportError:
        raise UnsupportedError("from_tflite needs the package tflite: pip install tflite.") from None
    try:
        return _contents(schema, data)
    except EdgeRnnError as error:
        raise type(error)(f"{path} {error}") from None
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, AssertionError):
        raise FileError(f"{path} is not a whole .tflite file: an offset or a length in it points outside.") from None


def _contents(schema: Any, data: bytes) -> Contents:
    model = schema.Model.GetRootAs(data, 0)
    if model.Version() != 3:
        raise FileError(f"is of version {model.Version()} of the schema, expected 3.")
    if model.SubgraphsLength() < 1:
        raise FileError("holds no graph.")
    graphs = [model.Subgraphs(place) for place in range(_bounded("graphs", model.SubgraphsLength(), _MAX_SUBGRAPHS))]
    _bounded("tensors", sum(graph.TensorsLength() for graph in graphs), _MAX_TENSORS)
    _bounded("operators", sum(graph.OperatorsLength() for graph in graphs), _MAX_OPERATORS)
    codes = _Codes(schema, model, _names(schema.TensorType), _names(schema.BuiltinOperator))
    return Contents(tuple(_subgraph(codes, graph, place) for place, graph in enumerate(graphs)), len(data))


class _Codes(NamedTuple):
    """The schema, the file, and the names of types and of kinds of operators by number."""

    schema: Any
    model: Any
    types: Mapping[int, str]
    kinds: Mapping[int, str]


def _subgraph(codes: _Codes, graph: Any, index: int) -> Subgraph:
    count = graph.TensorsLength()
    tensors = tuple(_tensor(codes.model, codes.types, graph.Tensors(place), place) for place in range(count))
    operators = tuple(
        _operator(codes, graph.Operators(place), place, index, count) for place in range(graph.OperatorsLength())
    )
    producers: dict[int, TfliteOperator] = {}
    for operator in operators:
        for place in (place for place in operator.outputs if place >= 0):
            if place in producers:
                first = producers[place]
                raise FileError(f"has operators {first.label} and {operator.label} that both produce tensor {place}.")
            producers[place] = operator
    inputs = _places("inputs of the graph", graph.InputsAsNumpy(), count)
    outputs = _places("outputs of the graph", graph.OutputsAsNumpy(), count)
    return Subgraph(tensors, operators, inputs, outputs, producers)


def _tensor(model: Any, types: Mapping[int, str], tensor: Any, place: int) -> Tensor:
    lengths = _integers(f"axes of tensor {place}", tensor.ShapeAsNumpy(), _MAX_AXES)
    if any(length < 0 for length in lengths):
        raise FileError(f"has tensor {place} of shape {shape_text(lengths)}, expected no negative length.")
    signature = _integers(f"axes of tensor {place}", tensor.ShapeSignatureAsNumpy(), _MAX_AXES) or lengths
    quantization = tensor.Quantization()
    scale, zero_point, axis, refusal = np.empty(0, np.float32), np.empty(0, np.int64), 0, ""
    if quantization is not None:
        scale = np.atleast_1d(quantization.ScaleAsNumpy()) if quantization.ScaleLength() else scale
        zero_point = np.atleast_1d(quantization.ZeroPointAsNumpy()) if quantization.ZeroPointLength() else zero_point
        axis = quantization.QuantizedDimension()
        if quantization.DetailsType():
            refusal = "its quantization is of a custom kind"
    if not 0 <= tensor.Buffer() < model.BuffersLength():
        raise FileError(f"has tensor {place} with buffer {tensor.Buffer()} of {model.BuffersLength()}.")
    buffer = model.Buffers(tensor.Buffer())
    if tensor.Sparsity() is not None:
        refusal = "its data are stored as a sparse matrix"
    if any(getattr(buffer, field, int)() > 1 for field in ("Offset", "Size")):
        refusal = "its data are stored after the flatbuffer"
    return Tensor(
        place=place,
        name=_text(tensor, _NAME_SLOT),
        shape=lengths,
        signature=signature if len(signature) == len(lengths) else lengths,
        type=types.get(tensor.Type(), f"number {tensor.Type()}"),
        data=buffer.DataAsNumpy() if buffer.DataLength() else None,
        variable=bool(tensor.IsVariable()),
        scale=scale,
        zero_point=zero_point,
        axis=int(axis),
        refusal=refusal,
    )


def _operator(codes: _Codes, operator: Any, place: int, graph: int, tensors: int) -> TfliteOperator:
    schema, model, index = codes.schema, codes.model, operator.OpcodeIndex()
    if not 0 <= index < model.OperatorCodesLength():
        raise FileError(f"has operator {place} of kind {index}, expected less than {model.OperatorCodesLength()}.")
    code = model.OperatorCodes(index)
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # the second dates from when it had eight bits
    kind = codes.kinds.get(number, f"kind {number}")
    label = f"{kind} (operator {place}{f' of graph {graph}' if graph else ''})"
    options: dict[str, Any] = {}
    if kind in OPTIONS:
        title, names = OPTIONS[kind]
        options = {name: () if name in VECTORS else "" if name in TEXTS else 0 for name in names}
        table = operator.BuiltinOptions()
        if table is not None:
            if operator.BuiltinOptionsType() != getattr(schema.BuiltinOptions, title):
                raise FileError(f"has the {label} with options of another, expected {title}.")
            found = getattr(schema, title)()
            found.Init(table.Bytes, table.Pos)
            options = {name: _option(found, name) for name in names}
    inputs = _places(f"inputs of the {label}", operator.InputsAsNumpy(), tensors)
    outputs = _places(f"outputs of the {label}", operator.OutputsAsNumpy(), tensors)
    custom = _text(code, _CUSTOM_SLOT) if kind == "CUSTOM" else ""
    return TfliteOperator(kind, inputs, outputs, options, custom, label)


def _option(table: Any, name: str) -> Any:
    if name in TEXTS:
        return _text(table, TEXTS[name])
    if name in VECTORS:
        return _integers(f"the option {name}", getattr(table, f"{name}AsNumpy")(), _MAX_AXES)
    return getattr(table, name, int)()  # 0 for one that the package does not know yet


def _names(enumeration: Any) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


def _bounded(what: str, count: int, most: int) -> int:
    if count > most:
        raise FileError(f"has {count} {what}, expected {most} at most.")
    return count


def _integers(what: str, found: Any, most: int) -> tuple[int, ...]:
    """Vector of integers; the package returns 0 for a missing one."""
    if not isinstance(found, np.ndarray):
        return ()
    _bounded(what, len(found), most)
    return tuple(int(number) for number in found)


def _places(what: str, found: Any, tensors: int) -> tuple[int, ...]:
    numbers = _integers(what, found, _MAX_PLACES)
    if any(not -1 <= number < tensors for number in numbers):
        raise FileError(f"has {what} {shape_text(numbers)}, expected numbers of the {tensors} tensors.")
    return numbers


def _text(table: Any, slot: int) -> str:
    """String of a table; a long one is truncated before it is copied."""
    offset = table._tab.Offset(slot)
    if not offset:
        return ""
    length, start = table._tab.VectorLen(offset), table._tab.Vector(offset)
    return bytes(table._tab.Bytes[start : start + min(length, _MAX_TEXT)]).decode(errors="replace")
