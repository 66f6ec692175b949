"""Files that hold a PyTorch state_dict: ``.safetensors``, ``.pt`` and ``.pth`` into arrays by name."""

from __future__ import annotations

import importlib
import json
import pickle
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.files import MAX_FILE_BYTES

__all__ = ["as_array", "read_pickle", "read_safetensors"]

Array = NDArray[Any]

_DTYPES = {
    code: np.dtype(name).newbyteorder("<")
    for code, name in {"F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2"}.items()
} | {"I8": np.dtype("i1"), "U8": np.dtype("u1"), "BOOL": np.dtype("?")}
_NESTED = ("state_dict", "model_state_dict", "model")


def read_safetensors(path: Path) -> dict[str, Array]:
    """Arrays by name, in the alphabet's order: the format does not keep the order of definition.

    Raises
    ------
    FileError
        The file is damaged, is one of edge_rnn's own, or cannot be read.
    UnsupportedError
        A tensor has a type that NumPy does not have.
    """
    from safetensors import SafetensorError, deserialize

    data = _read(path)
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise FileError(f"{path} is not a whole .safetensors file: {error}.") from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if "edge_rnn" in (header.get("__metadata__") or {}):
        raise FileError(f"{path} is an edge_rnn model already; read it with edge_rnn.load.")
    return {name: _decode(path, name, tensor) for name, tensor in sorted(tensors)}


def read_pickle(path: Path) -> dict[str, Array]:
    """Arrays by name, in the order of definition, of a file that ``torch.save(module.state_dict(), path)`` wrote.

    A training checkpoint is taken too, if its state_dict stands under ``state_dict``, ``model_state_dict`` or
    ``model``. Nothing in the file is run: torch loads it with ``weights_only=True``.

    Raises
    ------
    FileError
        The file is damaged, holds a pickled module or no state_dict, or cannot be read.
    UnsupportedError
        torch is not installed, or a tensor is quantized or sparse.
    """
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise UnsupportedError(
            f"{path} can only be read by PyTorch, which is not installed: pip install torch, or save the state_dict "
            f"where PyTorch is with safetensors.torch.save_file and read that file."
        ) from None
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about what becomes an error below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise FileError(
            f"{path} holds more than tensors (a whole module, TorchScript) or is damaged. Where the module is at "
            f"hand, torch.save(module.state_dict(), path) and read that file."
        ) from None
    except Exception as error:  # torch raises whatever its zip and pickle readers come upon
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0].rstrip(".")[:200]
        raise FileError(f"{path} is not a file of torch.save, or is damaged: torch.load says {reason!r}.") from None
    state = _state_dict(torch, loaded)
    if state is None:
        holds = f"a dict with {', '.join(map(repr, loaded))}" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise FileError(f"{path} holds {holds}; expected a state_dict, tensors by name.")
    return {name: as_array(f"{path}: {name}", value) for name, value in state.items()}


def as_array(owner: str, value: Any) -> Array:
    """A PyTorch tensor, or whatever NumPy takes for an array, as a NumPy array.

    Parameters
    ----------
    owner
        What the value is called, for messages.
    value
        Numbers in lists are float64, whether they are written with a point or not.

    Raises
    ------
    UnsupportedError
        The tensor is quantized, sparse or without values, or the lists are not of equal length.
    """
    try:
        if hasattr(value, "detach"):
            tensor = value.detach().cpu()
            if tensor.numel() * 4 > MAX_FILE_BYTES:  # a small file can claim it, by repeating one number
                raise OverflowError(f"{tensor.numel()} values, of which {MAX_FILE_BYTES // 4} at most are taken")
            # NumPy has no bfloat16 and no 8-bit floats; their values all fit float32.
            narrow = tensor.is_floating_point() and tensor.element_size() < 4
            return np.asarray(tensor.float() if narrow else tensor)
        return np.asarray(value, dtype=np.float64) if isinstance(value, list | tuple) else np.asarray(value)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise UnsupportedError(f"{owner} is not an array of numbers: {str(error).splitlines()[0]}.") from None


def _check_archive(path: Path) -> None:
    """Refuse what is no file, is too long, or would become so when it is unpacked."""
    _read(path, limit=1)
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_FILE_BYTES:
        raise FileError(f"{path} unpacks to {size} bytes, expected the weights of a recurrent network.")


def _read(path: Path, limit: int = MAX_FILE_BYTES + 1) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileError(f"{path} is a folder or a device; expected a file.")
        with path.open("rb") as file:
            data = file.read(limit)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > MAX_FILE_BYTES:
        raise FileError(f"{path} is longer than {MAX_FILE_BYTES} bytes; expected the weights of a recurrent network.")
    return data


def _decode(path: Path, name: str, tensor: Mapping[str, Any]) -> Array:
    dtype, shape, data = tensor["dtype"], tensor["shape"], tensor["data"]
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if dtype not in _DTYPES:
        raise UnsupportedError(f"{path}: {name} got dtype {dtype}, expected floating point: F64, F32, F16 or BF16.")
    return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)


def _state_dict(torch: Any, loaded: object) -> Mapping[str, Any] | None:
    """Tensors by name in what was loaded: itself, or the one entry under a name that training scripts use."""
    if not isinstance(loaded, Mapping):
        return None
    if loaded and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items()):
        return loaded
    nested = [loaded[name] for name in _NESTED if isinstance(loaded.get(name), Mapping)]
    return _state_dict(torch, nested[0]) if len(nested) == 1 else None
