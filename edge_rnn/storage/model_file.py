"""Load and save: a model as one ``.safetensors`` file, weights as tensors, everything else as JSON in its metadata.

Layout. Tensors are named ``<layer>.<field>``. The metadata have one key, ``edge_rnn`` (safetensors does not keep the
order of several, and equal models must give equal files), whose value is a JSON object: ``version``; ``name``,
``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``, ``input_size`` of the model; ``layers``, each with
``kind``, ``name``, ``inputs``, ``options`` and the names of its ``arrays``; and ``sha256`` over all of this and the
tensors, so that a damaged weight is detected. The contents of a layer follow from its class, so that a new kind needs
no change here.

This is version 1. Version 2 has matrices in other formats than float32: each of ``layers`` also has ``formats``, by
field the ``format`` and its ``options``; the format's arrays are tensors ``<layer>.<field>.<array>``. It may also have
the ``vocabulary`` of the model. Version 2 is written only if needed.

Version 3 has cells that are their equations: layers of the kind ``Cell``, whose ``options`` are the name of the
``function`` that was recorded, the ``equation`` as data (:mod:`edge_rnn.equations.json_form`) and the ``numbers`` among
its parameters; arrays are its parameters by name, and behind ``start.`` states that do not begin at zero.

A file is data from a stranger: its header is held against the length of the file before anything is allocated for what
it claims, and every refusal is one FileError.
"""

from __future__ import annotations

import io
import os
import re
import reprlib
import stat
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, get_origin, get_type_hints

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from edge_rnn.atomic import write
from edge_rnn.digest import sha256
from edge_rnn.equations.graph import NAME
from edge_rnn.errors import FileError, InputError, InputTypeError, ModelError, file_error, no_regular_file
from edge_rnn.formats import FORMATS
from edge_rnn.layers import LAYER_TYPES, Cell, Layer
from edge_rnn.model import Model
from edge_rnn.storage import hub
from edge_rnn.storage.budget import MAX_FILE_BYTES, Budget
from edge_rnn.storage.header import canonical_json, check_record, fits, parse_json, spell_type, tensor_dtypes
from edge_rnn.typing import AnyArray, array_dtype

__all__ = ["MAX_FILE_BYTES", "MAX_HEADER_BYTES", "MAX_LAYERS", "MAX_VALUES", "VERSION", "load", "load_local", "save"]

VERSION = 3
"""Latest version of the layout; all are read."""

MAX_HEADER_BYTES = 2**20
"""Largest safetensors header in bytes: names, shapes and metadata."""

MAX_LAYERS = 1000
"""Maximum number of layers of a model in a file."""

MAX_VALUES = 2**24
"""Maximum number of values that a model's layers read and write in one step: Add has no weights to prove its length."""

_MODEL: dict[str, Any] = {
    "version": int,
    "sha256": str,
    "name": str,
    "labels": list[str],
    "sample_rate_hz": float | None,
    "input_names": list[str],
    "input_units": list[str],
    "input_size": int,
    "layers": list[dict[str, Any]],
}
_MODEL_WITH_VOCABULARY = _MODEL | {"vocabulary": list[str]}
_LAYER: dict[str, Any] = {"kind": str, "name": str, "inputs": list[str], "options": dict[str, Any], "arrays": list[str]}
_LAYER_2 = _LAYER | {"formats": dict[str, Any]}
_FORMAT: dict[str, Any] = {"format": str, "options": dict[str, Any]}
_CELL: dict[str, Any] = {"function": str, "equation": dict[str, Any], "numbers": dict[str, Any]}
_PARAMETER = re.compile(rf"(start\.)?{NAME.pattern}")


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write ``model`` to ``path``, by convention ``*.safetensors``; equal models give equal bytes.

    The model is written to a temporary file in the same folder, read back, and renamed, so that ``path`` never holds an
    incomplete model; an existing file is replaced atomically or left unchanged.

    Raises
    ------
    InputError
        Not a model or not a path; or the model exceeds the limits of :func:`load`.
    FileError
        The folder is missing, not writable or full; the path is a folder or a device.

    Examples
    --------
    >>> from edge_rnn import Dense, Model, load, save
    >>> save(Model([Dense([[2.0]])], labels=("level",)), "model.safetensors")
    >>> load("model.safetensors").labels
    ('level',)
    """
    if not isinstance(model, Model):
        raise InputTypeError(f"save got {type(model).__name__}, expected a Model: save(model, path).")
    _path(path, "save")
    hub.check_target(path)
    write(path, _encode(model))


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model that :func:`save` wrote, from a file or from an address on the Hub: :mod:`edge_rnn.storage.hub`.

    Raises
    ------
    InputError
        Not a path.
    FileError
        The file is missing, unreadable, not a safetensors file, truncated, damaged, of an unknown version, beyond the
        limits of this module, or does not describe a model.

    Examples
    --------
    >>> import edge_rnn
    >>> edge_rnn.load(edge_rnn.data_path("smart_watch/gru.safetensors")).sample_rate_hz
    10.0
    """
    return load_local(hub.local_file(_path(path, "load")), path)


