"""Read files of ``torch.save``, ``torch.jit.save`` and ``torch.export.save`` without PyTorch."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from edge_rnn.errors import EdgeRnnError, FileError
from edge_rnn_export.readers.torch.archive_members import DAMAGED, Archive, ZipArchive, damaged
from edge_rnn_export.readers.torch.exported import CONFIG, OLD_STATE, Exported
from edge_rnn_export.readers.torch.pickled import DTYPES, Object, Storage, Tensor, load
from edge_rnn_export.readers.torch.script_code import chain_of
from edge_rnn_export.readers.torch.script_symbols import Step

__all__ = ["opened"]

_MAGIC = 0x1950A86A20F9469CFC6C
_MOST_CODE = 2**18
_TREE_BYTES = 64
"""Memory of a syntax tree, per byte of code."""


def opened(path: str, data: bytes) -> Archive:
    """Open a file, given its bytes; ``path`` is for messages.

    Raises
    ------
    FileError
        The file is damaged, or holds compressed weights.
    """
    try:
        if not zipfile.is_zipfile(BytesIO(data)):
            return _Old(path, data)
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
            state = next((archive.getinfo(name) for name in names if name.rpartition("/")[2] == OLD_STATE), None)
            if state is not None and state.file_size < len(data):  # torch.export before PyTorch 2.8
                return _Saved(path, archive.read(state))
        return Exported(path, data) if any(name.endswith(CONFIG) for name in names) else _Saved(path, data)
    except (EdgeRnnError, MemoryError):
        raise
    except Exception as error:  # pickle and zipfile raise exceptions of many modules
        raise damaged(path, error) from None


class _Saved(ZipArchive):
    """The format since PyTorch 1.6, and TorchScript."""

    def __init__(self, path: str, data: bytes) -> None:
        super().__init__(path, data, "data.pkl")
        self.root = load(BytesIO(self._stored("data.pkl")), _zipped_storage)

    def steps(self, state: Mapping[str, Tensor]) -> tuple[Step, ...] | None:
        """Return the steps of a TorchScript's forward, from its code; None for another file."""
        if not isinstance(self.root, Object) or not self.root.kind.startswith("__torch__."):
            return None
        names = {id(each): name for name, each in reversed([*state.items()])}
        return chain_of(self.root, names, lambda name: self._deflated(f"code/{name}", _MOST_CODE, _TREE_BYTES))

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
            raise FileError(f"{path} {DAMAGED}: it does not begin as such a file does.")
        load(file, nothing)
        system = load(file, nothing)
        self._big = not system.get("little_endian", True)
        self.root = load(file, storage_of)
        self._raw: dict[str, bytes] = {}
        for key in load(file, nothing):
            count = int.from_bytes(file.read(8), "little")
            size = count * DTYPES.get(found[key].dtype, np.dtype("u1")).itemsize
            if size > len(data):
                raise FileError(f"{path} {DAMAGED}: it claims {size} bytes of a tensor, and has {len(data)}.")
            self._raw[key] = file.read(size)

    def _bytes_of(self, storage: Storage) -> bytes:
        return self._raw[storage.key]


def _zipped_storage(pid: Any) -> Storage:
    tag, kind, key, _, count = pid
    if tag != "storage" or not isinstance(key, str) or not hasattr(kind, "dtype"):
        raise ValueError("a reference to no storage")
    return Storage(key, kind.dtype, count)
