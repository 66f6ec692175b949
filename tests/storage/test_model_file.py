from __future__ import annotations

import copy
import json
import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_rnn.errors import FileError, InputError
from edge_rnn.layers import GRU, LAYER_TYPES, LSTM, Add, Dense, Elman, Layer, Standardize
from edge_rnn.model import Model
from edge_rnn.printable import is_printable, printable
from edge_rnn.storage import model_file
from edge_rnn.storage.model_file import load, save

MakeModel = Callable[..., Model]

METADATA = (
    "name", "labels", "sample_rate_hz", "input_names", "input_units", "input_size", "vocabulary", "sources",
    "output_sizes",
)  # fmt: skip


def assert_same(got: Model, want: Model) -> None:
    """Equal to the last bit: layers, arrays, options, metadata."""
    for name in METADATA:
        assert getattr(got, name) == getattr(want, name), name
    assert len(got.layers) == len(want.layers)
    for a, b in zip(got.layers, want.layers, strict=True):
        assert type(a) is type(b)
        assert (a.name, a.inputs, a.options, list(a.arrays)) == (b.name, b.inputs, b.options, list(b.arrays))
        for key, array in a.arrays.items():
            assert array.dtype == b.arrays[key].dtype
            assert array.shape == b.arrays[key].shape
            assert array.tobytes() == b.arrays[key].tobytes(), key
            assert not array.flags.writeable
    assert got.fingerprint == want.fingerprint


# Models to store: every kind of layer, options, absent arrays, skips, any text.

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")).filter(is_printable), max_size=8)
symbols = st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("\t\n"), min_size=1, max_size=3)


@st.composite
def arrays(draw: st.DrawFn, *shape: int) -> NDArray[np.float32]:
    """Any float32 numbers, negative zeros and subnormal ones among them."""
    few = draw(st.lists(finite, min_size=1, max_size=6))
    return np.resize(np.array(few, np.float32), shape)


@st.composite
def recurrent_layers(draw: st.DrawFn, size: int) -> Layer:
    units = draw(st.integers(1, 5))
    cls, gates = draw(st.sampled_from([(Elman, 1), (GRU, 3), (LSTM, 4)]))
    rows = gates * units
    some = {"bias_ih": (rows,), "bias_hh": (rows,), "h0": (units,)}
    if cls is LSTM:
        some["c0"] = (units,)
    kept: dict[str, Any] = {key: draw(arrays(*shape)) for key, shape in some.items() if draw(st.booleans())}
    if cls is Elman:
        kept["activation"] = draw(st.sampled_from(["tanh", "relu"]))
    if cls is GRU:
        kept["reset_after"] = draw(st.booleans())
    return cls(draw(arrays(rows, size)), draw(arrays(rows, units)), **kept)


@st.composite
def models(draw: st.DrawFn) -> Model:
    size = width = draw(st.integers(1, 5))
    layers: list[Layer] = []
    if draw(st.booleans()):
        layers.append(Standardize(draw(arrays(size)), np.full(size, draw(st.floats(0.25, 4, width=32))), name="scaled"))
    for _ in range(draw(st.integers(0, 3))):
        layers.append(draw(recurrent_layers(width)))
        width = layers[-1].output_size([width])
    activation = draw(st.sampled_from(Dense.ACTIVATIONS))
    bias = draw(st.none() | arrays(size))
    layers.append(Dense(draw(arrays(size, width)), bias, activation=activation, name="head"))  # type: ignore[arg-type]
    if draw(st.booleans()):
        layers.append(Add(inputs=("input", "head"), name="skip"))
    return Model(
        layers,
        name=draw(texts),
        labels=draw(st.just([]) | st.lists(texts, min_size=size, max_size=size)),
        sample_rate_hz=draw(st.none() | st.floats(1e-300, 1e300)),
        input_names=draw(st.just([]) | st.lists(texts, min_size=size, max_size=size)),
        input_units=draw(st.just([]) | st.lists(texts, min_size=size, max_size=size)),
        vocabulary=draw(st.just([]) | st.lists(symbols, min_size=size, max_size=size, unique=True)),
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@given(model=models())
def test_round_trip_is_identity(model: Model, folder: Path) -> None:
    path, again = folder / "a.safetensors", folder / "b.safetensors"
    save(model, path)
    loaded = load(str(path))
    assert_same(loaded, model)
    save(loaded, again)
    assert again.read_bytes() == path.read_bytes()


def test_file_is_plain_safetensors(make_model: MakeModel, tmp_path: Path) -> None:
    """Others can read the weights: names are <layer>.<field>, metadata is JSON."""
    model = make_model("lstm", 3, 5, layers=2, labels=["a", "b", "c", "é"])
    save(model, tmp_path / "m.safetensors")
    with safetensors.safe_open(tmp_path / "m.safetensors", framework="np") as file:
        assert set(file.keys()) == {f"{layer.name}.{key}" for layer in model.layers for key in layer.arrays}
        np.testing.assert_array_equal(file.get_tensor("lstm2.weight_hh"), model.layers[1].arrays["weight_hh"])
        assert list(file.metadata()) == ["edge_rnn"]
        description = json.loads(file.metadata()["edge_rnn"])
    assert description["version"] == 1
    assert description["labels"] == ["a", "b", "c", "é"]
    assert [layer["kind"] for layer in description["layers"]] == ["LSTM", "LSTM", "Dense"]


def test_equal_models_give_equal_files_in_any_process(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model("gru", 3, 5, labels=["a", "b", "c", "d"])
    save(model, tmp_path / "here.safetensors")
    code = "import sys; from edge_rnn.storage.model_file import load, save; save(load(sys.argv[1]), sys.argv[2])"
    for seed in ("1", "2"):
        there = tmp_path / f"there{seed}.safetensors"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(model_file.__file__).parents[2])}
        command = [sys.executable, "-c", code, str(tmp_path / "here.safetensors"), str(there)]
        subprocess.run(command, env=environment, check=True)
        assert there.read_bytes() == (tmp_path / "here.safetensors").read_bytes()


