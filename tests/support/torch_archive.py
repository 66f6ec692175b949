"""Write files as ``torch.save``, ``torch.jit.save`` and ``torch.export.save`` do, without PyTorch."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Instance", "exported", "old", "zipped"]

_STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte", "b1": "Bool"}
_EXPORTED = {"f8": 8, "f4": 7, "f2": 6, "i8": 5, "u1": 1}
_MAGIC = 0x1950A86A20F9469CFC6C
_OLD = (_MAGIC, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})


@dataclass
class Instance:
    """Instance of a class by its full name, with its attributes and, for a mapping, its items."""

    kind: str
    attributes: dict[str, Any] | None = None
    items: dict[Any, Any] = field(default_factory=dict)


class _Writer:
    """Opcodes of a value: plain ones, arrays as tensors, and instances."""

    def __init__(self, *, views: bool) -> None:
        self.storages: list[np.ndarray] = []
        self._views = views

    def value(self, value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            return self._tensor(value)
        if isinstance(value, Instance):
            made = self._global(value.kind) + b")\x81" + self._items(value.items)
            return made + (b"" if value.attributes is None else self.value(value.attributes) + b"b")
        if isinstance(value, dict):
            return b"}" + self._items(value)
        if isinstance(value, list):
            return b"](" + b"".join(map(self.value, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.value, value)) + b"t"
        return pickle.dumps(value, 2)[2:-1]

    def _items(self, items: dict[Any, Any]) -> bytes:
        return b"(" + b"".join(self.value(key) + self.value(each) for key, each in items.items()) + b"u"

    def _global(self, name: str) -> bytes:
        module, _, last = name.rpartition(".")
        return f"c{module}\n{last}\n".encode()

    def _tensor(self, array: np.ndarray) -> bytes:
        kind = self._global(f"torch.{_STORAGES[array.dtype.str[1:]]}Storage")
        storage = self.value("storage") + kind + self.value(str(len(self.storages))) + self.value("cpu")
        storage += self.value(array.size) + (b"N" if self._views else b"")
        self.storages.append(np.ascontiguousarray(array))
        stride = tuple(step // array.itemsize for step in self.storages[-1].reshape(array.shape).strides)
        hooks = self._global("collections.OrderedDict") + b")R"
        rest = [self.value(each) for each in (0, array.shape, stride, False)]
        return (
            self._global("torch._utils._rebuild_tensor_v2") + b"((" + storage + b"tQ" + b"".join(rest) + hooks + b"tR"
        )


def zipped(value: Any, others: dict[str, str] | None = None, folder: str = "archive") -> bytes:
    """File of today's format; TorchScript if ``others`` holds ``"constants.pkl"`` and code."""
    writer, file = _Writer(views=False), io.BytesIO()
    pickled = b"\x80\x02" + writer.value(value) + b"."
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{folder}/data.pkl"), pickled)
        for name, text in {"byteorder": "little", "version": "3\n", **(others or {})}.items():
            packed = zipfile.ZIP_DEFLATED if name.startswith("code/") else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(f"{folder}/{name}"), text, packed)
        for place, array in enumerate(writer.storages):
            archive.writestr(zipfile.ZipInfo(f"{folder}/data/{place}"), array.tobytes())
    return file.getvalue()


def exported(arrays: dict[str, np.ndarray], others: dict[str, str] | None = None, **changed: Any) -> bytes:
    """File of ``torch.export.save``; ``changed`` replaces fields of each tensor."""
    file, config = io.BytesIO(), {}
    with zipfile.ZipFile(file, "w") as archive:
        for place, (name, array) in enumerate(arrays.items()):
            strides = [{"as_int": step // array.itemsize} for step in np.ascontiguousarray(array).strides]
            about = {"dtype": _EXPORTED[array.dtype.str[1:]], "sizes": [{"as_int": size} for size in array.shape],
                     "strides": strides, "storage_offset": {"as_int": 0}, "layout": 7, **changed}  # fmt: skip
            config[name] = {"path_name": f"weight_{place}", "is_param": True, "use_pickle": False, "tensor_meta": about}
            archive.writestr(zipfile.ZipInfo(f"net/data/weights/weight_{place}"), array.tobytes())
        texts = {"data/weights/model_weights_config.json": json.dumps({"config": config}), "archive_format": "pt2"}
        for name, text in (texts | (others or {})).items():
            archive.writestr(zipfile.ZipInfo(f"net/{name}"), text)
    return file.getvalue()


def old(value: Any) -> bytes:
    """File of the format before PyTorch 1.6."""
    writer = _Writer(views=True)
    pickled = b"\x80\x02" + writer.value(value) + b"."
    keys = pickle.dumps([str(place) for place in range(len(writer.storages))], 2)
    raw = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in writer.storages)
    return b"".join(pickle.dumps(each, 2) for each in _OLD) + pickled + keys + raw
