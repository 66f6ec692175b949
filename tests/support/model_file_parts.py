"""Helpers of storage tests."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from edge_rnn.errors import FileError
from edge_rnn.storage import model_file
from edge_rnn.storage.model_file import load
from model_files import (
    HUGE,
)

# Files made by hand.


@dataclass
class Parts:
    """Parts of a model file: header as JSON, description as JSON, data."""

    header: dict[str, Any]
    description: dict[str, Any]
    data: bytes

    @property
    def layer(self) -> dict[str, Any]:
        layer: dict[str, Any] = self.description["layers"][0]
        return layer

    def bytes(self, *, sign: bool = True) -> bytes:
        """Put it together, by default with the sha256 that belongs to it."""
        plain = {name: entry for name, entry in self.header.items() if name != "__metadata__"}
        if sign:
            try:
                tensors = safetensors.numpy.load(pack(plain, self.data))
                self.description["sha256"] = model_file._digest(self.description, tensors)
            except Exception:
                pass  # it is meant to be refused before that
        metadata = {"__metadata__": {"edge_rnn": json.dumps(self.description)}}
        return pack(metadata | plain, self.data)


def pack(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def take_apart(data: bytes) -> Parts:
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    return Parts(header, json.loads(header.pop("__metadata__")["edge_rnn"]), data[end:])


def refusal(data: bytes, folder: Path) -> str:
    """Message of the FileError that load raises; checks that it is one or two sentences about this file."""
    path = folder / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(FileError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 600 + len(str(path))
    assert caught.value.__cause__ is None
    return message


def entry(dtype: str, shape: list[Any], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def edited(change: Callable[[Parts], object]) -> Callable[[Parts], bytes]:
    def make(parts: Parts) -> bytes:
        change(parts)
        return parts.bytes()

    return make


def put(name: str, value: Any) -> Callable[[Parts], bytes]:
    """Set a place of the description: "layers.0.kind"."""

    def make(parts: Parts) -> bytes:
        *way, last = (int(key) if key.isdigit() else key for key in name.split("."))
        target: Any = parts.description
        for key in way:
            target = target[key]
        target[last] = value
        return parts.bytes()

    return make


def retype(parts: Parts) -> None:
    parts.header["gru1.bias_ih"]["dtype"] = "I32"


def reshape(parts: Parts) -> None:
    parts.header["dense2.weight"]["shape"] = [3, 2]


def poison(parts: Parts) -> None:
    begin = parts.header["gru1.weight_ih"]["data_offsets"][0]
    parts.data = parts.data[: begin + 4] + struct.pack("<f", np.nan) + parts.data[begin + 8 :]


def rename(old: str, new: str) -> Callable[[Parts], bytes]:
    return edited(lambda parts: parts.header.__setitem__(new, parts.header.pop(old)))


def tell(name: str, key: str, value: Any) -> Callable[[Parts], bytes]:
    return edited(lambda parts: parts.header[name].__setitem__(key, value))


def add_layers(count: int) -> Callable[[Parts], bytes]:
    extra = {"kind": "Add", "inputs": ["dense2"] * 2, "options": {}, "arrays": []}
    return edited(lambda p: p.description["layers"].extend({**extra, "name": f"a{i}"} for i in range(count)))


def wide_add(size: int, inputs: int) -> Callable[[Parts], bytes]:
    """File without weights that claims a long sample."""

    def make(parts: Parts) -> bytes:
        layer = {"kind": "Add", "name": "sum", "inputs": ["input"] * inputs, "options": {}, "arrays": []}
        parts.description |= {"layers": [layer], "labels": [], "input_size": size}
        parts.header, parts.data = {}, b""
        return parts.bytes()

    return make


def no_layers(parts: Parts) -> bytes:
    parts.description |= {"layers": [], "labels": []}
    parts.header, parts.data = {}, b""
    return parts.bytes()


def bad_name(parts: Parts) -> bytes:
    parts.layer["name"] = "a b"
    parts.header = {name.replace("gru1", "a b"): tensor for name, tensor in parts.header.items()}
    return parts.bytes()


# What is wrong, how the file is made of a good one, what the message must say.
REFUSED: list[tuple[str, Callable[[Parts], bytes], str]] = [
    ("empty", lambda p: b"", "is empty, expected a model file"),
    ("seven bytes", lambda p: b"\x01234567"[:7], "it has 7 bytes, expected 8 to 1073741824"),
    ("text", lambda p: b"# a README, not a model\n" * 9, "is text, like recordings, expected a model"),
    (
        "header beyond file",
        lambda p: struct.pack("<Q", 2**40) + b"{}",
        "header claims 1099511627776 bytes, expected at most 2",
    ),
    ("header max", lambda p: struct.pack("<Q", 2**64 - 1) + b"{}", "header claims 18446744073709551615 bytes"),
    ("long header", lambda p: pack(b"{}" + b" " * 2**20), "header claims 1048578 bytes, expected at most 1048576"),
    ("no JSON", lambda p: pack(b"{]"), "its header is not JSON"),
    ("not UTF-8", lambda p: pack(b'{"\xff": 1}'), "its header is not JSON"),
    ("list", lambda p: pack([1]), "its header is a list, expected an object"),
    ("nested lists", lambda p: pack(b"[" * 500_000), "its header is not JSON"),
    ("nested objects", lambda p: pack(b'{"a":' * 150_000), "its header is not JSON"),
    ("endless number", lambda p: pack(b'{"a":' + b"9" * 500_000 + b"}"), "its header is not JSON"),
    ("NaN", lambda p: pack(b'{"a": NaN}'), "NaN is not a JSON number"),
    ("key twice", lambda p: pack(b'{"a": 1, "a": 2}'), "a key occurs twice"),
    ("many empty", lambda p: pack(b'{"a": [' + b"{}," * 300_000 + b"{}]}"), "tensor 'a' has "),
    ("no metadata", lambda p: pack(p.header, p.data), "tensors only, such as a PyTorch state_dict"),
    (
        "other metadata",
        lambda p: pack({"__metadata__": {"format": "pt"}, **p.header}, p.data),
        "is a .safetensors file with tensors",
    ),
    (
        "metadata list",
        lambda p: pack({"__metadata__": ["edge_rnn"], **p.header}, p.data),
        "is a .safetensors file with tensors",
    ),
    (
        "number",
        lambda p: pack({"__metadata__": {"edge_rnn": 1}, **p.header}, p.data),
        "has no 'edge_rnn'",
    ),
    (
        "metadata no JSON",
        lambda p: pack({"__metadata__": {"edge_rnn": "{"}, **p.header}, p.data),
        "its metadata is not JSON",
    ),
    (
        "metadata nested",
        lambda p: pack({"__metadata__": {"edge_rnn": "[" * 400_000}, **p.header}, p.data),
        "its metadata is not JSON",
    ),
    (
        "metadata array",
        lambda p: pack({"__metadata__": {"edge_rnn": "[1]"}, **p.header}, p.data),
        "has version None, expected 1 to 3",
    ),
    ("later version", put("version", 4), "has version 4, expected 1 to 3; a later edge_rnn may read it"),
    ("version text", put("version", "1"), "has version '1', expected 1 to 3"),
    ("version true", put("version", True), "has version True, expected 1 to 3"),
    ("no labels", edited(lambda p: p.description.pop("labels")), "metadata has ['input_names',"),
    ("extra key", put("colour", "red"), "expected the keys version, sha256, name"),
    ("label number", put("labels", [1, 2]), "metadata labels got [1, 2], expected list[str]"),
    ("one label", put("labels", ["rest"]), "Model labels got 1 text, expected 2"),
    ("half a pair", put("labels", ["\ud800", "b"]), "its metadata is not JSON"),
    ("rate text", put("sample_rate_hz", "10"), "sample_rate_hz got '10', expected float | None"),
    ("rate huge", put("sample_rate_hz", 10**400), "sample_rate_hz got 1000"),
    ("rate negative", put("sample_rate_hz", -1), "sample_rate_hz got -1, expected a positive number"),
    ("input_size true", put("input_size", True), "input_size got True, expected int"),
    ("input_size 0", put("input_size", 0), "has input_size 0, expected 1 to 16777216"),
    ("input_size negative", put("input_size", -3), "has input_size -3"),
    ("input_size other", put("input_size", 3), "GRU 'gru1' reads 3 values, expected 2"),
    ("input_size huge", wide_add(HUGE, 2), "has input_size 1000000000000000000000000000000, expected 1 to 16777216"),
    ("wide sum", wide_add(2**22, 100), "read and write 427819008 values in a step, expected at most 16777216"),
    ("many layers", add_layers(1000), "has 1002 layers, expected at most 1000"),
    ("no layers", no_layers, "Model got no layers; expected at least one"),
    ("layers text", put("layers", "GRU"), "metadata layers got 'GRU', expected list[dict"),
    ("layer text", put("layers.0", "GRU"), "metadata layers got ['GRU', "),
    ("layer without kind", edited(lambda p: p.layer.pop("kind")), "layer has ['arrays', 'inputs', 'name', 'options']"),
    (
        "unknown kind",
        put("layers.0.kind", "QRNN"),
        "layer 'gru1' is of the kind 'QRNN', expected one of Elman, LSTM, GRU",
    ),
    ("base kind", put("layers.0.kind", "Layer"), "is of the kind 'Layer', expected one of"),
    (
        "other kind",
        put("layers.0.kind", "LSTM"),
        "layer 'gru1' has the unknown option 'reset_after', expected for LSTM: gate_clip, coupled, cell_clip",
    ),
    ("kind list", put("layers.0.kind", ["GRU"]), "layer kind got ['GRU'], expected str"),
    ("unnamed", put("layers.0.name", ""), "has a GRU without a name"),
    ("bad name", bad_name, "GRU got the name 'a b'; expected a letter"),
    ("inputs text", put("layers.1.inputs", "gru1"), "layer inputs got 'gru1', expected list[str]"),
    (
        "inputs unknown",
        put("layers.1.inputs", ["gru9"]),
        "Dense 'dense2' inputs name 'gru9', which no earlier layer has",
    ),
    (
        "unknown option",
        put("layers.0.options.clip", 3),
        "layer 'gru1' has the unknown option 'clip', expected for GRU: gate_clip, reset_after",
    ),
    ("array as option", put("layers.0.options.h0", 3), "layer 'gru1' has the unknown option 'h0'"),
    ("name as option", put("layers.0.options.name", "a"), "layer 'gru1' has the unknown option 'name'"),
    ("option type", put("layers.0.options.reset_after", 1), "layer 'gru1' reset_after got 1, expected bool"),
    ("option null", put("layers.0.options.reset_after", None), "layer 'gru1' reset_after got None, expected bool"),
    (
        "option value",
        put("layers.1.options.activation", "selu"),
        "activation got 'selu', expected one of 'none', 'tanh'",
    ),
    ("option list", put("layers.1.options.activation", ["tanh"]), "activation got ['tanh'], expected str"),
    (
        "unknown array",
        put("layers.0.arrays", ["weights"]),
        "layer 'gru1' has the unknown array 'weights', expected one of",
    ),
    ("array twice", put("layers.1.arrays", ["weight", "weight", "x"]), "unknown array 'x'"),
    ("array left out", put("layers.0.arrays", ["weight_ih"]), "layer 'gru1' has no weight_hh, which GRU requires"),
    (
        "missing tensor",
        put("layers.0.arrays", ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "h0"]),
        "has no tensor 'gru1.h0'",
    ),
    (
        "extra tensor",
        put("layers.0.arrays", ["weight_ih", "weight_hh", "bias_ih"]),
        "has the tensor 'gru1.bias_hh', which its",
    ),
    ("renamed tensor", rename("gru1.bias_ih", "gru1.bias"), "has no tensor 'gru1.bias_ih', which its metadata names"),
    ("dtype", edited(retype), "tensor 'gru1.bias_ih' has dtype int32, expected float32"),
    ("shape", edited(reshape), "Dense 'dense2' bias got shape (2,), expected (3,)"),
    ("nan", edited(poison), "GRU 'gru1' weight_ih holds nan at (0, 1); expected finite"),
    (
        "unknown dtype",
        tell("gru1.bias_ih", "dtype", "BF16"),
        "tensor 'gru1.bias_ih' has dtype 'BF16', expected one of F64",
    ),
    ("small dtype", tell("gru1.bias_ih", "dtype", "F4"), "tensor 'gru1.bias_ih' has dtype 'F4'"),
    (
        "huge shape",
        tell("gru1.bias_ih", "shape", [2**62, 4]),
        "tensor 'gru1.bias_ih' has shape [4611686018427387904, 4]",
    ),
    ("overflow", tell("gru1.bias_ih", "shape", [2**32, 2**32]), "expected up to 8 lengths from 0 to"),
    ("negative shape", tell("gru1.bias_ih", "shape", [-9]), "tensor 'gru1.bias_ih' has shape [-9]"),
    ("fraction", tell("gru1.bias_ih", "shape", [9.0]), "tensor 'gru1.bias_ih' shape got [9.0], expected list[int]"),
    ("many lengths", tell("gru1.bias_ih", "shape", [1] * 9 + [9]), "expected up to 8 lengths"),
    ("empty", tell("gru1.bias_ih", "shape", [0]), "expected 0 bytes"),
    (
        "offsets",
        tell("gru1.bias_ih", "data_offsets", [0]),
        "tensor 'gru1.bias_ih' has the offsets [0], expected 36 bytes",
    ),
    (
        "far",
        tell("gru1.weight_ih", "data_offsets", [HUGE, HUGE + 72]),
        "begins at byte 1000000000000000000000000000000 of",
    ),
    ("backwards", tell("gru1.bias_ih", "data_offsets", [36, 0]), "has the offsets [36, 0], expected 36 bytes"),
    ("negative offsets", tell("gru1.bias_ih", "data_offsets", [-36, 0]), "begins at byte -36 of the data, expected 0"),
    (
        "overlap",
        tell("gru1.bias_ih", "data_offsets", [0, 36]),
        "tensor 'gru1.bias_ih' begins at byte 0 of the data, expected 8",
    ),
    (
        "entry",
        edited(lambda p: p.header.__setitem__("gru1.bias_ih", 3)),
        "tensor 'gru1.bias_ih' has 3, expected the keys",
    ),
    ("entry key", tell("gru1.bias_ih", "more", 1), "expected the keys dtype, shape, data_offsets"),
    ("cut", lambda p: p.bytes()[:-1], "is truncated or too long: its tensors take "),
    ("tail", lambda p: p.bytes() + b"\0", "is truncated or too long: its tensors take "),
    ("flipped weight", lambda p: p.bytes()[:-1] + b"\x01", "is damaged: its sha256 does not match its contents"),
    ("long text", put("layers.0.kind", "x" * 100_000), "layer 'gru1' is of the kind 'xxxx"),
]