@dataclass(frozen=True, slots=True, eq=False)
class Shifted(Layer):
    """A kind that model_file.py has never heard of, with a dtype of its own."""

    shift: NDArray[np.int8]
    spare: NDArray[np.float64] | None = None
    mode: Literal["up", "down"] = field(default="up", kw_only=True)
    gain: float = field(default=1.0, kw_only=True)
    times: int = field(default=2, kw_only=True)
    note: str | None = field(default=None, kw_only=True)

    def output_size(self, input_sizes: Any) -> int:
        return len(self.shift)


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> Shifted:
    monkeypatch.setattr(model_file, "LAYER_TYPES", MappingProxyType({**LAYER_TYPES, "Shifted": Shifted}))
    return Shifted(np.array([1, -2], np.int8), np.array([0.1]), mode="down", gain=0.1, times=7, note="ü")


def test_new_kind_of_layer_needs_nothing_here(shifted: Shifted, tmp_path: Path) -> None:
    save(Model([shifted], input_size=2), tmp_path / "m.safetensors")
    (layer,) = load(tmp_path / "m.safetensors").layers
    assert isinstance(layer, Shifted)
    assert layer.options == shifted.options
    for key, array in shifted.arrays.items():
        assert layer.arrays[key].dtype == array.dtype
        np.testing.assert_array_equal(layer.arrays[key], array)


# Files made by hand.


@dataclass
class Parts:
    """A file taken apart: header as JSON, description as JSON, data."""

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


@pytest.fixture(scope="session")
def good(make_model: MakeModel, folder: Path) -> bytes:
    """A file of a GRU(3) that reads two values, and a head of two."""
    path = folder / "good.safetensors"
    save(make_model("gru", 2, 3, head=2, labels=["rest", "move"], sample_rate_hz=10), path)
    return path.read_bytes()


def refusal(data: bytes, folder: Path) -> str:
    """The message of the FileError that load raises, once found to be one sentence or two about this file."""
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
    """A file without a single weight that claims a long sample."""

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


HUGE = 10**30

