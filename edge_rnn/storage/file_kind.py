"""Recognize kinds of files by their contents, to explain what an unexpected file is and what to do with it."""

from __future__ import annotations

import json
import re
import shlex
import stat
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_rnn.errors import FileError, file_access, no_regular_file

__all__ = [
    "ARRAYS_FILE",
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
"""Longest header of a .safetensors file, in bytes, that is inspected."""
_TENSOR_KEYS = {"dtype", "shape", "data_offsets"}
_ONNX_FIELDS = {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72}
"""Tags of the fields of an ONNX ModelProto that may follow ``ir_version``, which comes first."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """Kind of a file.

    Parameters
    ----------
    what
        Description: ``"an ONNX graph"``.
    reader
        Name of the kind in ``edge-rnn import``; empty if it cannot read it.
    binary
        True if it is not text, and so cannot be lines of samples.
    remedy
        Advice on other uses of the file; empty if there is none.
    sure
        True if the kind is certain: no reader will read a network from it.
    """

    what: str
    reader: str = ""
    binary: bool = True
    remedy: str = ""
    sure: bool = False


_RECORDING = "pass it as the recording, after a model file"
TORCH_FILE = FileKind("a PyTorch file, as torch.save writes it", "PyTorch state_dict")
_KERAS = FileKind("a Keras model", "Keras")
MODEL_FILE = FileKind("a model file of edge_rnn")
ORT_FILE = FileKind(
    "a graph in onnxruntime's own format", remedy="import the .onnx file that it was made from", sure=True
)
TENSORS_FILE = FileKind("a .safetensors file with tensors only, such as a PyTorch state_dict", "PyTorch state_dict")

ARRAYS_FILE = FileKind("NumPy arrays (.npz)", "PyTorch state_dict", remedy=_RECORDING)

_TENSORFLOW = (
    "convert it on a machine with TensorFlow, python -m tf2onnx.convert --graphdef (or --saved-model), and import the "
    ".onnx file"
)
GRAPH_DEF = FileKind("a frozen graph of TensorFlow 1 (GraphDef)", remedy=_TENSORFLOW, sure=True)
SAVED_MODEL = FileKind("the graph of a TensorFlow SavedModel", remedy=_TENSORFLOW, sure=True)

_STARTS: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", _KERAS),
    (4, b"TFL3", FileKind("a TFLite model", "TFLite")),
    (4, b"ORTM", ORT_FILE),
    (0, b"rnnoise-nu model file version", FileKind("an RNNoise network", "RNNoise")),
    (0, b"\x93NUMPY", FileKind("a NumPy array", remedy=_RECORDING, sure=True)),
    (0, b"\x89PNG", FileKind("a picture (PNG)", sure=True)),
    (0, b"\xff\xd8\xff", FileKind("a picture (JPEG)", sure=True)),
    (0, b"GIF8", FileKind("a picture (GIF)", sure=True)),
    (0, b"%PDF", FileKind("a PDF document", sure=True)),
    (0, b"\x1f\x8b", FileKind("compressed by gzip", remedy="decompress it first: gunzip", sure=True)),
    (
        0,
        b"\x7fELF",
        FileKind("a library or a program", remedy="libraries made by edge-rnn build have their own loader", sure=True),
    ),
    (8, b"WAVE", FileKind("a WAV recording", remedy="pass it as --source wav:FILE", sure=True)),
    (0, b"GGUF", FileKind("a GGUF model of llama.cpp, which is not a recurrent network", sure=True)),
    (
        0,
        b"version https://git-lfs",
        FileKind("a Git LFS pointer, not the file itself", remedy="git lfs pull fetches it", sure=True),
    ),
)
_ZIPS: tuple[tuple[str, FileKind], ...] = (
    ("data.pkl", TORCH_FILE),
    ("data/weights/model_weights_config.json", TORCH_FILE),
    ("serialized_state_dict.pt", TORCH_FILE),
    ("model.weights.h5", _KERAS),
    (".npy", ARRAYS_FILE),
)


def kind_of(path: Path) -> FileKind | None:
    """Return the kind of a file from its first bytes; None if it is unknown.

    Raises
    ------
    FileError
        The file is missing, not a regular file, or not readable.
    """
    with file_access(path):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise no_regular_file(f"{path}: is a folder or a device, expected a file.", path)
        if not found.st_size:
            return FileKind("empty", remedy="copy or save it again")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    if head[:4] == b"PK\x03\x04":
        return _zip(path)
    for place, start, kind in _STARTS:
        if head[place : place + len(start)] == start:
            return kind
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        legacy = head[2:].startswith(b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19")  # torch.save before it wrote zip files
        return TORCH_FILE if legacy else FileKind("a Python pickle, which could run code and is refused")
    if head[:3] == b"\x08\x01\x12":  # schema version 1; ONNX is at version 3 or later here
        return SAVED_MODEL
    if _is_graph_def(head):
        return GRAPH_DEF
    tensors = _safetensors(path, found.st_size)
    if tensors is None and head[:1] == b"\x08" and len(head) > 2 and head[1] < 0x40 and head[2] in _ONNX_FIELDS:
        return FileKind("an ONNX graph", "ONNX")
    return tensors or _text(head)


def not_a_model(path: Path) -> str:
    """Describe a file that is not a model file, and what to do, as the end of a sentence; empty if unknown."""
    try:
        kind = kind_of(path)
    except FileError:
        return ""
    if kind is None or kind is MODEL_FILE:
        return ""
    if kind.reader and not kind.remedy:
        return f"is {kind.what}, not a model file of edge_rnn. This converts it: {import_command(path)}"
    return f"is {kind.what}, expected a model file of edge_rnn{'; ' if kind.remedy else ''}{kind.remedy}"


def import_command(path: Path) -> str:
    """Return the command that converts a file of another framework to a model file."""
    output = path.with_suffix(".safetensors").name
    if output == path.name:
        output = f"{path.stem}_model.safetensors"
    return f"edge-rnn import {shlex.quote(str(path))} -o {shlex.quote(output)}"


def check_samples(path: Path) -> None:
    """Refuse a file that cannot be lines of samples.

    Raises
    ------
    FileError
        The file is missing or not readable; or it is a model, a picture, or anything else but text.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a pipe or a device, which must not be read ahead
    kind = kind_of(path)
    if kind is not None and kind.binary and kind.what != "empty":
        hint = kind.remedy if kind.remedy and kind.remedy != _RECORDING else "the model comes first, then the recording"
        raise FileError(f"{path}: is {kind.what}, expected lines of samples, CSV or JSON; {hint}.")


def _zip(path: Path) -> FileKind:
    names: list[str] = []
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # damaged: then it is described as a zip archive
        names = archive.namelist()[:1000]
    for end, kind in _ZIPS:
        if any(name.endswith(end) for name in names):
            return kind
    return FileKind("a zip archive", remedy="extract it, and pass the file inside")


def _safetensors(path: Path, size: int) -> FileKind | None:
    """Recognize a whole .safetensors file by its header: edge_rnn's own or another; None for an invalid header."""
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


def _is_graph_def(head: bytes) -> bool:
    """True if the first field is a node: a message with a name and the name of an operator."""
    match = re.match(rb"\n[\x80-\xff]{0,4}[\x00-\x7f]\n", head)
    if match is None:
        return False
    place, words = match.end() - 1, []
    for tag in (b"\n", b"\x12"):
        length = (head[place + 1 : place + 2] or b"\0")[0]
        words.append(head[place + 2 : place + 2 + length])
        if head[place : place + 1] != tag or not 0 < length < 128 or len(words[-1]) < length:
            return False
        place += 2 + length
    return words[0].isascii() and re.fullmatch(rb"[A-Z][A-Za-z0-9_]*", words[1]) is not None


def _text(head: bytes) -> FileKind | None:
    """Recognize the kind of a text; None for bytes that are not text."""
    try:
        text = head.decode("utf-8").lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not a character truncated at the end of the head
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
    return FileKind("text, like recordings", binary=False, remedy=_RECORDING)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
