"""Unpickle files of PyTorch into inert data: no class is constructed, and no function called, that a file names.

Tensors become descriptions of their place in the file; anything else that is no plain Python value becomes an
:class:`Object`, which holds what the pickle stores of it. So a checkpoint may hold settings, optimizers and whole
modules of classes that are not installed here.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import numpy as np

__all__ = ["DTYPES", "Object", "Storage", "Tensor", "entries", "load"]

DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2", "int64": "i8", "int32": "i4",
        "int16": "i2", "int8": "i1", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "?",
        "complex64": "c8", "complex128": "c16",
    }.items()
}  # fmt: skip
"""NumPy's types of PyTorch's; bfloat16, which NumPy lacks, as words of 16 bits."""

_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """Storage of tensors: its key in the file, the type of its elements, and the first of them that counts."""

    key: str
    dtype: str
    count: int
    first: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """Tensor in a storage, not yet checked.

    Parameters
    ----------
    storage
        Its storage.
    offset, size, stride
        First element, shape, and distance of neighbors along each axis, in elements.
    dtype
        Name of PyTorch's type.
    refusal
        Reason why it cannot be read; empty if it can.
    """

    storage: Storage
    offset: Any
    size: Any
    stride: Any
    dtype: str
    refusal: str = ""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.size)


class Object:
    """Instance of a class, or result of a function, that a pickle names: what is stored of it.

    ``kind`` is the name, ``"torch.nn.modules.rnn.GRU"``; ``state`` what its class would restore it from, mostly a dict
    of its attributes; ``items`` what a mapping holds.
    """

    __slots__ = ("items", "state")
    kind = ""
    items: dict[Any, Any]
    state: Any

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make an object that knows its name only."""
        made = object.__new__(cls)
        made.state, made.items = None, {}
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take any arguments."""

    def __setstate__(self, state: Any) -> None:
        """Keep the state."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep an item."""
        self.items[key] = value

    def extend(self, values: Any) -> None:
        """Ignore the elements of a list."""

    append = extend

    def attributes(self) -> Mapping[Any, Any]:
        """Attributes by name; none if they are stored in another form."""
        state = self.state[0] if isinstance(self.state, tuple) and self.state else self.state
        return state if isinstance(state, dict) else {}


def entries(value: object) -> Mapping[Any, Any] | None:
    """Items of a mapping, also of one whose class is unknown; None for any other value."""
    if isinstance(value, Object):
        return value.items or None
    return value if isinstance(value, Mapping) else None


def load(file: BytesIO, storage_of: Callable[[Any], Any]) -> Any:
    """Unpickle one object, from where the file stands.

    Parameters
    ----------
    file
        The file.
    storage_of
        Function from a persistent id to its object.

    Raises
    ------
    Exception
        Any, if the file is damaged.
    """
    return _Unpickler(file, storage_of).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BytesIO, storage_of: Callable[[Any], Any]) -> None:
        super().__init__(file, encoding="latin-1")
        self._storage_of = storage_of
        self._classes: dict[str, type[Object]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for the class or function of this name."""
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if module in ("torch", "torch.cuda", "torch.storage") and name.endswith("Storage"):
            return _Named(_STORAGES.get(name, name))
        if module == "torch" and name in _TYPE_NAMES:
            return _Named(name)
        if full not in self._classes:
            self._classes[full] = type("Stored", (Object,), {"kind": full, "__slots__": ()})
        return self._classes[full]

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage of a persistent id."""
        return self._storage_of(pid)


@dataclass(frozen=True, slots=True)
class _Named:
    """Type of the elements of a storage or a tensor."""

    dtype: str


class _Dict(dict[Any, Any]):
    """Ordered dict, whose attributes (``_metadata`` of a state_dict) are left out."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Ignore the attributes."""


_TYPE_NAMES = {*DTYPES, "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "complex32"}
_NOWHERE = Storage("", "float32", 0)


def _tensor(storage: Storage, offset: Any, size: Any, stride: Any, *more: Any) -> Tensor:
    return _tensor_of(storage, offset, size, stride, storage.dtype, more[2] if len(more) > 2 else None)


def _tensor_v3(
    storage: Storage, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: _Named, metadata: Any = None
) -> Tensor:
    return _tensor_of(storage, offset, size, stride, dtype.dtype, metadata)


def _tensor_of(storage: Storage, offset: Any, size: Any, stride: Any, dtype: str, metadata: Any) -> Tensor:
    """Tensor of a storage; ``metadata`` says if it stands for its negative or conjugate."""
    if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise pickle.UnpicklingError("a tensor without a storage")
    return Tensor(storage, offset, size, stride, dtype, f"a view, {metadata!r:.40}" if metadata else "")


def _of_kind(kind: str) -> Callable[..., Tensor]:
    """Return a function that makes a tensor of a kind that is refused."""
    return lambda *_: Tensor(_NOWHERE, 0, (0, 0), (0, 1), "float32", kind)


def _first(value: Any, *_: Any) -> Any:
    return value


def _of_subclass(make: Callable[..., Any], _kind: Any, arguments: Any, *_: Any) -> Any:
    return make(*arguments)


_KNOWN: Mapping[str, Any] = {
    "collections.OrderedDict": _Dict,
    "torch.Size": lambda size=(): tuple(size),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _of_subclass,
    "torch._utils._rebuild_sparse_tensor": _of_kind("sparse"),
    "torch._utils._rebuild_nested_tensor": _of_kind("nested"),
    "torch._utils._rebuild_qtensor": _of_kind("quantized"),
    "torch._utils._rebuild_meta_tensor_no_storage": _of_kind("without values"),
    "torch._utils._rebuild_wrapper_subclass": _of_kind("without values"),
    "torch._utils._rebuild_device_tensor_from_numpy": _of_kind("of another device"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    **dict.fromkeys(
        (
            f"torch.jit._pickle.{name}"
            for name in ("restore_type_tag", "build_tensorlist", "build_intlist", "build_doublelist", "build_boollist")
        ),
        _first,
    ),
}
"""Functions and classes whose results are known."""
