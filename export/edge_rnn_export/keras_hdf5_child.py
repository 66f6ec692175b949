"""Reads an HDF5 file in a process of its own: the image on standard input, its weights on standard output.

HDF5's library was not made for files from strangers: in damaged ones it runs in circles, sets gigabytes aside or breaks
down. Here that harms nobody; :mod:`edge_rnn_export.keras_hdf5` starts this file as a script, with limits, and imports
nothing of it. What comes out is in the format of safetensors: arrays by path, and in the metadata, as JSON, ``groups``,
``texts``, ``refusals`` (of what was met but not read) or an ``error`` of the whole file.
"""

from __future__ import annotations

import json
import sys
from math import prod
from pathlib import Path
from typing import Any

__all__ = ["Dump", "main"]

ROOTS = ("model_weights", "layers", "_layer_checkpoint_dependencies", "top_level_model_weights")
"""Groups that hold weights of layers; an optimizer's are left alone."""

MAX_ENTRIES = 2**14
"""Most groups and arrays together."""

MAX_DEPTH = 12
"""Most groups inside one another."""

MAX_DIMENSIONS = 4
"""Most dimensions of an array."""

CPU_SECONDS = 20
"""How long the process may compute, where the system can limit that."""


class Dump:
    """What was found in a file.

    Attributes
    ----------
    arrays
        By path, ``"layers/gru/cell/vars/0"``.
    groups
        Paths of groups.
    texts
        Text attributes by path and name, with an ``@`` between: ``"@keras_version"`` of the file itself.
    refusals
        By path why something is not read: ``"unsupported"`` or ``"damaged"``, and a sentence.
    """

    def __init__(self, h5py: Any, size: int) -> None:
        self.h5py = h5py
        self.arrays: dict[str, Any] = {}
        self.groups: list[str] = []
        self.texts: dict[str, str] = {}
        self.refusals: dict[str, tuple[str, str]] = {}
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
        if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
            self.refusals[path] = ("unsupported", "is a link to somewhere else, expected the data themselves")
            return
        member = group[name]
        if isinstance(member, self.h5py.Dataset):
            self._array(member, path)
        elif isinstance(member, self.h5py.Group) and depth:
            self.groups.append(path)
            self._text(member, path, "name")
            for inner in member:
                if not isinstance(inner, str) or not inner.isprintable():  # bytes, where it is no UTF-8
                    raise ValueError("it holds a name that is no text")
                self._member(member, inner, f"{path}/{inner}", depth - 1)
        else:
            self.refusals[path] = ("damaged", f"is no array, or lies in more than {MAX_DEPTH} groups")

    def _array(self, dataset: Any, path: str) -> None:
        """Note an array, or why it is not read: nothing is followed out of the file, and no filter is run."""
        h5py, plist, kind = self.h5py, dataset.id.get_create_plist(), dataset.id.get_type()
        layouts = (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        shape, size, stored = dataset.shape, 0, dataset.id.get_storage_size()
        if shape is not None:
            size = prod(shape) * dataset.dtype.itemsize
        if plist.get_external_count() or plist.get_layout() not in layouts or plist.get_nfilters():
            reason = (
                "does not lie in the file in one piece (it is compressed, in chunks, virtual or in a file of its own), "
                "as Keras writes it; save the model again, or run h5repack -f NONE -l CONTI"
            )
            self.refusals[path] = ("unsupported", reason)
        elif kind.get_class() != h5py.h5t.FLOAT or kind.get_size() != dataset.dtype.itemsize or kind.get_size() > 8:
            reason = "does not hold float16, float32 or float64; a quantized model is not read"
            self.refusals[path] = ("unsupported", reason)
        elif shape is None or len(shape) > MAX_DIMENSIONS:
            self.refusals[path] = ("damaged", f"has no shape, or more than {MAX_DIMENSIONS} dimensions")
        elif size != stored or size > self._left:
            reason = f"of shape {shape} takes {size} bytes, but {min(stored, self._left)} are there"
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


def main() -> None:
    """Read standard input and write standard output."""
    import h5py
    import numpy as np
    from safetensors.numpy import save

    data = sys.stdin.buffer.read()
    _limit(len(data))
    dump = Dump(h5py, len(data))
    about: dict[str, Any] = {}
    try:
        with h5py.File(h5py.h5f.open_file_image(data), "r") as file:
            dump.file(file)
        about = {"groups": dump.groups, "texts": dump.texts, "refusals": dump.refusals}
    except Exception as error:  # h5py has no error of its own for damaged files
        dump.arrays.clear()
        about = {"error": (str(error).splitlines() or [type(error).__name__])[0][:200]}
    arrays = {path: np.asarray(array) for path, array in dump.arrays.items()}
    sys.stdout.buffer.write(save(arrays, {key: json.dumps(value) for key, value in about.items()}))


def _limit(size: int) -> None:
    """Limit memory and time beyond what is in use, where the system can."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        for limit, value in ((resource.RLIMIT_AS, used + 2**26 + 8 * size), (resource.RLIMIT_CPU, CPU_SECONDS)):
            hard = resource.getrlimit(limit)[1]
            if hard == resource.RLIM_INFINITY or value < hard:
                resource.setrlimit(limit, (value, hard))
    except (ImportError, OSError, ValueError):
        pass  # no such limits here; the process that waits has its own clock


if __name__ == "__main__":
    main()