def load_local(source: Path, path: str | os.PathLike[str]) -> Model:
    """Read a model from a file on this machine, which errors call ``path``: see :func:`load`."""
    try:
        if stat.S_ISREG(source.stat().st_mode):
            with source.open("rb") as file:
                return _decode(file, os.fstat(file.fileno()).st_size)
    except (FileError, ModelError) as error:
        from edge_rnn.storage.file_kind import not_a_model  # rarely needed

        detail = not_a_model(source) or str(error).rstrip(".")
        raise FileError(f"{path}: {detail if len(detail) < 500 else detail[:500] + ' …'}.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise file_error(error, path) from None
    raise no_regular_file(f"{path}: is a folder or a device; expected a .safetensors file.", path)


def _kinds() -> Mapping[str, type[Layer]]:
    """Classes of layers that files hold."""
    return {**LAYER_TYPES, "Cell": Cell}


def _path(path: str | os.PathLike[str], call: str) -> str | os.PathLike[str]:
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise InputTypeError(f"{call} got {type(path).__name__} as the path, expected a str or a pathlib.Path.")
    return path


def _encode(model: Model) -> bytes:
    for layer in model.layers:
        if _kinds().get(layer.kind) is not type(layer):
            raise InputError(f"save cannot store {layer.title}; files hold layers of {', '.join(_kinds())}.")
    tensors = {f"{layer.name}.{key}": array for layer in model.layers for key, array in layer.arrays.items()}
    formats = {layer.name: layer.formats for layer in model.layers if layer.formats}
    for name, own in formats.items():
        tensors |= {f"{name}.{key}.{part}": array for key, m in own.items() for part, array in m.arrays.items()}
    description: dict[str, Any] = {key: getattr(model, key) for key in _MODEL if hasattr(model, key)}
    version = 2 if formats or model.vocabulary else 1
    if any(isinstance(layer, Cell) for layer in model.layers):
        version = VERSION
    description["version"] = version
    if model.vocabulary:
        description["vocabulary"] = model.vocabulary
    description["layers"] = [
        {"kind": each.kind, "name": each.name, "inputs": each.inputs, "options": each.options, "arrays": [*each.arrays]}
        for each in model.layers
    ]
    if version > 1:
        for record, layer in zip(description["layers"], model.layers, strict=True):
            record["formats"] = {
                name: {"format": matrix.format, "options": matrix.options} for name, matrix in layer.formats.items()
            }
    try:
        description["sha256"] = _digest(description, tensors)
        data = safetensors.numpy.save(tensors, {"edge_rnn": canonical_json(description)})
        _decode(io.BytesIO(data), len(data))
    except (ValueError, TypeError, SafetensorError) as error:  # beyond a limit, not plain, not Unicode
        raise InputError(f"save cannot store this model: {str(error).rstrip('.')}.") from None
    return data


def _decode(file: BinaryIO, size: int) -> Model:
    if not 8 <= size <= MAX_FILE_BYTES:
        raise FileError(f"is not a model: it has {size} bytes, expected 8 to {MAX_FILE_BYTES}")
    header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > min(size - 8, MAX_HEADER_BYTES):
        raise FileError(
            f"is truncated or not a safetensors file: its header claims {header_bytes} bytes, expected at most "
            f"{min(size - 8, MAX_HEADER_BYTES)}"
        )
    header = parse_json(file.read(header_bytes), "header")
    stored = tensor_dtypes(header, size - 8 - header_bytes)
    description = _description(header)
    expected = _LAYER_2 if description["version"] > 1 else _LAYER
    layers = [_layer_fields(record, expected) for record in description["layers"]]
    _check_tensors({name: dtype for _, dtypes in layers for name, dtype in dtypes.items()}, stored)
    file.seek(0)
    try:
        tensors = safetensors.numpy.load(file.read(size))
    except (SafetensorError, KeyError, ValueError) as error:
        raise FileError(f"is not a safetensors file: {error}") from None
    if _digest(description, tensors) != description["sha256"]:
        raise FileError("is damaged: its sha256 does not match its contents; get or save the file again")
    return _model(description, [cls for cls, _ in layers], tensors, size)


def _description(header: Mapping[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get("edge_rnn") if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise FileError("holds tensors but no model: its metadata has no 'edge_rnn'; expected a file that save wrote")
    description: dict[str, Any] = parse_json(text, "metadata")
    version = description.get("version") if isinstance(description, dict) else None
    if type(version) is not int or not 1 <= version <= VERSION:
        raise FileError(f"has version {reprlib.repr(version)}, expected 1 to {VERSION}; a later edge_rnn may read it")
    with_vocabulary = version > 1 and "vocabulary" in description
    check_record("metadata", description, _MODEL_WITH_VOCABULARY if with_vocabulary else _MODEL)
    if len(description["layers"]) > MAX_LAYERS:
        raise FileError(f"has {len(description['layers'])} layers, expected at most {MAX_LAYERS}")
    return description


def _layer_fields(record: dict[str, Any], expected: Mapping[str, Any]) -> tuple[type[Layer], dict[str, np.dtype[Any]]]:
    """Check a layer's record against its class; return the class and the dtypes of its tensors by full name."""
    check_record("layer", record, expected)
    cls = _kinds().get(record["kind"])
    title = f"layer {record['name']!r}"
    if cls is None:
        raise FileError(f"{title} is of the kind {record['kind']!r}, expected one of {', '.join(_kinds())}")
    if not record["name"]:
        raise FileError(f"has a {record['kind']} without a name, expected one")
    if cls is Cell:
        return cls, _cell_fields(title, record)
    hints = get_type_hints(cls)
    own = {f.name: f for f in fields(cls) if f.name not in Layer.__dataclass_fields__}
    dtypes = {name: dtype for name in own if (dtype := array_dtype(hints[name])) is not None}
    options = record["options"]
    if unknown := [name for name in record["arrays"] if name not in dtypes]:
        raise FileError(f"{title} has the unknown array {unknown[0]!r}, expected one of {', '.join(dtypes)}")
    for name, value in options.items():
        if name not in own or name in dtypes:
            allowed = ", ".join(key for key in own if key not in dtypes) or "none"
            raise FileError(f"{title} has the unknown option {name!r}, expected for {record['kind']}: {allowed}")
        if not fits(value, hints[name]):
            raise FileError(f"{title} {name} got {reprlib.repr(value)}, expected {spell_type(hints[name])}")
    formatted = _format_fields(cls, title, record)
    for name, f in own.items():
        given = name in record["arrays"] or name in options or name in record.get("formats", {})
        if not given and f.default is MISSING and f.default_factory is MISSING:
            raise FileError(f"{title} has no {name}, which {record['kind']} requires")
    return cls, {f"{record['name']}.{name}": dtypes[name] for name in record["arrays"]} | formatted


def _cell_fields(title: str, record: dict[str, Any]) -> dict[str, np.dtype[Any]]:
    """Dtypes by full name of the tensors of a cell; whether its equation reads them is found out where it is made."""
    check_record(f"{title} options", record["options"], _CELL)
    names = [*record["arrays"], *record.get("formats", {})]
    if len(set(names)) < len(names) or not all(_PARAMETER.fullmatch(name) for name in names):
        raise FileError(f"{title} has the parameters {reprlib.repr(names)}, expected names that all differ")
    dtypes = {f"{record['name']}.{name}": np.dtype(np.float32) for name in record["arrays"]}
    return dtypes | _format_fields(Cell, title, record)


def _format_fields(cls: type[Layer], title: str, record: dict[str, Any]) -> dict[str, np.dtype[Any]]:
    """Check records of non-float32 matrices against their formats; return their tensors' dtypes by full name."""
    dtypes: dict[str, np.dtype[Any]] = {}
    for name, entry in record.get("formats", {}).items():
        if (cls is not Cell and name not in cls.matrices) or name in record["arrays"]:
            raise FileError(f"{title} has a format for {name!r}, expected one of {', '.join(cls.matrices) or 'none'}")
        check_record(f"{title} {name}", entry, _FORMAT)
        matrix = FORMATS.get(entry["format"])
        if matrix is None:
            raise FileError(
                f"{title} {name} has the format {reprlib.repr(entry['format'])}, expected one of {', '.join(FORMATS)}"
            )
        hints = {key: hint for key, hint in get_type_hints(matrix).items() if get_origin(hint) is not ClassVar}
        options = {key: hint for key, hint in hints.items() if key not in matrix.dtypes}
        check_record(f"{title} {name} options", entry["options"], options)
        dtypes |= {f"{record['name']}.{name}.{part}": np.dtype(dtype) for part, dtype in matrix.dtypes.items()}
    return dtypes


def _check_tensors(expected: Mapping[str, np.dtype[Any]], stored: Mapping[str, np.dtype[Any]]) -> None:
    if missing := sorted(expected.keys() - stored.keys()):
        raise FileError(f"has no tensor {missing[0]!r}, which its metadata names")
    if extra := sorted(stored.keys() - expected.keys()):
        raise FileError(f"has the tensor {extra[0]!r}, which its metadata does not name")
    for name, dtype in expected.items():
        if stored[name] != dtype:
            raise FileError(f"tensor {name!r} has dtype {stored[name]}, expected {dtype}")


def _model(
    description: dict[str, Any], classes: list[type[Layer]], tensors: Mapping[str, AnyArray], stored_bytes: int
) -> Model:
    layers = []
    for cls, record in zip(classes, description["layers"], strict=True):
        arrays: dict[str, Any] = {key: tensors[f"{record['name']}.{key}"] for key in record["arrays"]}
        for key, entry in record.get("formats", {}).items():
            matrix = FORMATS[entry["format"]]
            parts = {part: tensors[f"{record['name']}.{key}.{part}"] for part in matrix.dtypes}
            arrays[key] = matrix(**parts, **entry["options"])
        layers.append(_layer(cls, record, arrays))
    texts = {key: description[key] for key in ("name", "labels", "input_names", "input_units")}
    size = description["input_size"]
    if not 0 < size <= MAX_VALUES:
        raise FileError(f"has input_size {size}, expected 1 to {MAX_VALUES}")
    texts["vocabulary"] = description.get("vocabulary", ())
    model = Model(layers, input_size=size, sample_rate_hz=description["sample_rate_hz"], **texts)
    sizes = (*model.output_sizes, size)  # model.sources refers to the sample as -1
    values = sum(sizes) + sum(sizes[place] for reads in model.sources for place in reads)
    values += sum(node.shape[0] for each in layers if isinstance(each, Cell) for node in each.graph.nodes if node.shape)
    if values > MAX_VALUES:
        raise FileError(f"has layers that read and write {values} values in a step, expected at most {MAX_VALUES}")
    stands_for = sum(matrix.size for layer in layers for matrix in layer.formats.values())
    Budget.of_file(stored_bytes).take("is out of proportion: as float32 its matrices", 4 * stands_for)
    return model


def _layer(cls: type[Layer], record: Mapping[str, Any], arrays: Mapping[str, Any]) -> Layer:
    return cls.of_options(record["options"], arrays, name=record["name"], inputs=tuple(record["inputs"]))


def _digest(description: Mapping[str, Any], tensors: Mapping[str, AnyArray]) -> str:
    """SHA-256 in hex of the description, without its ``sha256``, and of the tensors as stored in a file."""
    described = canonical_json({key: value for key, value in description.items() if key != "sha256"})
    digest = sha256(described.encode(), sum(array.nbytes for array in tensors.values()))
    for name, array in sorted(tensors.items()):
        digest.update(f"\0{name} {array.dtype} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