# What is wrong, how the file is made of a good one, what the message must say.
REFUSED: list[tuple[str, Callable[[Parts], bytes], str]] = [
    ("empty", lambda p: b"", "is empty, expected a model file"),
    ("seven bytes", lambda p: b"\x01234567"[:7], "it has 7 bytes, expected 8 to 1073741824"),
    ("text", lambda p: b"# a README, not a model\n" * 9, "is text, as recordings are, expected a model"),
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
    ("no metadata", lambda p: pack(p.header, p.data), "tensors alone, such as a PyTorch state_dict"),
    (
        "other metadata",
        lambda p: pack({"__metadata__": {"format": "pt"}, **p.header}, p.data),
        "is a .safetensors file of tensors",
    ),
    (
        "metadata list",
        lambda p: pack({"__metadata__": ["edge_rnn"], **p.header}, p.data),
        "is a .safetensors file of tensors",
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
        "has version None, expected 1 to 2",
    ),
    ("later version", put("version", 3), "has version 3, expected 1 to 2; a later edge_rnn may read it"),
    ("version text", put("version", "1"), "has version '1', expected 1 to 2"),
    ("version true", put("version", True), "has version True, expected 1 to 2"),
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
    ("wide sum", wide_add(2**22, 100), "read and write 427819008 numbers in a step, expected at most 16777216"),
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
        "layer 'gru1' has the unknown option 'reset_after', expected of LSTM: gate_clip, coupled, cell_clip",
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
        "layer 'gru1' has the unknown option 'clip', expected of GRU: gate_clip, reset_after",
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
    ("array left out", put("layers.0.arrays", ["weight_ih"]), "layer 'gru1' has no weight_hh, which every GRU has"),
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
        "tensor 'gru1.bias_ih' has the place [0], expected 36 bytes",
    ),
    (
        "far",
        tell("gru1.weight_ih", "data_offsets", [HUGE, HUGE + 72]),
        "begins at byte 1000000000000000000000000000000 of",
    ),
    ("backwards", tell("gru1.bias_ih", "data_offsets", [36, 0]), "has the place [36, 0], expected 36 bytes"),
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
    ("cut", lambda p: p.bytes()[:-1], "is truncated or has a tail: its tensors take "),
    ("tail", lambda p: p.bytes() + b"\0", "is truncated or has a tail: its tensors take "),
    ("flipped weight", lambda p: p.bytes()[:-1] + b"\x01", "is damaged: its sha256 does not fit its contents"),
    ("long text", put("layers.0.kind", "x" * 100_000), "layer 'gru1' is of the kind 'xxxx"),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_load_refuses(make: Callable[[Parts], bytes], message: str, good: bytes, folder: Path) -> None:
    assert message in refusal(make(take_apart(good)), folder)


def test_taken_apart_and_put_together_is_the_same_model(good: bytes, folder: Path) -> None:
    """What the table above changes is all that is wrong with its files."""
    (folder / "again.safetensors").write_bytes(take_apart(good).bytes())
    (folder / "first.safetensors").write_bytes(good)
    assert_same(load(folder / "again.safetensors"), load(folder / "first.safetensors"))


def test_a_vocabulary_is_of_version_2_and_no_file_without_one_changes(make_model: MakeModel, folder: Path) -> None:
    model = make_model("gru", 3, 4, head=3)
    save(replace(model, vocabulary=("a", "b", "\n")), folder / "words.safetensors")
    save(model, folder / "plain.safetensors")
    words, plain = (take_apart((folder / f"{name}.safetensors").read_bytes()) for name in ("words", "plain"))
    assert load(folder / "words.safetensors").vocabulary == ("a", "b", "\n")
    assert (words.description["version"], words.description["vocabulary"]) == (2, ["a", "b", "\n"])
    assert plain.description["version"] == 1
    assert "vocabulary" not in plain.description
    for change, message in [
        ({"vocabulary": ["a", "b"]}, "Model vocabulary got 2 texts, expected 3"),
        ({"vocabulary": ["a", "b", "b"]}, "Model vocabulary got 'b' as symbol 2, expected texts that all differ"),
        ({"vocabulary": ["a", "b", "\x1b[2J"]}, "expected a text without control characters"),
        ({"vocabulary": ["a", "b", 3]}, "metadata vocabulary got ['a', 'b', 3], expected list[str]"),
        ({"version": 1}, "metadata has"),
        ({"other": 1}, "metadata has"),
    ]:
        parts = copy.deepcopy(words)
        parts.description |= change
        assert message in refusal(parts.bytes(), folder)


def test_layers_of_one_name(good: bytes, folder: Path) -> None:
    parts = take_apart(good)
    parts.description["layers"].append(copy.deepcopy(parts.description["layers"][1]))
    assert "Model has 2 layers called 'dense2'" in refusal(parts.bytes(), folder)


def test_options_of_a_new_kind_are_checked(shifted: Shifted, folder: Path) -> None:
    save(Model([shifted], input_size=2), folder / "m.safetensors")
    data = (folder / "m.safetensors").read_bytes()
    for name, value, message in [
        ("mode", "left", "layer 'shifted1' mode got 'left', expected one of 'up', 'down'"),
        ("gain", "1", "layer 'shifted1' gain got '1', expected float"),
        ("gain", True, "layer 'shifted1' gain got True, expected float"),
        ("times", 1.5, "layer 'shifted1' times got 1.5, expected int"),
        ("note", 3, "layer 'shifted1' note got 3, expected str | None"),
    ]:
        assert message in refusal(put(f"layers.0.options.{name}", value)(take_apart(data)), folder)
    infinite = json.dumps(take_apart(data).description).replace('"gain": 0.1', '"gain": 1e999')
    header = {"__metadata__": {"edge_rnn": infinite}, **take_apart(data).header}
    refusal(pack(header, take_apart(data).data), folder)


