"""Kinds of files, told by what is in them: what a file is that was taken for something else, and what to do with it."""

from __future__ import annotations

import json
import shlex
import stat
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_rnn.errors import FileError, file_access, no_regular_file

__all__ = [
    "MODEL_FILE",
    "ORT_FILE",
    "TENSORS_FILE",
    "TORCH_FILE",
    "FileKind",
    "check_samples",
    "import_command",
    "kind_of",
    "not_a_model",
]

_HEAD_BYTES = 4096
_HEADER_BYTES = 2**20
"""Longest header of a .safetensors file that is looked into."""
_TENSOR_KEYS = {"dtype", "shape", "data_offsets"}
_ONNX_FIELDS = {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72}
"""Tags of the fields of an ONNX ModelProto that may follow ``ir_version``, which comes first."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is.

    Parameters
    ----------
    what
        In words: ``"an ONNX graph"``.
    reader
        What ``edge-rnn import`` calls the kind, empty where it does not read it.
    binary
        Whether it is no text, and so no lines of samples.
    remedy
        What else to do with it, in words; empty where there is nothing to say.
    sure
        Whether it is nothing else: no reader will make a network of it.
    """

    what: str
    reader: str = ""
    binary: bool = True
    remedy: str = ""
    sure: bool = False


_RECORDING = "give it as the recording, behind a model file"
TORCH_FILE = FileKind("a PyTorch file, as torch.save writes it", "PyTorch state_dict")
_KERAS = FileKind("a Keras model", "Keras")
MODEL_FILE = FileKind("a model file of edge_rnn")
ORT_FILE = FileKind("a graph in onnxruntime's own format", remedy="import the .onnx file that it is of", sure=True)
TENSORS_FILE = FileKind("a .safetensors file of tensors alone, such as a PyTorch state_dict", "PyTorch state_dict")

_STARTS: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", _KERAS),
    (4, b"TFL3", FileKind("a TFLite model", "TFLite")),
    (4, b"ORTM", ORT_FILE),
    (0, b"\x93NUMPY", FileKind("a NumPy array", remedy=_RECORDING, sure=True)),
    (0, b"\x89PNG", FileKind("a picture (PNG)", sure=True)),
    (0, b"\xff\xd8\xff", FileKind("a picture (JPEG)", sure=True)),
    (0, b"GIF8", FileKind("a picture (GIF)", sure=True)),
    (0, b"%PDF", FileKind("a PDF document", sure=True)),
    (0, b"\x1f\x8b", FileKind("compressed by gzip", remedy="unpack it first: gunzip", sure=True)),
    (
        0,
        b"\x7fELF",
        FileKind("a library or a program", remedy="what edge-rnn build made comes with a loader of its own", sure=True),
    ),
    (8, b"WAVE", FileKind("a WAV recording", remedy="give it as --source wav:FILE", sure=True)),
    (0, b"GGUF", FileKind("a GGUF model of llama.cpp, which is no recurrent network", sure=True)),
    (
        0,
        b"version https://git-lfs",
        FileKind("a Git LFS pointer, not the file itself", remedy="git lfs pull fetches it", sure=True),
    ),
)
_ZIPS: tuple[tuple[str, FileKind], ...] = (
    ("data.pkl", TORCH_FILE),
    ("model.weights.h5", _KERAS),
    (".npy", FileKind("NumPy arrays (.npz)", remedy=_RECORDING, sure=True)),
)


def kind_of(path: Path) -> FileKind | None:
    """What a file is, by its first bytes; None if that says nothing.

    Raises
    ------
    FileError
        It is missing, not a file, or may not be read.
    """
    with file_access(path):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise no_regular_file(f"{path}: is a folder or a device, expected a file.", path)
        if not found.st_size:
            return FileKind("empty", remedy="copy or save it anew")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    if head[:4] == b"PK\x03\x04":
        return _zip(path)
    for place, start, kind in _STARTS:
        if head[place : place + len(start)] == start:
            return kind
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        legacy = head[2:].startswith(b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19")  # torch.save before its zip files
        return TORCH_FILE if legacy else FileKind("a Python pickle, which could run code and is not read")
    tensors = _safetensors(path, found.st_size)
    if tensors is None and head[:1] == b"\x08" and len(head) > 2 and head[1] < 0x40 and head[2] in _ONNX_FIELDS:
        return FileKind("an ONNX graph", "ONNX")
    return tensors or _text(head)


def not_a_model(path: Path) -> str:
    """What a file is that is no model file, and what to do, as the end of a sentence; empty if that is not known."""
    try:
        kind = kind_of(path)
    except FileError:
        return ""
    if kind is None or kind is MODEL_FILE:
        return ""
    if kind.reader:
        return f"is {kind.what}, not a model file of edge_rnn. This makes one of it: {import_command(path)}"
    return f"is {kind.what}, expected a model file of edge_rnn{'; ' if kind.remedy else ''}{kind.remedy}"


def import_command(path: Path) -> str:
    """The command that makes a model file of a file from elsewhere."""
    output = path.with_suffix(".safetensors").name
    if output == path.name:
        output = f"{path.stem}_model.safetensors"
    return f"edge-rnn import {shlex.quote(str(path))} -o {shlex.quote(output)}"


def check_samples(path: Path) -> None:
    """Refuse what cannot be lines of samples.

    Raises
    ------
    FileError
        The file is missing or may not be read; or it is a model, a picture, anything but text.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a pipe or a device, of which nothing may be read ahead
    kind = kind_of(path)
    if kind is not None and kind.binary and kind.what != "empty":
        hint = kind.remedy if kind.remedy and kind.remedy != _RECORDING else "the model comes first, then the recording"
        raise FileError(f"{path}: is {kind.what}, expected lines of samples, CSV or JSON; {hint}.")


def _zip(path: Path) -> FileKind:
    names: list[str] = []
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # damaged in whatever way: then it is a zip archive
        names = archive.namelist()[:1000]
    for end, kind in _ZIPS:
        if any(name.endswith(end) for name in names):
            return kind
    return FileKind("a zip archive", remedy="unpack it, and give the file that is meant")


def _safetensors(path: Path, size: int) -> FileKind | None:
    """A whole .safetensors file, by its header: one of ours, or somebody else's; None for a header with a fault."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _HEADER_BYTES):
            return None
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    metadata = header.pop("__metadata__", None)
    if isinstance(metadata, dict) and "edge_rnn" in metadata:
        return MODEL_FILE
    whole = all(isinstance(each, dict) and each.keys() == _TENSOR_KEYS for each in header.values())
    return TENSORS_FILE if header and whole else None


def _text(head: bytes) -> FileKind | None:
    """Text of some kind; None for bytes that are none."""
    try:
        text = head.decode("utf-8").lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not a letter that the head ends in
            return None
        text = head[: error.start].decode("utf-8").lstrip("\ufeff \t\r\n")
    if any(ord(letter) < 32 and letter not in "\t\r\n\f" for letter in text):
        return None
    if text[:9].lower() in ("<!doctype", "<html") or text[:5].lower() == "<html":
        return FileKind("a web page", "", False, "download the file itself, not the page about it", sure=True)
    first = text.partition("\n")[0].strip()
    if text[:1] == "{" and not _is_json(first):
        return FileKind("JSON", "JSON", binary=False)
    if text[:1] == "{":
        network = any(
            f'"{key}"' in first for key in ("layers", "architecture", "model", "config", "weights", "state_dict")
        )
        if network:
            return FileKind("JSON", "JSON", binary=False)
    return FileKind("text, as recordings are", binary=False, remedy=_RECORDING)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
