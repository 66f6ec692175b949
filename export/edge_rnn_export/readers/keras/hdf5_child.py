"""A job for :mod:`edge_rnn_export.limits.process`: read the arrays and texts of an HDF5 file as plain data.

The HDF5 library opens other files by itself as soon as a virtual or external dataset is accessed; in the
limited process it cannot open any, and such a file is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from edge_rnn.errors import FileError
from edge_rnn_export.limits.worker import Answer, Call

__all__ = ["CALLS", "Dump", "prepare"]

ROOTS = ("model_weights", "layers", "_layer_checkpoint_dependencies", "top_level_model_weights")
"""Groups that hold weights of layers; an optimizer's are ignored."""

MAX_ENTRIES = 2**14
"""Maximum number of groups and arrays together."""

MAX_DEPTH = 40
"""Maximum depth of nested groups."""

MAX_DIMENSIONS = 4
"""Maximum number of dimensions of an array."""

_ELSEWHERE = "it holds {} whose data are in another file; expected all in one, as Keras writes it."


class Dump:
    """Contents of a file.

    Attributes
    ----------
    arrays
        By path, ``"layers/gru/cell/vars/0"``.
    groups
        Paths of groups.
    texts
        Text attributes by path and name, with an ``@`` between: ``"@keras_version"`` of the file itself.
    refusals
        By path, why an entry is not read: ``"unsupported"`` or ``"damaged"``, and a sentence.
    """

    def __init__(self, h5py: Any, size: int) -> None:
        self.h5py = h5py
        self.arrays: dict[str, Any] = {}
        self.groups: list[str] = []
        self.texts: dict[str, str] = {}
        self.refusals: dict[str, tuple[str, str]] = {}
        self._seen: set[int] = set()
        self._left = 2**20 + 2 * size  # names may share one piece of the file: all together is held against its length

    def file(self, file: Any) -> None:
        """Collect everything."""
        for name in ("model_config", "keras_version"):
            self._text(file, "", name)
        for name in ROOTS:
            if name in file:
                self._member(file, name, name, MAX_DEPTH)

    def _member(self, group: Any, name: str, path: str, depth: int) -> None:
        if len(self.groups) + len(self.arrays) + len(self.refusals) >= MAX_ENTRIES:
            raise ValueError(f"it holds more than {MAX_ENTRIES} groups and arrays")
        link = group.get(name, getlink=True)
        if isinstance(link, self.h5py.ExternalLink):
            raise FileError(_ELSEWHERE.format("a link"))
        if not isinstance(link, self.h5py.HardLink):
            self.refusals[path] = ("unsupported", "is a link to another place, expected the data themselves")
            return
        member = group[name]
        if isinstance(member, self.h5py.Dataset):
            self._array(member, path)
        elif isinstance(member, self.h5py.Group) and depth:
            address = self.h5py.h5o.get_info(member.id).addr
            if address in self._seen:
                self.refusals[path] = ("damaged", "is a group that occurs elsewhere too")
                return
            self._seen.add(address)
            self.groups.append(path)
            self._text(member, path, "name")
            for inner in member:
                if not isinstance(inner, str) or not inner.isprintable():  # bytes if it is not UTF-8
                    raise ValueError("it holds a name that is not text")
                self._member(member, inner, f"{path}/{inner}", depth - 1)
        else:
            self.refusals[path] = ("damaged", f"is not an array, or is nested in more than {MAX_DEPTH} groups")

    def _array(self, dataset: Any, path: str) -> None:
        """Record an array, or why it is not read: no link out of the file is followed, and no filter is run."""
        h5py, plist, kind = self.h5py, dataset.id.get_create_plist(), dataset.id.get_type()
        if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
            raise FileError(_ELSEWHERE.format("an array"))
        layouts = (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        shape, size, stored = dataset.shape, 0, dataset.id.get_storage_size()
        if shape is not None:
            size = prod(shape) * dataset.dtype.itemsize
        if plist.get_layout() not in layouts or plist.get_nfilters():
            reason = (
                "is not contiguous in the file (it is compressed or chunked), as "
                "Keras writes it; save the model again, or run h5repack -f NONE -l CONTI"
            )
            self.refusals[path] = ("unsupported", reason)
        elif kind.get_class() != h5py.h5t.FLOAT or kind.get_size() != dataset.dtype.itemsize or kind.get_size() > 8:
            reason = "does not hold float16, float32 or float64; a quantized model is not read"
            self.refusals[path] = ("unsupported", reason)
        elif shape is None or len(shape) > MAX_DIMENSIONS:
            self.refusals[path] = ("damaged", f"has no shape, or more than {MAX_DIMENSIONS} dimensions")
        elif size != stored or size > self._left:
            reason = f"of shape {shape} takes {size} bytes, but the file has {min(stored, self._left)}"
            self.refusals[path] = ("damaged", reason)
        else:
            self._left -= size
            self.arrays[path] = dataset[()].astype(dataset.dtype.newbyteorder("<"), order="C")

    def _text(self, group: Any, path: str, name: str) -> None:
        if name not in group.attrs:
            return
        attribute = group.attrs.get_id(name)
        if attribute.shape == () and attribute.get_type().get_class() == self.h5py.h5t.STRING:
            value = group.attrs[name]
            self.texts[f"{path}@{name}"] = value.decode() if isinstance(value, bytes) else str(value)


def prepare() -> None:
    """Import the library, including what it imports on first use."""
    import h5py

    with h5py.File("prepare", "w", driver="core", backing_store=False) as file:
        file["array"] = 1.0
        file["array"].dtype.newbyteorder("<")
        file.attrs["text"] = "text"
        file.attrs["text"]


def _read(_: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Return ``groups``, ``texts``, ``refusals`` of entries that were not read, and arrays by path."""
    import h5py

    data = arrays["data"].tobytes()
    dump = Dump(h5py, len(data))
    try:
        with h5py.File(h5py.h5f.open_file_image(data), "r") as file:
            dump.file(file)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # h5py has no exception class of its own for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise FileError(f"it is not HDF5, or is damaged: {reason}.") from None
    return {"groups": dump.groups, "texts": dump.texts, "refusals": dump.refusals}, dump.arrays


CALLS: dict[str, Call] = {"read": _read}
