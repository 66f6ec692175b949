"""A job for :mod:`edge_rnn_export.limits.process`: read the state_dict in a file of ``torch.save`` as arrays.

``weights_only=True`` keeps PyTorch from calling functions that a file names. It does not keep a file from claiming
gigabytes (an expanded tensor) or from taking practically forever (containers that contain each other).
"""

from __future__ import annotations

import codecs
import io
import pickle
import reprlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn_export.limits.worker import Answer, Call
from edge_rnn_export.readers.torch.files import as_array

__all__ = ["CALLS", "prepare"]

_DAMAGED = "is not a file of torch.save, or is damaged"


def prepare() -> None:
    """Import the library."""
    import torch

    torch.set_num_threads(1)
    for packed in (True, False):  # modules imported on first use
        file = io.BytesIO()
        torch.save({"x": torch.ones(1).half()}, file, _use_new_zipfile_serialization=packed)
        file.seek(0)
        as_array("x", torch.load(file, map_location="cpu", weights_only=True)["x"])
    for codec in ("cp437", "latin-1", "ascii"):  # names in archives, and bytes in pickles
        codecs.lookup(codec)


def _load(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Return ``names`` in order of definition, and arrays by their index among them."""
    import torch

    path, data = about["path"], arrays["data"].tobytes()
    _check_archive(path, data)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise FileError(
            f"{path} holds more than tensors (a whole module, TorchScript) or is damaged. Where the module is "
            f"available, run torch.save(module.state_dict(), path) and read that file."
        ) from None
    except Exception as error:  # torch passes on any exception of its zip and pickle readers
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0].rstrip(".")[:200]
        raise FileError(f"{path} {_DAMAGED}: torch.load says {reason!r}.") from None
    states = dict(_state_dicts(torch.Tensor, loaded))
    if not states:
        holds = type(loaded).__name__
        if isinstance(loaded, Mapping):
            keys = ", ".join(reprlib.repr(key) for key in list(loaded)[:12])
            holds = f"a dict with {keys}{', and more' if len(loaded) > 12 else ''}"
        raise FileError(f"{path} holds {holds}; expected a state_dict, tensors by name.")
    if len(states) > 1:
        places = [place[:80] for place in states]
        listed = ", ".join(places[:6]) + (", …" if len(places) > 6 else "")
        raise FileError(
            f"{path} holds {len(places)} state_dicts, {listed}; read the one that is meant: "
            f"from_torch(torch.load(path){places[0]}), or torch.save it in a file of its own."
        )
    (state,) = states.values()
    budget = Budget.of_file(len(data))
    found = {}
    for place, (name, tensor) in enumerate(state.items()):
        title = f"{path}: {name[:256]}"
        budget.take(title, tensor.numel() * max(tensor.element_size(), 4))
        array = np.ascontiguousarray(as_array(title, tensor))
        if array.dtype.kind not in "fiub":
            raise UnsupportedError(f"{title} holds {array.dtype}, expected real numbers.")
        found[str(place)] = array
    return {"names": list(state)}, found


def _check_archive(path: str, data: bytes) -> None:
    """Refuse compressed data: torch.save does not compress, and repeated data would decompress to gigabytes."""
    try:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            return  # before PyTorch 1.6
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except Exception as error:  # zipfile raises exceptions of several modules
        reason = (str(error) or type(error).__name__)[:200]
        raise FileError(f"{path} {_DAMAGED}: its archive cannot be read, {reason!r}.") from None
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise FileError(
            f"{path} holds TorchScript; run torch.save(torch.jit.load(path).state_dict(), other) and read that file."
        )
    size = sum(entry.file_size for entry in entries)
    if size > len(data) or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise FileError(
            f"{path} has {len(data)} bytes and decompresses to {size}, expected no compressed data; load it at its "
            f"origin and save it again with torch.save."
        )


def _state_dicts(tensor: type, loaded: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each state_dict in the loaded object, with its place in it: ``"['model']"``."""
    seen: set[int] = set()  # a container that contains itself never ends
    level = [("", loaded)]
    for _ in range(4):
        deeper: list[tuple[str, object]] = []
        for place, value in level:
            if not isinstance(value, Mapping) or id(value) in seen:
                continue
            seen.add(id(value))
            if value and all(isinstance(k, str) and isinstance(v, tensor) for k, v in value.items()):
                if not place or any(each.ndim > 1 for each in value.values()):  # others are means, counters, ...
                    yield place, value
            else:
                deeper += [(f"{place}[{key!r}]", each) for key, each in value.items() if isinstance(key, str)]
        level = deeper


CALLS: dict[str, Call] = {"load": _load}
