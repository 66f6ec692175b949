"""Import a network from a file of another framework: recognize the kind, run its reader, and check the result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn.registry import Registry
from edge_rnn.spelling import listed
from edge_rnn.storage.file_kind import MODEL_FILE, kind_of
from edge_rnn_export.readers.registry import ABOUT, Reader, conflict, takers_of_options

__all__ = ["READERS", "Imported", "import_file"]

_FOLDERS = {
    "PyTorch state_dict": "torch",
    "JSON": "json",
    "RNNoise": "rnnoise",
    "TFLite": "tflite",
    "Keras": "keras",
    "ONNX": "onnx",
}

READERS = Registry(
    "edge_rnn.readers",
    "reader",
    Reader,
    {kind: f"edge_rnn_export.readers.{folder}:READER" for kind, folder in _FOLDERS.items()},
    lambda reader: (reader.kind,),
    conflict,
)
"""Readers by kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """An imported network.

    Parameters
    ----------
    model
        The network.
    kind
        Kind of the file, a key of :data:`READERS`.
    checked
        Description of the check with its largest error; empty if the file has nothing to compare with.
    unchecked
        Reason why a possible check was not made; empty otherwise.
    """

    model: Model
    kind: str
    checked: str = ""
    unchecked: str = ""


def import_file(path: str | PathLike[str], **options: Any) -> Imported:
    """Read a network from a file; its kind follows from its contents or, failing that, from its file name extension.

    Parameters
    ----------
    options
        ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units`` of the Model, and the options of the
        reader; see :class:`~edge_rnn_export.readers.registry.Reader`.

    Raises
    ------
    InputError
        The kind is unknown, or it does not support an option.
    FileError
        The file is missing, or contains no network.
    ModelError, UnsupportedError
        See the readers.
    """
    reader = _reader_of(Path(path))
    options = {name: value for name, value in options.items() if value is not None}
    _refuse_foreign(reader, options, path)
    read = reader.read(Path(path), **options)
    model: Model = getattr(read, "model", read)
    if reader.check is None:
        return Imported(model, reader.kind)
    try:
        return Imported(model, reader.kind, checked=reader.check(read, Path(path)))
    except UnsupportedError as reason:
        return Imported(model, reader.kind, unchecked=str(reason))


def _refuse_foreign(reader: Reader, given: Iterable[str], path: str | PathLike[str]) -> None:
    """Raise InputError for options of other readers only; the message names all that belong to the same ones."""
    foreign = {*given} - {*ABOUT, *(option.name for option in reader.options)}
    if not foreign:
        return
    takers = takers_of_options(READERS.unique())
    kinds = next((kinds for option, kinds in takers.items() if option.name in foreign), ())
    flags = [option.flag for option, each in takers.items() if each == kinds and option.name in foreign]
    if not flags:
        raise TypeError(f"import_file got the option {min(foreign)!r}, which no reader has.")
    raise InputError(f"import got {' and '.join(flags)} with {path}: that option is only for {listed(kinds)}.")


def _reader_of(path: Path) -> Reader:
    """Return the reader chosen by the first bytes of the file or, if these are inconclusive, by the file name."""
    found = kind_of(path)
    if found is MODEL_FILE:
        raise FileError(f"{path}: is a model file of edge_rnn already; edge-rnn inspect shows what is in it.")
    readers = READERS.unique()
    recognized = next((each for each in readers if each.recognize is not None and each.recognize(path)), None)
    if recognized is not None:
        return recognized
    if found is not None and found.reader:
        return next(each for each in readers if each.kind == found.reader)
    named = next((each for each in readers if path.suffix.lower() in each.suffixes), None)
    if found is not None and found.sure and (named is None or named in READERS.own()):
        kinds = ", ".join(each.kind for each in readers)
        remedy = f" {found.remedy[0].upper()}{found.remedy[1:]}." if found.remedy else ""
        raise FileError(f"{path}: is {found.what}, expected a trained network: {kinds}.{remedy}")
    if named is None:
        known = ", ".join(suffix for each in readers for suffix in each.suffixes)
        what = f", which is {found.what}" if found else ""
        faults = "".join(f" {fault[0].upper()}{fault[1:]}" for fault in READERS.contents().faults)
        raise InputError(f"import got {path}{what}; expected a file whose name ends in one of {known}.{faults}")
    return named
