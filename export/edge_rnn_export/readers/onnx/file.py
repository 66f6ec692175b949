"""Read ONNX files into a graph and arrays, without allocating more than the file's length justifies."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from edge_rnn.errors import FileError, InputTypeError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.storage.model_file import MAX_FILE_BYTES
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.file_bytes import read_bytes, size_of

__all__ = ["array_of", "embed", "external_bytes", "file_budget", "open_model"]


# Element types, NumPy's dtype of an element in raw_data, and the alternative field.
_TYPES: dict[int, tuple[str, str, str]] = {
    TensorProto.FLOAT: ("float32", "<f4", "float_data"),
    TensorProto.DOUBLE: ("float64", "<f8", "double_data"),
    TensorProto.FLOAT16: ("float16", "<f2", "int32_data"),
    TensorProto.BFLOAT16: ("bfloat16", "<u2", "int32_data"),
    TensorProto.INT64: ("int64", "<i8", "int64_data"),
    TensorProto.INT32: ("int32", "<i4", "int32_data"),
    TensorProto.BOOL: ("bool", "?", "int32_data"),
    TensorProto.INT8: ("int8", "i1", "int32_data"),
    TensorProto.UINT8: ("uint8", "u1", "int32_data"),
}

_MAX_AXES = 8


_PROPORTION = "expected a graph in proportion to its file, and sequences of a few thousand steps or of open length"


def file_budget(model: ModelProto, folder: Path | None) -> Budget:
    """Memory budget for a graph's constants, each copied a few times, though never all at once."""
    stored = model.ByteSize() + external_bytes(model, folder)
    return Budget.of_file(stored, remedy=_PROPORTION, error=UnsupportedError)


def open_model(source: Any) -> tuple[ModelProto, Path | None]:
    """Return the graph and the folder of its external data.

    Parameters
    ----------
    source
        Path, or a file's bytes or a ModelProto, which have no folder.

    Raises
    ------
    FileError
        The file cannot be read, is too long, or is not ONNX.
    InputError
        ``source`` is of another type.
    """
    folder: Path | None = None
    if isinstance(source, ModelProto):
        model, title = source, "from_onnx got a ModelProto that"
    elif isinstance(source, str | PathLike):
        path = Path(source)
        model, title, folder = _parsed(read_bytes(path), str(path)), str(path), path.parent
    elif isinstance(source, bytes | bytearray | memoryview):
        model, title = _parsed(bytes(source), "from_onnx got bytes that"), "from_onnx got bytes that"
    else:
        raise InputTypeError(f"from_onnx got {type(source).__name__}, expected a path, a file's bytes or a ModelProto.")
    if not model.HasField("graph") or not model.opset_import or not model.graph.output:
        raise FileError(f"{title} is not a whole ONNX file: it has no graph, no outputs or no operator set.")
    return model, folder


def _parsed(data: bytes, title: str) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else "it cannot be parsed"
        raise FileError(f"{title} is not a whole ONNX file: {reason}.") from None
    return model


def array_of(tensor: TensorProto, folder: Path | None, budget: Budget) -> AnyArray:
    """Return the values of a tensor as an array.

    Parameters
    ----------
    folder
        Folder of external data, or None if there is none.
    budget
        Memory budget for copies.

    Raises
    ------
    FileError
        The tensor's shape and the length of its data disagree, or its external data are not next to the model.
    UnsupportedError
        Its element type is none of floating point, int32, int64 and bool.
    """
    title = f"tensor {tensor.name[:80]!r}"
    if tensor.data_type not in _TYPES:
        got = TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in TensorProto.DataType.values() else "?"
        raise UnsupportedError(f"from_onnx: {title} got elements of type {got}, expected floating point or integers.")
    kind, raw, field = _TYPES[tensor.data_type]
    shape = tuple(tensor.dims)
    count = 1
    for length in shape:
        count *= length
    item = np.dtype(raw).itemsize
    if any(length < 0 for length in shape) or len(shape) > _MAX_AXES or tensor.HasField("segment"):
        raise FileError(f"from_onnx: {title} got shape {shape[:9]} or segments, expected a whole tensor.")
    if tensor.data_location == TensorProto.EXTERNAL:
        data = _external(tensor, folder, count * item, budget)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        numbers = getattr(tensor, field)
        if len(numbers) != count:
            raise FileError(f"from_onnx: {title} holds {len(numbers)} numbers, expected {count} for shape {shape}.")
        budget.take(title, count * 8)
        found = np.array(numbers, dtype=np.int64 if field.startswith("int") else np.dtype(raw))
        return _typed(found.astype(raw.replace("f2", "u2")) if kind == "float16" else found, kind).reshape(shape)
    if len(data) != count * item:
        raise FileError(f"from_onnx: {title} holds {len(data)} bytes, expected {count * item} for shape {shape}.")
    return _typed(np.frombuffer(data, raw), kind).reshape(shape)


