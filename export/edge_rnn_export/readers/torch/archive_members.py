"""Tensors of archives of PyTorch: places in raw storages, checked before they are read."""

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
from edge_rnn_export.readers.torch.pickled import DTYPES, Storage, Tensor
from edge_rnn_export.readers.torch.script_symbols import Step

__all__ = ["DAMAGED", "Archive", "ZipArchive", "damaged", "float32_of"]

DAMAGED = "is not a file of torch.save, or is damaged"
_AXES = 8


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
            raise damaged(self._path, error) from None
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

    def steps(self, state: Mapping[str, Tensor]) -> tuple[Step, ...] | None:
        """Return the steps of forward, given the tensors by name; None if the file does not hold forward.

        Raises
        ------
        UnreadableError
            It is not a chain of known operators.
        """
        return None

    def _bytes_of(self, storage: Storage) -> bytes:
        raise NotImplementedError


class ZipArchive(Archive):
    """A zip archive, with all members in one folder."""

    def __init__(self, path: str, data: bytes, marker: str) -> None:
        super().__init__(path, data)
        self._archive = zipfile.ZipFile(BytesIO(data))
        self._raw: dict[str, bytes] = {}
        marked = [name for name in self._archive.namelist() if name == marker or name.endswith("/" + marker)]
        if not marked:
            raise FileError(f"{path} {DAMAGED}: the archive has no {marker}.")
        self._folder = min(marked, key=len).removesuffix(marker)
        self._big = self._text("byteorder") == "big"

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
            raise FileError(f"{self._path} {DAMAGED}: the archive has no {name[:80]}.")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise FileError(
                f"{self._path} has {name[:80]} of {entry.compress_size} bytes that decompress to {entry.file_size}, "
                f"expected no compressed data; load it at its origin and save it again with torch.save."
            )
        self._budget.take(f"{self._path}: {name[:80]}", entry.file_size)
        return self._archive.read(entry)

    def _deflated(self, name: str, most: int, factor: int) -> str:
        """Text of a member, also compressed, of ``most`` bytes at most; the budget gives ``factor`` times its size."""
        entry = self._names.get(self._folder + name)
        if entry is None:
            return ""
        if entry.file_size > most:
            raise FileError(f"{self._path} has {entry.file_size} bytes in {name[:80]}, expected {most} at most.")
        self._budget.take(f"{self._path}: {name[:80]}", factor * entry.file_size)
        try:
            return self._archive.read(entry).decode("utf-8")
        except MemoryError:
            raise
        except Exception as error:  # of zipfile and zlib
            raise damaged(self._path, error) from None


def float32_of(bits: AnyArray) -> AnyArray:
    """Values of bfloat16, the upper halves of float32, given as words of 16 bits."""
    return np.asarray(bits.astype(np.uint32) << 16).view(np.float32)  # shifting a single number makes no array


def damaged(path: str, error: Exception) -> FileError:
    """Error of a damaged file, for an exception of any module."""
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:200]
    return FileError(f"{path} {DAMAGED}: {reason!r}.")
