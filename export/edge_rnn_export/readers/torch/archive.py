"""Read files of ``torch.save`` and ``torch.jit.save`` without PyTorch: an archive of a pickle and raw storages."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import cached_property
from io import BytesIO
from math import prod
from typing import Any

import numpy as np

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.pickled import DTYPES, Storage, Tensor, load

__all__ = ["Archive", "float32_of", "opened"]

_DAMAGED = "is not a file of torch.save, or is damaged"
_MAGIC = 0x1950A86A20F9469CFC6C
_AXES = 8


def opened(path: str, data: bytes) -> Archive:
    """Open a file, given its bytes; ``path`` is for messages.

    Raises
    ------
    FileError
        The file is damaged, or holds compressed weights.
    """
    try:
        return _Zip(path, data) if zipfile.is_zipfile(BytesIO(data)) else _Old(path, data)
    except (EdgeRnnError, MemoryError):
        raise
    except Exception as error:  # pickle and zipfile raise exceptions of many modules
        raise _damaged(path, error) from None


class Archive:
    """A file of torch.save.

    Parameters
    ----------
    path
        The file, for messages.
    data
        Its bytes.
    """

    root: Any
    """The object that was saved."""

    def __init__(self, path: str, data: bytes) -> None:
        self._path, self._big = path, False
        self._budget = Budget.of_file(len(data))

    def array(self, title: str, tensor: Tensor) -> AnyArray:
        """Return a tensor's values; a bfloat16 as float32.

        Raises
        ------
        FileError
            It lies outside its storage, or would take too much memory.
        UnsupportedError
            Its kind or type cannot be read.
        """
        if tensor.refusal:
            raise UnsupportedError(f"{title} is not an array of numbers: it is {tensor.refusal}.")
        if tensor.dtype not in DTYPES or DTYPES[tensor.dtype].kind == "c":
            raise UnsupportedError(f"{title} holds {tensor.dtype}, expected real numbers of 16 to 64 bits.")
        dtype = DTYPES[tensor.dtype].newbyteorder(">" if self._big else "<")
        axes = (tensor.offset, *tensor.size, *tensor.stride)
        if len(tensor.size) != len(tensor.stride) or len(tensor.size) > _AXES:
            raise FileError(f"{title} got {len(tensor.size)} axes and {len(tensor.stride)} strides; it is damaged.")
        if any(type(each) is not int or not 0 <= each < 2**48 for each in axes):
            raise FileError(f"{title} got a shape or strides that are no counts; it is damaged.")
        self._budget.take(title, prod(tensor.size) * max(dtype.itemsize, 4))
        plain = np.dtype("f4") if tensor.dtype == "bfloat16" else dtype.newbyteorder("=")
        if 0 in tensor.size:
            return np.zeros(tensor.size, plain)
        try:
            raw = self._bytes_of(tensor.storage)
        except (EdgeRnnError, MemoryError):
            raise
        except Exception as error:
            raise _damaged(self._path, error) from None
        # The offset of a view of a storage counts in the storage's own elements, that of a tensor in the tensor's.
        start = tensor.storage.first * DTYPES.get(tensor.storage.dtype, dtype).itemsize
        values = np.frombuffer(raw[start : start + (len(raw) - start) // dtype.itemsize * dtype.itemsize], dtype)
        last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
        if last >= len(values):
            raise FileError(f"{title} ends at element {last} of a storage of {len(values)}; the file is damaged.")
        steps = [step * dtype.itemsize for step in tensor.stride]
        array = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.size, steps)
        array = np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(tensor.size)
        return float32_of(array) if tensor.dtype == "bfloat16" else array

    def _bytes_of(self, storage: Storage) -> bytes:
        raise NotImplementedError


class _Zip(Archive):
    """The format since PyTorch 1.6, and TorchScript."""

    def __init__(self, path: str, data: bytes) -> None:
        super().__init__(path, data)
        self._archive = zipfile.ZipFile(BytesIO(data))
        self._raw: dict[str, bytes] = {}
        pickles = [name for name in self._archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if not pickles:
            raise FileError(f"{path} {_DAMAGED}: the archive has no data.pkl.")
        self._folder = min(pickles, key=len).removesuffix("data.pkl")
        self._big = self._text("byteorder") == "big"
        self.root = load(BytesIO(self._stored("data.pkl")), _zipped_storage)

    @cached_property
    def _names(self) -> Mapping[str, zipfile.ZipInfo]:
        return {entry.filename: entry for entry in self._archive.infolist()}

    def _text(self, name: str) -> str:
        """Content of a short member; empty if there is none."""
        entry = self._names.get(self._folder + name)
        return self._archive.read(entry).decode("ascii").strip() if entry and entry.file_size < 64 else ""

    def _stored(self, name: str) -> bytes:
        """Content of a member that is not compressed: repeated data would decompress to gigabytes."""
        entry = self._names.get(self._folder + name)
        if entry is None:
            raise FileError(f"{self._path} {_DAMAGED}: the archive has no {name[:80]}.")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise FileError(
                f"{self._path} has {name[:80]} of {entry.compress_size} bytes that decompress to {entry.file_size}, "
                f"expected no compressed data; load it at its origin and save it again with torch.save."
            )
        self._budget.take(f"{self._path}: {name[:80]}", entry.file_size)
        return self._archive.read(entry)

    def _bytes_of(self, storage: Storage) -> bytes:
        if storage.key not in self._raw:
            self._raw[storage.key] = self._stored(f"data/{storage.key}")
        return self._raw[storage.key]


class _Old(Archive):
    """The format before PyTorch 1.6: a row of pickles, then the storages."""

    def __init__(self, path: str, data: bytes) -> None:
        super().__init__(path, data)
        file, found = BytesIO(data), {}

        def storage_of(pid: Any) -> Any:
            if pid[0] == "module":  # a class, with its source
                return pid[1]
            storage = _zipped_storage(pid[:5])
            found[storage.key] = storage
            if pid[5] is None:
                return storage
            _, first, count = pid[5]
            if type(first) is not int or first < 0:
                raise ValueError("a view without a place")
            return Storage(storage.key, storage.dtype, count, first)

        def nothing(_: Any) -> Any:
            raise ValueError("a storage before its time")

        if load(file, nothing) != _MAGIC:
            raise FileError(f"{path} {_DAMAGED}: it does not begin as such a file does.")
        load(file, nothing)
        system = load(file, nothing)
        self._big = not system.get("little_endian", True)
        self.root = load(file, storage_of)
        self._raw: dict[str, bytes] = {}
        for key in load(file, nothing):
            count = int.from_bytes(file.read(8), "little")
            size = count * DTYPES.get(found[key].dtype, np.dtype("u1")).itemsize
            if size > len(data):
                raise FileError(f"{path} {_DAMAGED}: it claims {size} bytes of a tensor, and has {len(data)}.")
            self._raw[key] = file.read(size)

    def _bytes_of(self, storage: Storage) -> bytes:
        return self._raw[storage.key]


def _zipped_storage(pid: Any) -> Storage:
    tag, kind, key, _, count = pid
    if tag != "storage" or not isinstance(key, str) or not hasattr(kind, "dtype"):
        raise ValueError("a reference to no storage")
    return Storage(key, kind.dtype, count)


def float32_of(bits: AnyArray) -> AnyArray:
    """Values of bfloat16, the upper halves of float32, given as words of 16 bits."""
    return np.asarray(bits.astype(np.uint32) << 16).view(np.float32)  # shifting a single number makes no array


def _damaged(path: str, error: Exception) -> FileError:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:200]
    return FileError(f"{path} {_DAMAGED}: {reason!r}.")
