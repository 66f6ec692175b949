"""Read files with a PyTorch state_dict, of safetensors and of ``torch.save``, into arrays by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.model_file import MAX_FILE_BYTES
from edge_rnn.storage.numpy_files import RECORDED, read_arrays
from edge_rnn.typing import AnyArray
from edge_rnn_export.limits.process import Limits, Worker
from edge_rnn_export.readers.file_bytes import read_bytes
from edge_rnn_export.readers.torch.archive_members import float32_of

__all__ = ["MAX_NAME", "MAX_PARAMETERS", "Loaded", "as_array", "read_npz", "read_pickle", "read_safetensors"]


_DTYPES = {
    code: np.dtype(name).newbyteorder("<")
    for code, name in {
        "F64": "f8",
        "F32": "f4",
        "F16": "f2",
        "I64": "i8",
        "I32": "i4",
        "I16": "i2",
        "U64": "u8",
        "U32": "u4",
        "U16": "u2",
    }.items()
} | {"I8": np.dtype("i1"), "U8": np.dtype("u1"), "BOOL": np.dtype("?")}

MAX_PARAMETERS = 4096
"""Maximum number of arrays in the state_dict of a file."""

MAX_NAME = 256
"""Maximum length of an array's name."""

SECONDS = 3.0
"""CPU time in s for unpickling a file, more for a large one; ordinary ones take 10 ms."""

_BYTES_PER_SECOND = 2**24
_MEMORY = 2**27


def read_safetensors(path: Path) -> dict[str, AnyArray]:
    """Read arrays by name, in alphabetical order: the format does not keep the order of definition.

    Raises
    ------
    FileError
        The file is damaged, is a model file of edge_rnn, or cannot be read.
    UnsupportedError
        A tensor has a dtype without an equivalent in NumPy.
    """
    from safetensors import SafetensorError, deserialize

    data = read_bytes(path)
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise FileError(f"{path} is not a whole .safetensors file: {error}.") from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if "edge_rnn" in (header.get("__metadata__") or {}):
        raise FileError(f"{path} is an edge_rnn model already; read it with edge_rnn.load.")
    return _named(path, {name: _decode(path, name[:MAX_NAME], tensor) for name, tensor in sorted(tensors)})


def read_npz(path: Path) -> dict[str, AnyArray]:
    """Read the arrays of an ``.npz`` by name.

    Raises
    ------
    FileError
        The file is damaged, holds Python objects or a recording, or cannot be read.
    """
    arrays = read_arrays(path, None)
    if arrays.keys() <= {*RECORDED}:
        raise FileError(f"{path}: is NumPy arrays (.npz), expected a trained network, and holds those of a recording.")
    return _named(path, arrays)


class Loaded(NamedTuple):
    """Contents of a file of ``torch.save`` or of TorchScript."""

    arrays: dict[str, AnyArray]
    """Parameters and buffers by name, in the order of definition."""
    loose: Sequence[str] = ()
    """Names of tensors outside of the state_dict."""
    steps: Sequence[Mapping[str, Any]] | None = None
    """Fields of the :class:`~edge_rnn_export.readers.torch.script_symbols.Step` of a TorchScript's forward."""
    unread: str = ""
    """Reason why its forward could not be followed."""


def read_pickle(path: Path, state: str | None = None) -> Loaded:
    """Read arrays by name from a file of ``torch.save``, or a TorchScript archive with the steps of its forward.

    The file may be a checkpoint or a whole module. Nothing in it is run, and PyTorch is not needed.

    Parameters
    ----------
    path
        The file.
    state
        Dotted name of the state_dict; None if there is one only.

    Raises
    ------
    FileError
        The file is damaged, holds no state_dict, or cannot be read.
    InputError
        It holds several state_dicts, or none of the name.
    UnsupportedError
        A tensor is quantized, sparse, or not of real numbers.
    """
    data = read_bytes(path)
    limits = Limits(SECONDS + len(data) / _BYTES_PER_SECOND, _MEMORY + 8 * len(data))
    with Worker("edge_rnn_export.readers.torch.job", f"{path}: unpickling", limits) as worker:
        about, arrays = worker.call("load", {"data": np.frombuffer(data, np.uint8)}, path=str(path), state=state)
    found = _named(path, {name: arrays[str(place)] for place, name in enumerate(about["names"])})
    return Loaded(found, about["loose"], about.get("steps"), about.get("unread", ""))


def as_array(owner: str, value: Any) -> AnyArray:
    """Convert a PyTorch tensor or anything array-like to a NumPy array.

    Parameters
    ----------
    owner
        Name of the value, for messages.
    value
        Tensor or array-like. Numbers in lists become float64, integers included.

    Raises
    ------
    UnsupportedError
        The tensor is quantized, sparse or without values, or lists have unequal lengths.
    """
    try:
        if hasattr(value, "detach"):
            tensor = value.detach().cpu()
            if tensor.numel() * 4 > MAX_FILE_BYTES:  # a small file can claim it with an expanded tensor
                raise OverflowError(f"{tensor.numel()} values, expected {MAX_FILE_BYTES // 4} at most")
            # NumPy has no bfloat16 and no 8-bit floats; float32 holds their values exactly.
            narrow = tensor.is_floating_point() and tensor.element_size() < 4
            return np.asarray(tensor.float() if narrow else tensor)
        return np.asarray(value, dtype=np.float64) if isinstance(value, list | tuple) else np.asarray(value)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise UnsupportedError(f"{owner} is not an array of numbers: {str(error).splitlines()[0]}.") from None


def _named(path: Path, arrays: dict[str, AnyArray]) -> dict[str, AnyArray]:
    """Return the arrays, after checking the number and length of their names."""
    longest = max(map(len, arrays), default=0)
    if len(arrays) > MAX_PARAMETERS or longest > MAX_NAME:
        raise FileError(
            f"{path} holds {len(arrays)} arrays with names of up to {longest} letters, expected {MAX_PARAMETERS} of "
            f"{MAX_NAME} at most."
        )
    return arrays


def _decode(path: Path, name: str, tensor: Mapping[str, Any]) -> AnyArray:
    dtype, shape, data = tensor["dtype"], tensor["shape"], tensor["data"]
    if dtype == "BF16":
        return float32_of(np.frombuffer(data, "<u2")).reshape(shape)
    if dtype not in _DTYPES:
        raise UnsupportedError(f"{path}: {name} got dtype {dtype}, expected floating point: F64, F32, F16 or BF16.")
    return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)
