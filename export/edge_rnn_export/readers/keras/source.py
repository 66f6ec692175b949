"""Open a Keras network: a ``.keras`` archive, a whole-model HDF5 file, or a live model."""

from __future__ import annotations

import io
import re
import reprlib
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn.errors import EdgeRnnError, FileError, InputTypeError, UnsupportedError
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.file_bytes import read_bytes
from edge_rnn_export.readers.json_text import MAX_JSON_BYTES, WHOLE_KERAS, check_weights, parse_object
from edge_rnn_export.readers.keras.hdf5 import Hdf5, by_stem
from edge_rnn_export.readers.keras.network import Layer

__all__ = ["Source", "file_source", "model_source", "open_file"]

Fetch = Callable[[Layer, Sequence[str]], Sequence[AnyArray]]

MAX_MEMBERS = 1024
"""Maximum number of files in a ``.keras`` archive: three, and the assets of layers that have any."""

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_WITH_CELL = ("SimpleRNN", "GRU", "LSTM")  # their arrays belong to a cell inside


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Keras's description of a network.

    Parameters
    ----------
    document
        ``class_name`` and ``config`` of the model.
    version
        Keras's major version; 0 if unknown.
    arrays
        ``arrays(layer, names)`` returns a layer's arrays with these names; ``names`` lists all of its arrays in order
        (a leading ``-`` marks an array that is stored but not wanted).
    stored_bytes
        Length of the file, or size of the live model's weights.
    """

    document: Mapping[str, Any]
    version: int
    arrays: Fetch
    stored_bytes: int


def open_file(path: str | PathLike[str]) -> bytes:
    """Bytes of a file, for :func:`file_source`.

    Raises
    ------
    FileError
        It cannot be read, is a folder, or is longer than 1 GiB.
    """
    tensorflow = "a folder with saved_model.pb is TensorFlow's own format: load it there, and save it as .keras"
    return read_bytes(Path(path), expected=f"a file ({tensorflow})")


def file_source(data: bytes) -> Source:
    """Return the network in a file, whose contents determine its kind.

    Raises
    ------
    FileError
        The file is damaged or of another kind; the message does not name the file.
    UnsupportedError
        The file holds only weights, or h5py is not installed.
    """
    if data.startswith(_ZIP):
        return _of_archive(data)
    if data.startswith(_HDF5):
        return _of_hdf5(data)
    if data.lstrip()[:1] == b"{":
        check_weights(parse_object(data))
    raise FileError("it is neither a .keras archive nor an HDF5 file.")


def model_source(model: Any) -> Source:
    """Return the network of a live model.

    Raises
    ------
    UnsupportedError
        The model has no configuration.
    InputError
        The argument is not a model.
    """
    loaded = (sys.modules.get(name) for name in ("keras", "tf_keras"))  # without them, there can be no model object
    keras = next((each for each in loaded if each is not None and isinstance(model, each.Model)), None)
    if keras is None:
        raise InputTypeError(
            f"it got {type(model).__name__}, expected a Keras model, or the path of a .keras or .h5 file."
        )
    return _of_model(model, str(keras.__version__))


def _of_archive(data: bytes) -> Source:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise FileError(f"it holds {len(archive.infolist())} files, expected {MAX_MEMBERS} at most.")
            # Python objects take ten times the size of the decompressed text.
            config = _member(archive, "config.json", min(MAX_JSON_BYTES, 2**20 + 16 * len(data)))
            metadata = _member(archive, "metadata.json", 2**16)
            if "model.weights.h5" not in archive.namelist() and "model.weights.json" in archive.namelist():
                raise UnsupportedError("its weights are in several files; save it without max_shard_size.")
            # Trained weights do not compress well: 16 times is far beyond any.
            weights = _member(archive, "model.weights.h5", 2**20 + 16 * len(data))
    except EdgeRnnError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise FileError(f"its archive is damaged: {reason}.") from None
    version = parse_object(metadata).get("keras_version")
    file = cache(lambda: Hdf5(weights))  # opened when something in it is requested
    fetch: Fetch = lambda layer, names: _numbered(file(), layer, names)  # noqa: E731
    return Source(parse_object(config), _major(version), fetch, len(data))


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise FileError(f"it is an archive without {name}, expected config.json, metadata.json and model.weights.h5.")
    info = archive.getinfo(name)
    if info.file_size > limit:
        raise FileError(f"its {name} unpacks to {info.file_size} bytes, expected {limit} at most.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedError(f"its {name} is packed by method {info.compress_type}, expected stored or deflated.")
    with archive.open(info) as file:
        return file.read(limit)


def _numbered(file: Hdf5, layer: Layer, names: Sequence[str]) -> list[AnyArray]:
    """Arrays of a layer in ``model.weights.h5``: by number, in ``layers/gru_1/cell/vars``."""
    older = tuple("_layer_checkpoint_dependencies" if name == "layers" else name for name in layer.stored)  # Keras 2.13
    group = next((group for group in (layer.stored, older) if file.has(*group)), ())
    if not group:
        raise FileError(f"{layer.title} has no weights: there is no group {'/'.join(layer.stored)}.")
    owner = file.text("name", *group, "vars")
    if owner is not None and owner != layer.name:
        raise FileError(f"{layer.title} has its weights in a group that belongs to {reprlib.repr(owner)}.")
    path = (*group, *(["cell"] if layer.kind in _WITH_CELL else []), "vars")
    there = file.names(*path)
    if there != sorted(map(str, range(len(names)))):
        raise _count(layer, len(there), names)
    return [file.array(*path, str(place)) for place, name in enumerate(names) if not name.startswith("-")]


def _of_hdf5(data: bytes) -> Source:
    file = Hdf5(data)
    config = file.text("model_config")
    if config is None:
        weights = file.has("layers") or file.has("_layer_checkpoint_dependencies") or file.has("model_weights")
        if weights or file.has("top_level_model_weights") or file.text("keras_version") is not None:
            raise UnsupportedError(f"it holds only weights, without the layers that use them; {WHOLE_KERAS}.")
        raise FileError("it is an HDF5 file, but not from Keras: it has no model_config.")
    version = file.text("keras_version")
    document = parse_object(config.encode(errors="surrogatepass"))
    fetch: Fetch = lambda layer, names: _named(file, layer, names)  # noqa: E731
    return Source(document, _major(version or document.get("keras_version")), fetch, len(data))


def _named(file: Hdf5, layer: Layer, names: Sequence[str]) -> list[AnyArray]:
    """Arrays of a layer in a whole-model HDF5 file: by name, somewhere below ``model_weights/gru``.

    Those of layers inside a model are below the model's group, and their paths name the layer.
    """
    path = ("model_weights", *layer.names[0].split("/"))
    if not file.has(*path):
        raise FileError(f"{layer.title} has no weights: there is no group {reprlib.repr('/'.join(path))}.")
    inside = file.below(*path)
    for name in layer.names[1:]:
        inside = [each for each in inside if name in each[len(path) :]] or inside
    there = by_stem(inside)
    if there.keys() != {name.removeprefix("-") for name in names}:
        raise _count(layer, len(inside), names, sorted(there))
    return [file.array(*there[name]) for name in names if not name.startswith("-")]


def _of_model(model: Any, version: str) -> Source:
    try:
        text = model.to_json()
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise UnsupportedError(
            f"the {type(model).__name__} {reprlib.repr(model.name)} has no readable configuration: {reason}. "
            f"Expected a Sequential or a functional model."
        ) from None

    def fetch(layer: Layer, names: Sequence[str]) -> list[AnyArray]:
        return _live(layer.find(model), layer, names)

    stored = sum(int(np.prod(weight.shape)) * 4 for weight in model.weights)
    return Source(parse_object(text.encode()), _major(version), fetch, stored)


def _live(found: Any, layer: Layer, names: Sequence[str]) -> list[AnyArray]:
    arrays = [np.asarray(array) for array in found.get_weights()]
    if len(arrays) != len(names):
        raise _count(layer, len(arrays), names)
    wanted = [array for array, name in zip(arrays, names, strict=True) if not name.startswith("-")]
    for array in wanted:
        if array.dtype.kind != "f":
            raise UnsupportedError(f"{layer.title} holds {array.dtype}, expected floating-point numbers.")
    return wanted


def _count(layer: Layer, got: int, names: Sequence[str], there: Sequence[str] = ()) -> FileError:
    listed = f": {reprlib.repr(list(there))}" if there else ""
    expected = ", ".join(name.removeprefix("-") for name in names)
    return FileError(f"{layer.title} got {got} arrays{listed}, expected {len(names)}: {expected}.")


def _major(version: object) -> int:
    match = re.match(r"\d{1,3}(?=\.)", version) if isinstance(version, str) else None
    return int(match.group()) if match else 0