def _typed(found: AnyArray, kind: str) -> AnyArray:
    if kind == "bfloat16":  # the upper half of a float32
        return (found.astype(np.uint32) << 16).view(np.float32)
    if kind == "float16" and found.dtype.kind == "u":
        return found.view(np.float16)
    return found.astype(kind, copy=False)


def _external(tensor: TensorProto, folder: Path | None, count: int, budget: Budget) -> bytes:
    """Bytes of a tensor from a file next to the model; a file elsewhere is not opened."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise UnsupportedError(
            f"from_onnx: tensor {tensor.name!r} is in the file {location!r}, and a ModelProto does not hold its "
            f"folder; pass the model's path, or onnx.load_external_data_for_model first."
        )
    place = folder / location
    if not location or "\0" in location or location in (".", "..") or place.name != location or "\\" in location:
        raise FileError(
            f"from_onnx: tensor {tensor.name!r} is in {location!r}, expected the name of a file next to the model."
        )
    try:
        outside = place.resolve().parent != folder.resolve()
    except (OSError, RuntimeError):
        outside = True
    if outside:
        raise FileError(f"from_onnx: tensor {tensor.name!r} is in {location!r}, a link to another folder.")
    numbers = {key: entries.get(key, "") for key in ("offset", "length")}
    if any(value and not (value.isascii() and value.isdecimal() and len(value) < 16) for value in numbers.values()):
        raise FileError(f"from_onnx: tensor {tensor.name!r} has the external data {entries}, expected integers.")
    length = int(numbers["length"] or count)
    if length != count:
        raise FileError(f"from_onnx: tensor {tensor.name!r} has {length} bytes in {location!r}, expected {count}.")
    # Only the part read is charged: several tensors may refer to the same bytes.
    size = size_of(place)
    if int(numbers["offset"] or 0) + count > size:
        raise FileError(f"from_onnx: {location} has {size} bytes, too few for tensor {tensor.name!r}.")
    budget.take(f"tensor {tensor.name!r}", count)
    return read_bytes(place, offset=int(numbers["offset"] or 0), count=count)


def external_bytes(model: ModelProto, folder: Path | None) -> int:
    """Total length in bytes of the external data files next to the model; 1 GiB at most."""
    if folder is None:
        return 0
    names = set()
    for tensor in model.graph.initializer:
        names |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    beside = [folder / name for name in names if name and "\0" not in name and Path(name).name == name]
    return min(sum(size_of(path) for path in beside if path.is_file()), MAX_FILE_BYTES)


def embed(tensor: TensorProto, folder: Path | None, budget: Budget) -> None:
    """Embed a tensor's external data.

    Raises
    ------
    FileError, UnsupportedError
        See :func:`array_of`.
    """
    if tensor.data_location != TensorProto.EXTERNAL or tensor.data_type not in _TYPES:
        return
    count = np.dtype(_TYPES[tensor.data_type][1]).itemsize
    for length in tensor.dims:
        count *= length
    tensor.raw_data = _external(tensor, folder, count, budget)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