def attempt(data: bytes, folder: Path, model: Model) -> None:
    """Load what may be damaged: one FileError, or the very model."""
    path = folder / "maybe.safetensors"
    path.write_bytes(data)
    try:
        loaded = load(path)
    except FileError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert_same(loaded, model)


@pytest.fixture(scope="session")
def good_model(good: bytes, folder: Path) -> Model:
    return load(folder / "good.safetensors")


def test_every_truncation_is_found(good: bytes, folder: Path) -> None:
    for length in range(0, len(good), 7):
        refusal(good[:length], folder)


def test_every_flipped_bit_of_the_data_is_found(good: bytes, folder: Path) -> None:
    start = len(good) - len(take_apart(good).data)
    for place in range(start, len(good), 5):
        damaged = bytearray(good)
        damaged[place] ^= 1 << place % 8
        refusal(bytes(damaged), folder)


@given(data=st.data())
def test_damaged_bytes(data: st.DataObject, good: bytes, good_model: Model, folder: Path) -> None:
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    attempt(bytes(damaged), folder, good_model)


@given(data=st.data())
def test_pieces_cut_out_or_repeated(data: st.DataObject, good: bytes, good_model: Model, folder: Path) -> None:
    begin = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(begin, len(good)))
    attempt(good[:begin] + good[begin:end] * data.draw(st.sampled_from([0, 2])) + good[end:], folder, good_model)


@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes, folder: Path) -> None:
    refusal(data, folder)
    refusal(pack(data), folder)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
) | st.sampled_from([2**63, -(2**63), 2**64, HUGE, [2**40], "gru1", "weight_ih", "GRU", [[]], {}, -0.0])


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way] * bool(way) + [place for key, inner in items for place in places(inner, (*way, key))]


@given(data=st.data())
def test_lies_with_a_fitting_checksum(data: st.DataObject, good: bytes, folder: Path) -> None:
    """Any value at any place of header or description, signed as if it were meant: FileError, or a model that holds."""
    parts = take_apart(good)
    whole = {"header": parts.header, "description": parts.description}
    way = data.draw(st.sampled_from([place for place in places(whole) if len(place) > 1]))
    target: Any = whole
    for key in way[:-1]:
        target = target[key]
    target[way[-1]] = data.draw(plain)
    path = folder / "lie.safetensors"
    path.write_bytes(parts.bytes())
    try:
        model = load(path)
    except FileError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        save(model, path)
        assert_same(load(path), model)


# Memory.


