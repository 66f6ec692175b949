"""HDF5 files from strangers: plain arrays and texts out of them, in memory that their length bounds."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from math import prod
from struct import unpack_from
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError

__all__ = ["Hdf5"]

Array = NDArray[Any]

MAX_ENTRIES = 64
"""Most members of a group that is looked through: a layer has five arrays at most."""

MAX_DEPTH = 8
"""Most groups inside one another, below a layer's own."""

MAX_DIMENSIONS = 4
"""Most dimensions of an array."""

_SUFFIX = re.compile(r"(_\d+)?(:\d+)?")


class Hdf5:
    """An HDF5 file, held in memory.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    FileError
        It is none, or is damaged.
    UnsupportedError
        The package ``h5py`` is not installed.

    Notes
    -----
    Nothing is followed out of the file (soft and external links, external storage, virtual datasets), and no filter is
    run: every array lies in the file in one piece, as Keras writes them. As several names may stand for one piece, all
    that is read, together, is held against the length of the file.
    """

    def __init__(self, data: bytes) -> None:
        try:
            import h5py
        except ImportError:
            raise UnsupportedError(
                "from_keras reads files with the package h5py, which is not installed; pip install h5py."
            ) from None
        self._h5py: Any = h5py
        self._data = data
        self._left = 2**20 + 2 * len(data)
        with _reading():
            self._file = h5py.File(h5py.h5f.open_file_image(data), "r")

    def text(self, name: str, *path: str) -> str | None:
        """A text attribute of the file, or of a group in it; None where there is no such attribute."""
        with _reading():
            group = self._group(path)
            if name not in group.attrs:
                return None
            attribute = group.attrs.get_id(name)
            kind = attribute.get_type()
            if attribute.shape != () or kind.get_class() != self._h5py.h5t.STRING:
                raise FileError(f"its attribute {name} is no text.")
            self._take(
                f"its attribute {name}", self._length(group, name) if kind.is_variable_str() else kind.get_size()
            )
            value = group.attrs[name]
        return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)

    def has(self, *path: str) -> bool:
        """Whether there is a group or a dataset at a path of names."""
        with _reading():
            group = self._file
            for name in path:
                if not isinstance(group, self._h5py.Group) or name not in group:
                    return False
                group = self._member(group, name)
        return True

    def names(self, *path: str) -> list[str]:
        """The names of what a group holds; empty where there is no such group."""
        if not self.has(*path):
            return []
        with _reading():
            return self._names(self._group(path))

    def array(self, *path: str) -> Array:
        """An array of floating-point numbers."""
        with _reading():
            return self._numbers(self._member(self._group(path[:-1]), path[-1]), "/".join(path))

    def below(self, *path: str) -> dict[str, tuple[str, ...]]:
        """Paths of all datasets below a group, by the last part of their names: ``"kernel"`` for ``"kernel_1:0"``.

        Raises
        ------
        FileError
            There are too many, they lie too deep, or two are called the same.
        """
        found: dict[str, tuple[str, ...]] = {}
        with _reading():
            for place in self._walk(self._group(path), path, MAX_DEPTH):
                name = place[-1]
                stem = next(name[:end] for end in range(1, len(name) + 1) if _SUFFIX.fullmatch(name[end:]))
                if stem in found:
                    raise FileError(f"{reprlib.repr('/'.join(path))} holds two arrays called {reprlib.repr(stem)}.")
                found[stem] = place
        return found

    def _walk(self, group: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, ...]]:
        for name in self._names(group):
            member = self._member(group, name)
            if not isinstance(member, self._h5py.Group):
                yield (*path, name)
            elif depth:
                yield from self._walk(member, (*path, name), depth - 1)
            else:
                raise FileError(f"{reprlib.repr('/'.join(path))} holds groups more than {MAX_DEPTH} deep.")

    def _names(self, group: Any) -> list[str]:
        if len(group) > MAX_ENTRIES:
            raise FileError(f"{reprlib.repr(group.name)} holds {len(group)} entries, expected {MAX_ENTRIES} at most.")
        self._take("its groups", 64 * len(group) + 64)
        return list(group)

    def _group(self, path: Sequence[str]) -> Any:
        group = self._file
        for name in path:
            group = self._member(group, name)
            if not isinstance(group, self._h5py.Group):
                raise FileError(f"{reprlib.repr('/'.join(path))} is no group.")
        return group

    def _member(self, group: Any, name: str) -> Any:
        link = group.get(name, getlink=True) if name and "/" not in name and name != "." else None
        if link is None:
            raise FileError(f"{reprlib.repr(group.name)} has no {reprlib.repr(name)}.")
        if not isinstance(link, self._h5py.HardLink):
            raise UnsupportedError(f"{reprlib.repr(name)} is a link to somewhere else, expected the data themselves.")
        return group[name]

    def _numbers(self, dataset: Any, what: str) -> Array:
        title = f"the array {reprlib.repr(what)}"
        if not isinstance(dataset, self._h5py.Dataset):
            raise FileError(f"{title} is none.")
        plist, kind = dataset.id.get_create_plist(), dataset.id.get_type()
        layouts = (self._h5py.h5d.CONTIGUOUS, self._h5py.h5d.COMPACT)
        if plist.get_external_count() or plist.get_layout() not in layouts or plist.get_nfilters():
            raise UnsupportedError(
                f"{title} does not lie in the file in one piece (it is compressed, in chunks, virtual or in a file of "
                f"its own), as Keras writes it; save the model again, or run h5repack -f NONE -l CONTI."
            )
        if kind.get_class() != self._h5py.h5t.FLOAT or kind.get_size() != dataset.dtype.itemsize:
            raise UnsupportedError(f"{title} does not hold float16, float32 or float64; a quantized model is not read.")
        shape = dataset.shape
        if shape is None or len(shape) > MAX_DIMENSIONS:
            raise FileError(f"{title} has no shape, or more than {MAX_DIMENSIONS} dimensions.")
        size, stored = prod(shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
        if size != stored:
            raise FileError(f"{title} of shape {shape} takes {size} bytes, but {stored} are stored.")
        self._take(title, size)
        return np.asarray(dataset[()])

    def _length(self, group: Any, name: str) -> int:
        """Length of a text of variable length, as its attribute claims it.

        HDF5's library sets as many bytes aside before it looks whether they are there. It does not tell the number,
        which stands in the attribute's message [1]_: behind the name, type and dataspace. As long as the group keeps
        its attributes in its own header, that message has the name in it as it is; of all places that look like one
        the longest text counts.

        References
        ----------
        .. [1] HDF5 file format specification 3.0, sections IV.A.2.m and IV.B.
        """
        info = self._h5py.h5o.get_info(group.id)
        if info.meta_size.attr.heap_size or info.meta_size.attr.index_size or info.hdr.mesg.shared & 1 << 12:
            raise UnsupportedError("it keeps attributes apart from their groups, as no file of Keras does.")
        key, lengths = name.encode() + b"\0", [0]
        place = self._data.find(key)
        while place >= 0:
            for version, ahead, unit in ((1, 8, 8), (2, 8, 1), (3, 9, 1)):
                start = place - ahead
                if start < 0 or self._data[start] != version:
                    continue
                sizes = unpack_from("<HHH", self._data, start + 2)
                offsets = accumulate((-(-size // unit) * unit for size in sizes), initial=place)
                _, kind, _, value = offsets
                if value + 4 <= len(self._data) and self._data[kind] & 15 == 9:
                    lengths.append(unpack_from("<I", self._data, value)[0])
            place = self._data.find(key, place + 1)
        return max(lengths)

    def _take(self, what: str, count: int) -> None:
        """Set ``count`` bytes aside; FileError where there are not so many left."""
        if count > self._left:
            raise FileError(f"{what} takes {count} bytes, more than the file has.")
        self._left -= count


@contextmanager
def _reading() -> Iterator[None]:
    """Whatever h5py raises about a damaged file becomes a FileError: it has no error of its own."""
    try:
        yield
    except EdgeRnnError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise FileError(f"its HDF5 is damaged, or is none: {reason}.") from None
