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
from typing import Any

import numpy as np

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn_export.readers.file_bytes import read_bytes
from edge_rnn_export.readers.tflite.graph import Graph, Operator, Tensor

__all__ = ["open_graph"]

_MAX_TENSORS = 2**14
_MAX_OPERATORS = 2**12
_MAX_PLACES = 64  # inputs of an operator, outputs of an operator, axes of a tensor
_MAX_TEXT = 1024
_NAME_SLOT = 10  # of a tensor's name, in the schema's table

# Options of the supported operators, by the schema's names.
_OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        "UnidirectionalSequenceLSTMOptions",
        ("FusedActivationFunction", "CellClip", "ProjClip", "TimeMajor", "DiagonalRecurrentTensors"),
    ),
    "LSTM": ("LSTMOptions", ("FusedActivationFunction", "CellClip", "ProjClip", "KernelType")),
    "UNIDIRECTIONAL_SEQUENCE_RNN": ("SequenceRNNOptions", ("FusedActivationFunction", "TimeMajor")),
    "RNN": ("RNNOptions", ("FusedActivationFunction",)),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "STRIDED_SLICE": ("StridedSliceOptions", ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")),
}


def open_graph(path: Path) -> Graph:
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
        return _graph(schema, data)
    except EdgeRnnError as error:
        raise type(error)(f"{path} {error}") from None
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, AssertionError):
        raise FileError(f"{path} is not a whole .tflite file: an offset or a length in it points outside.") from None


def _graph(schema: Any, data: bytes) -> Graph:
    model = schema.Model.GetRootAs(data, 0)
    if model.Version() != 3:
        raise FileError(f"is of version {model.Version()} of the schema, expected 3.")
    if model.SubgraphsLength() < 1:
        raise FileError("holds no graph.")
    graph = model.Subgraphs(0)
    count = _bounded("tensors", graph.TensorsLength(), _MAX_TENSORS)
    types, kinds = _names(schema.TensorType), _names(schema.BuiltinOperator)
    tensors = tuple(_tensor(model, types, graph.Tensors(place), place) for place in range(count))
    operators = tuple(
        _operator(schema, model, kinds, graph.Operators(place), place, count)
        for place in range(_bounded("operators", graph.OperatorsLength(), _MAX_OPERATORS))
    )
    producers: dict[int, Operator] = {}
    for operator in operators:
        for place in (place for place in operator.outputs if place >= 0):
            if place in producers:
                first = producers[place]
                raise FileError(f"has operators {first.place} and {operator.place} that both produce tensor {place}.")
            producers[place] = operator
    inputs = _places("inputs of the graph", graph.InputsAsNumpy(), count)
    outputs = _places("outputs of the graph", graph.OutputsAsNumpy(), count)
    return Graph(tensors, operators, inputs, outputs, producers, len(data))


def _tensor(model: Any, types: Mapping[int, str], tensor: Any, place: int) -> Tensor:
    lengths = _integers(f"axes of tensor {place}", tensor.ShapeAsNumpy())
    if any(length < 0 for length in lengths):
        raise FileError(f"has tensor {place} of shape {lengths}, expected no negative length.")
    signature = _integers(f"axes of tensor {place}", tensor.ShapeSignatureAsNumpy()) or lengths
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


def _operator(schema: Any, model: Any, kinds: Mapping[int, str], operator: Any, place: int, tensors: int) -> Operator:
    index = operator.OpcodeIndex()
    if not 0 <= index < model.OperatorCodesLength():
        raise FileError(f"has operator {place} of kind {index}, expected less than {model.OperatorCodesLength()}.")
    code = model.OperatorCodes(index)
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # the second dates from when it had eight bits
    kind = kinds.get(number, f"kind {number}")
    options: dict[str, Any] = {}
    if kind in _OPTIONS:
        title, names = _OPTIONS[kind]
        options = dict.fromkeys(names, 0)
        table = operator.BuiltinOptions()
        if table is not None:
            if operator.BuiltinOptionsType() != getattr(schema.BuiltinOptions, title):
                raise FileError(f"has operator {place}, {kind}, with options of another, expected {title}.")
            found = getattr(schema, title)()
            found.Init(table.Bytes, table.Pos)
            options = {name: getattr(found, name, int)() for name in names}
    what = f"of operator {place}, {kind}"
    inputs = _places(f"inputs {what}", operator.InputsAsNumpy(), tensors)
    return Operator(place, kind, inputs, _places(f"outputs {what}", operator.OutputsAsNumpy(), tensors), options)


def _names(enumeration: Any) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


def _bounded(what: str, count: int, most: int) -> int:
    if count > most:
        raise FileError(f"has {count} {what}, expected {most} at most.")
    return count


def _integers(what: str, found: Any) -> tuple[int, ...]:
    """Vector of integers; the package returns 0 for a missing one."""
    if not isinstance(found, np.ndarray):
        return ()
    _bounded(what, len(found), _MAX_PLACES)
    return tuple(int(number) for number in found)


def _places(what: str, found: Any, tensors: int) -> tuple[int, ...]:
    numbers = _integers(what, found)
    if any(not -1 <= number < tensors for number in numbers):
        raise FileError(f"has {what} {numbers}, expected numbers of the {tensors} tensors.")
    return numbers


def _text(table: Any, slot: int) -> str:
    """String of a table; a long one is truncated before it is copied."""
    offset = table._tab.Offset(slot)
    if not offset:
        return ""
    length, start = table._tab.VectorLen(offset), table._tab.Vector(offset)
    return bytes(table._tab.Bytes[start : start + min(length, _MAX_TEXT)]).decode(errors="replace")