@pytest.mark.parametrize(
    "name",
    ["header max", "huge shape", "overflow", "far", "input_size huge", "wide sum", "overlap", "header beyond file"],
)
def test_a_lie_allocates_next_to_nothing(name: str, good: bytes, folder: Path) -> None:
    make = {row[0]: row[1] for row in REFUSED}[name]
    data = make(take_apart(good))
    refusal(data, folder)  # whatever a first call imports or caches
    tracemalloc.start()
    try:
        refusal(data, folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("name", ["nested lists", "many empty", "endless number", "metadata nested"])
def test_a_full_header_allocates_megabytes_at_most(name: str, good: bytes, folder: Path) -> None:
    """A header of 1 MiB, the bound, costs Python objects for each of its characters at worst."""
    data = {row[0]: row[1] for row in REFUSED}[name](take_apart(good))
    tracemalloc.start()
    try:
        refusal(data, folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 * model_file.MAX_HEADER_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_lies_within_a_limit_that_the_system_holds(good: bytes, tmp_path: Path) -> None:
    """The same for what tracemalloc does not see: the process may map 64 MB more than it has when it begins to load."""
    for name, make, _ in REFUSED:
        (tmp_path / f"{name}.safetensors").write_bytes(make(take_apart(good)))
    code = """
import pathlib, resource, sys
from edge_rnn.errors import FileError
from edge_rnn.storage.model_file import load
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20, used + 64 * 2**20))
refused = 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        load(path)
    except FileError:
        refused += 1
print(refused)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(model_file.__file__).parents[2]), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert int(done.stdout) == len(list(tmp_path.iterdir()))


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.truncate(model_file.MAX_FILE_BYTES + 1)
    with pytest.raises(FileError, match="it has 1073741825 bytes, expected 8 to 1073741824"):
        load(path)


# Paths.


def test_load_of_what_is_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, message in [
        (tmp_path, "is a folder or a device; expected a .safetensors file"),
        (fifo, "is a folder or a device"),
        (tmp_path / "none.safetensors", "cannot be read: No such file or directory"),
        (fifo / "m.safetensors", "cannot be read: Not a directory"),
        (f"{tmp_path}/a\0b", "cannot be read: embedded null"),
        (tmp_path / ("n" * 300), "cannot be read: File name too long"),
    ]:
        with pytest.raises(FileError) as caught:
            load(path)
        assert str(caught.value).startswith(printable(f"{path}: {message}"))


def test_load_of_what_may_not_be_read(good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(good)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(FileError, match=r"m\.safetensors: cannot be read: Permission denied\.$"):
        load(path)


@pytest.mark.parametrize("path", [3, None, b"m.safetensors", ["m"]])
def test_what_is_no_path(path: Any, make_model: MakeModel) -> None:
    with pytest.raises(InputError, match=f"load got {type(path).__name__} as the path, expected a text or"):
        load(path)
    with pytest.raises(InputError, match=f"save got {type(path).__name__} as the path"):
        save(make_model("gru", 1, 1), path)


def test_save_refuses(make_model: MakeModel, tmp_path: Path, shifted: Shifted, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("gru", 2, 3)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"kept")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    infinite = Model([Shifted(np.zeros(2, np.int8), gain=np.inf)], input_size=2)
    strange = Model([Shifted(np.zeros(2, np.int8), note={1})], input_size=2)  # type: ignore[arg-type]
    many = Model([Dense([[1.0]]) for _ in range(model_file.MAX_LAYERS + 1)])
    wide = Model([Add(inputs=("input", "input"))], input_size=model_file.MAX_VALUES)
    target = tmp_path / "m.safetensors"
    before = sorted(tmp_path.iterdir())
    cases: list[tuple[Any, Path | str, type[Exception], str]] = [
        ({}, target, InputError, "save got dict, expected a Model"),
        (model, tmp_path / "none" / "m", FileError, f"there is no folder {str(tmp_path / 'none')!r}; make it first."),
        (model, tmp_path / "file" / "m", FileError, "there is no folder"),
        (model, tmp_path / "folder", FileError, "cannot be written: it is a folder or a device"),
        (model, tmp_path / "fifo", FileError, "cannot be written: it is a folder or a device"),
        (model, tmp_path / "loop", FileError, "cannot be written: "),
        (model, f"{tmp_path}/a\0b", FileError, "cannot be written: embedded null"),
        (model, tmp_path / ("n" * 300), FileError, "cannot be written: File name too long"),
        (infinite, target, InputError, "save cannot store this model: "),
        (strange, target, InputError, "save cannot store this model: "),
        (many, target, InputError, "has 1001 layers, expected at most 1000"),
        (wide, target, InputError, "numbers in a step, expected at most 16777216"),
    ]
    for what, path, kind, message in cases:
        with pytest.raises(kind) as caught:
            save(what, path)
        assert message in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before
    monkeypatch.setattr(model_file, "LAYER_TYPES", LAYER_TYPES)
    with pytest.raises(InputError, match="save cannot store Shifted 'shifted1'; files hold layers of Elman, LSTM, GRU"):
        save(Model([shifted], input_size=2), target)
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_save_leaves_everything_as_it_was(
    existing: bool,
    failing: str,
    error: BaseException,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "m.safetensors"
    if existing:
        save(make_model("gru", 2, 3, seed=1), path)
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}

    def fail(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == len(before) + 1  # written aside, in the same folder
        raise error

    monkeypatch.setattr(*((os, "fsync", fail) if failing == "fsync" else (Path, "replace", fail)))
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else FileError
    with pytest.raises(expected) as caught:
        save(make_model("lstm", 2, 3, seed=2), path)
    if expected is FileError:
        assert str(caught.value) == f"{path}: cannot be written: No space left on device."
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_save_replaces(make_model: MakeModel, tmp_path: Path) -> None:
    path, link = tmp_path / "m.safetensors", tmp_path / "current"
    save(make_model("gru", 2, 3), path)
    link.symlink_to(path.name)
    new = make_model("lstm", 2, 3)
    save(new, link)
    assert link.is_symlink()
    assert_same(load(path), new)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["current", "m.safetensors"]


def test_save_asks_for_the_usual_rights(make_model: MakeModel, tmp_path: Path) -> None:
    """Another user's service may have to read the model: what the umask leaves, not a temporary file's 0600."""
    (tmp_path / "plain").write_bytes(b"")
    save(make_model("gru", 2, 3), tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_save_into_the_working_folder(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = make_model("elman_relu", 2, 3)
    save(model, "m.safetensors")
    assert_same(load("m.safetensors"), model)
