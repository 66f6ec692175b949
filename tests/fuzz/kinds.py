"""Kinds of files and texts: their seeds, their damage, and their readers."""

from __future__ import annotations

import copy
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import edge_rnn
from edge_rnn import Stream, boards, data_path, frontend, reference
from edge_rnn.errors import EdgeRnnError
from tests.fuzz import damage, images, judge, seeds

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Parameters
    ----------
    make
        Makes valid files, in the form that ``damaged`` takes.
    damaged
        A mutation of one, as bytes.
    read
        Reads the bytes, from a path whose name ends in ``suffix``, and runs what they hold; a word on what came of it.
    needs
        Packages.
    """

    make: Callable[[], list[Any]]
    damaged: Callable[[Random, Any], bytes]
    read: Callable[[Path, int], str]
    suffix: str
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """Packages that it needs but that are not installed, or an empty text."""
        return ", ".join(name for name in self.needs if find_spec(name) is None)


def _model_of(reader: str, package: str = "edge_rnn_export") -> Callable[[Path, int], str]:
    def read(path: Path, number: int) -> str:
        module = __import__(package)
        return judge.run(getattr(module, reader)(path), number)

    return read


def _read_rnnoise(path: Path, number: int) -> str:
    from edge_rnn_export import from_rnnoise

    return judge.run(from_rnnoise(path, part=("gains", "vad")[number % 2]), number)


# A header that says where the rest lies: safetensors
def _split(data: bytes) -> tuple[Any, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _joined(header: Any, data: bytes) -> bytes:
    text = damage.as_json(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def _saved(model: edge_rnn.Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        edge_rnn.save(model, path)
        return path.read_bytes()


def _model_seeds() -> list[bytes]:
    return [_saved(model) for model in _models()]


def _damaged_model(rng: Random, data: bytes) -> bytes:
    """Damage a model file; mostly with a correct digest, so that it is read to the end."""
    from safetensors.numpy import load, save

    from edge_rnn.storage.model_file import _digest

    how = rng.random()
    if how < 0.25:
        return damage.bits(rng, data)
    header, rest = _split(data)
    if how < 0.4:
        return _joined(damage.tree(rng, header), rest)
    about, tensors = json.loads(header["__metadata__"]["edge_rnn"]), {k: np.array(v) for k, v in load(data).items()}
    if how < 0.8:
        about = damage.tree(rng, about)
    if how > 0.65:
        for _ in range(damage.several(rng)):
            name = rng.choice(sorted(tensors))
            tensors[name] = _damaged_array(rng, tensors[name])
    try:
        about["sha256"] = _digest(about, tensors)
        return save(tensors, {"edge_rnn": json.dumps(about)})
    except Exception:  # no file can hold what came of it
        return _joined(damage.tree(rng, header), rest)


def _damaged_array(rng: Random, array: np.ndarray) -> np.ndarray:
    how = rng.choice(("value", "value", "values", "scale", "type", "shape", "cut", "bytes"))
    new = array.copy()
    if how == "value" and new.size:
        value: Any = rng.choice((0, 1, -1, 127, -128, np.nan, np.inf, 1e30) if new.dtype.kind == "f" else (0, 1, 127))
        new.flat[rng.randrange(new.size)] = value
    elif how == "values":
        new[...] = rng.choice((0, 1, 100))
    elif how == "scale" and new.dtype.kind == "f":
        with np.errstate(over="ignore"):
            new = (new * rng.choice((1e-42, 1e-20, 50, 1e25, 3e38))).astype(new.dtype)
    elif how == "type":
        new = new.astype(rng.choice(("f2", "f4", "f8", "i1", "i2", "i4", "u1")))
    elif how == "shape":
        new = new.reshape(rng.choice(((-1,), (1, -1), new.shape[::-1])))
    elif how == "cut":
        new = new[: rng.randrange(len(new) + 1)] if new.ndim else new
    elif how == "bytes":
        new = np.frombuffer(rng.randbytes(new.nbytes), new.dtype).reshape(new.shape)
    return np.ascontiguousarray(new)


def _damaged_graph(rng: Random, data: bytes) -> bytes:
    import onnx

    if rng.random() < 0.25:
        return damage.bits(rng, data)
    proto = onnx.load_from_string(data)
    damage.message(rng, proto)
    return bytes(proto.SerializeToString())


def _damaged_keras(rng: Random, seed: tuple[dict[str, Any], bytes]) -> bytes:
    document, weights = seed
    parts = {"metadata.json": b'{"keras_version": "3.9.0"}', "config.json": damage.as_json(document)}
    parts["model.weights.h5"] = weights
    described = {"config.json": lambda r, _: damage.as_json(damage.tree(r, document))}
    return damage.archive(rng, parts, described if rng.random() < 0.95 else described | {"metadata.json": damage.bits})


def _damaged_hdf5(rng: Random, seed: tuple[bytes, dict[str, bytes]]) -> bytes:
    whole, parts = seed
    if rng.random() < 0.6:
        return damage.words(rng, whole) if rng.random() < 0.7 else damage.bits(rng, whole)
    return damage.archive(rng, parts, {"model.weights.h5": damage.words})


def _hdf5_seeds() -> list[Any]:
    found = []
    for kind, gates, options in seeds.KERAS:
        document = seeds.describe_keras(kind, options)
        parts = {"metadata.json": b'{"keras_version": "3.9.0"}', "config.json": damage.as_json(document)}
        parts["model.weights.h5"] = seeds.weights_of_keras(kind, gates, options, None)
        found.append((seeds.weights_of_keras(kind, gates, options, document), parts))
    return found


def _keras_seeds() -> list[Any]:
    return [(seeds.describe_keras(k, o), seeds.weights_of_keras(k, g, o, None)) for k, g, o in seeds.KERAS]


def _damaged_pickle(rng: Random, data: bytes) -> bytes:
    if data[:2] != b"PK" or rng.random() < 0.1:
        return damage.bits(rng, data)
    parts = seeds.members(data)
    pickled = next(name for name in parts if name.endswith("data.pkl"))
    return damage.archive(rng, parts, {pickled: damage.bits})


def _damaged_script(rng: Random, data: bytes) -> bytes:
    parts = seeds.members(data)
    pickled, code = (next(name for name in parts if name.endswith(end)) for end in ("data.pkl", ".py"))
    lines = tuple(parts[code].decode().split("\n"))

    def text(rng: Random, old: bytes) -> bytes:
        if rng.random() < 0.4:
            return damage.text_lines(rng, old.decode(), lines).encode()
        return _damaged_text(".,()[] ")(rng, old.decode())

    return damage.archive(rng, parts, {pickled: damage.bits, code: text})


def _damaged_export(rng: Random, seed: tuple[dict[str, Any], dict[str, Any], bytes]) -> bytes:
    config, document, data = seed
    parts = seeds.members(data)
    described = {
        next(name for name in parts if name.endswith(end)): _as_json_of(tree)
        for end, tree in (("model_weights_config.json", config), ("model.json", document))
    }
    return damage.archive(rng, parts, described)


def _as_json_of(tree: Any) -> Callable[[Random, bytes], bytes]:
    return lambda rng, _: damage.as_json(damage.tree(rng, tree))


def _state_seeds() -> list[bytes]:
    from safetensors.numpy import save

    found = []
    for gates, name in ((3, "gru"), (4, "lstm")):
        arrays = {f"{name}.weight_ih_l0": seeds.u(3 * gates, 4), f"{name}.weight_hh_l0": seeds.u(3 * gates, 3)}
        arrays |= {f"{name}.bias_ih_l0": seeds.u(3 * gates), f"{name}.bias_hh_l0": seeds.u(3 * gates)}
        found.append(save(arrays | {"head.weight": seeds.u(2, 3), "head.bias": seeds.u(2)}))
    return found


def _damaged_state(rng: Random, data: bytes) -> bytes:
    if rng.random() < 0.3:
        return damage.bits(rng, data)
    header, rest = _split(data)
    return _joined(damage.tree(rng, header), rest)


# Snapshots: what they belong to, and their bytes, most with a checksum that fits
FRONT_ENDS = (
    "moving:window=6,hop=3,statistics=mean+std",
    "resample:rate_in=48000,rate_out=44100",
    "logmel:rate=16000,frame=64,hop=32,bands=6",
)
_CHECKSUM = 44  # of a payload that begins after it


@cache
def _models() -> list[edge_rnn.Model]:
    seeds.begin_again()
    return seeds.models()


def _snapshot_seeds() -> list[bytes]:
    from edge_rnn.loop.persist import snapshot_file

    found = []
    for place, model in enumerate(_models()[:4]):
        stream = Stream(model)
        stream.run(np.zeros((3, model.input_size), np.float32))
        found.append(b"stream %d " % place + stream.snapshot())
        found.append(b"file %d " % place + snapshot_file.encode(stream, 5, 1e9))
    for place, spec in enumerate(FRONT_ENDS):
        front = frontend.parse(spec)
        front.run(np.ones((100, front.input_size), np.float32))
        found.append(b"front %d " % place + front.snapshot())
    return found


def _damaged_snapshot(rng: Random, data: bytes) -> bytes:
    kind, place, content = data.split(b" ", 2)
    new = bytearray(damage.words(rng, content) if rng.random() < 0.7 else damage.bits(rng, content))
    if kind != b"file" and len(new) > _CHECKSUM + 4 and rng.random() < 0.8:
        new[_CHECKSUM : _CHECKSUM + 4] = struct.pack("<I", zlib.crc32(bytes(new[_CHECKSUM + 4 :])))
    return b" ".join((kind, place, bytes(new)))


def _read_snapshot(path: Path, number: int) -> str:
    from edge_rnn.loop.persist import snapshot_file

    kind, place, content = path.read_bytes().split(b" ", 2)
    if kind == b"front":
        front = frontend.parse(FRONT_ENDS[int(place)])
        front.restore(content)
        front.run(np.ones((500, front.input_size), np.float32))
        return "ran"
    stream = Stream(_models()[int(place)])
    if kind == b"file":
        path.write_bytes(content)
        content = snapshot_file.read(path, stream.model.fingerprint).state
    stream.restore(content)
    start = stream.state
    xs = np.random.default_rng(number).standard_normal((5, stream.input_size)).astype(np.float32)
    with np.errstate(all="ignore"):
        exact, _ = reference.run(stream.model, xs, start)
    try:
        ys = stream.run(xs)
    except EdgeRnnError:
        return "ran, not finite"
    if not np.isfinite(exact).all():
        return "ran, not finite"
    allowed = 1e-3 * max(1.0, float(np.abs(exact).max()))  # 5 steps of float32 from a state of any size
    return "ran" if (np.abs(ys - exact) <= allowed).all() else "WRONG NUMBERS"


# Recordings, with their ending in front
def _recording_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [suffix.encode() + b" " + data for suffix, data in seeds.numpy_files(Path(folder))]


def _damaged_recording(rng: Random, data: bytes) -> bytes:
    suffix, content = data.split(b" ", 1)
    if suffix == b".npz" and rng.random() < 0.8:
        parts = seeds.members(content)
        heads = {name: lambda r, d: damage.bits(r, d[:128]) + d[128:] for name in parts}
        return suffix + b" " + damage.archive(rng, parts, heads)
    if suffix in (b".csv", b".jsonl") and rng.random() < 0.7:
        lines = (
            "",
            "nan,1",
            "inf,-inf",
            "1;2",
            '"1","2"',
            "[[[",
            "{}",
            '{"x": [1]}',
            "1e999,0",
            "7" * 9000,
            "1_0,2",
            "\0,\0",
        )
        return suffix + b" " + damage.text_lines(rng, content.decode(), lines).encode()
    return suffix + b" " + damage.bits(rng, content)


def _read_recording(path: Path, number: int) -> str:
    from edge_rnn.loop import open_source
    from edge_rnn.recordings.files import read_recording

    suffix, content = path.read_bytes().split(b" ", 1)
    place = path.with_suffix(suffix.decode())
    place.write_bytes(content)
    model = _models()[0]
    if suffix != b".wav":
        found = read_recording(place, model)
        return "read" if found.labels is None or (found.labels < model.output_size).all() else "WRONG LABELS"
    source = open_source(f"wav:{place}", model)
    try:
        for _ in range(1000):
            try:
                if source.read() is None:
                    break
            except EdgeRnnError:
                continue
    finally:
        getattr(source, "close", int)()
    return "read"


# Texts
FRONT_TEXTS = (
    "moving:window=6,hop=3,statistics=mean+std", "resample:rate_in=44100,rate_out=16000", "micro:rate=16000",
    "logmel:rate=16000,frame=400,hop=160,bands=40", "mfcc:rate=16000,frame=400,hop=160,bands=40,coefficients=10",
    "resample:rate_in=8000,rate_out=16000|logmel:rate=16000,bands=20", "standardize:mean=0.5/1,scale=1/3",
)  # fmt: skip
SOURCES = (
    "csv:some.csv?follow=1&start=1&time=t", "jsonl:some.jsonl", "csv:-", "wav:some.wav", "proc:cpu,memory", "null:",
    "serial:/dev/ttyNONE?baud=9600&format=json", "mqtt://name:word@127.0.0.1:9/a/b?qos=1", "mic:0?rate=16000",
    "mpu6050:1?address=0x68&range_g=2&range_dps=250",
)  # fmt: skip


def _damaged_text(parts: str) -> Callable[[Random, str], bytes]:
    """Damage a text: replace, duplicate or omit words, which are separated by ``parts``."""

    def damaged(rng: Random, text: str) -> bytes:
        if rng.random() < 0.2:
            return damage.bits(rng, text.encode())
        found = [text]
        for each in parts:
            found = [piece for whole in found for piece in whole.replace(each, f"\n{each}\n").split("\n")]
        for _ in range(damage.several(rng)):
            words = [place for place, word in enumerate(found) if word not in parts or rng.random() < 0.2]
            place = rng.choice(words or [0])
            numbers = (
                str(rng.choice(damage.NUMBERS + damage.LARGE)),
                str(rng.choice(damage.REALS)),
                "nan",
                "1/2",
                "0x9",
                "٣",
            )
            word = rng.choice((*numbers, rng.choice(damage.TEXTS), rng.choice(found), ""))
            found[place : place + rng.choice((0, 1, 1, 1))] = [word]
        return "".join(found).encode(errors="replace")

    return damaged


def _damaged_numbers(rng: Random, text: str) -> bytes:
    """Damage a text of lines of whole numbers; half the time by other numbers of 8 bits only."""
    if rng.random() < 0.5:
        return _damaged_text(" \n")(rng, text)
    first, *lines = text.split("\n")
    for _ in range(damage.several(rng)):
        place = rng.randrange(len(lines))
        words = lines[place].split(" ")
        words[rng.randrange(len(words))] = str(rng.randrange(-128, 128))
        lines[place] = " ".join(words)
    return "\n".join([first, *lines]).encode()


def _read_front_end(path: Path, number: int) -> str:
    front = frontend.parse(path.read_bytes().decode(errors="replace"))
    xs = np.random.default_rng(number).standard_normal((60, front.input_size)).astype(np.float32)
    front.run(xs)
    front.restore(front.snapshot())
    frontend.parse(front.spec)
    return "ran"


def _read_url(path: Path, number: int) -> str:
    from edge_rnn.loop import open_source

    text = path.read_bytes().decode(errors="replace")
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        Path("some.csv").write_text("1,2\n3,4\n")
        source = open_source(text, _models()[0])
    finally:
        os.chdir(before)
    getattr(source, "close", int)()
    return "read"


def _board_seeds() -> list[str]:
    return [data_path(f"{name}/device.toml").read_text(encoding="utf-8") for name in boards.names()]


def _damaged_board(rng: Random, text: str) -> bytes:
    if rng.random() < 0.3:
        return damage.bits(rng, text.encode())
    values = ("0", "-1", "nan", "inf", "true", '""', "[]", "{}", '["a"]', "2026-11-30", str(2**80), r'"\u001b[2J"')
    lines = [line.partition("=")[0] for line in text.split("\n") if "=" in line]
    return damage.text_lines(rng, text, tuple(f"{name}= {rng.choice(values)}" for name in lines)).encode()


def _read_board(path: Path, number: int) -> str:
    from edge_rnn.boards.here import recognise
    from edge_rnn.boards.profile import read

    recognise([read(path)])
    return "read"


def _text_seeds() -> list[Any]:
    found = json.loads(data_path("reber/texts.json").read_text(encoding="utf-8"))
    return [{**found, "texts": found["texts"][:4]}]


def _read_texts(path: Path, number: int) -> str:
    from edge_rnn.analysis.texts import read_texts

    read_texts(path)
    return "read"


def _tree_as_json(rng: Random, value: Any) -> bytes:
    data = damage.as_json(damage.tree(rng, copy.deepcopy(value)))
    return damage.bits(rng, data) if rng.random() < 0.1 else data


KINDS: Mapping[str, Kind] = {
    "safetensors": Kind(
        lambda: [_saved(each) for each in _models()], _damaged_model, _model_of("load", "edge_rnn"), ".safetensors"
    ),
    "onnx": Kind(seeds.graphs, _damaged_graph, _model_of("from_onnx"), ".onnx", ("onnx",)),
    "tflite": Kind(seeds.tflite_files, damage.words, _model_of("from_tflite"), ".tflite", ("tflite",)),
    "keras": Kind(_keras_seeds, _damaged_keras, _model_of("from_keras"), ".keras", ("h5py",)),
    "hdf5": Kind(_hdf5_seeds, _damaged_hdf5, _model_of("from_keras"), ".h5", ("h5py",)),
    "json": Kind(seeds.json_files, _tree_as_json, _model_of("from_json"), ".json"),
    "torch": Kind(seeds.torch_files, _damaged_pickle, _model_of("from_torch"), ".pt"),
    "torchscript": Kind(seeds.script_files, _damaged_script, _model_of("from_torch"), ".pt"),
    "exported": Kind(seeds.exported_files, _damaged_export, _model_of("from_torch"), ".pt2"),
    "rnnoise": Kind(seeds.rnnoise_files, _damaged_numbers, _read_rnnoise, ".rnnn"),
    "statedict": Kind(_state_seeds, _damaged_state, _model_of("from_torch"), ".safetensors"),
    "snapshot": Kind(_snapshot_seeds, _damaged_snapshot, _read_snapshot, ".state"),
    "recording": Kind(_recording_seeds, _damaged_recording, _read_recording, ".any"),
    "frontend": Kind(lambda: list(FRONT_TEXTS), _damaged_text(":|,=/+"), _read_front_end, ".txt"),
    "url": Kind(lambda: list(SOURCES), _damaged_text(":/?&=,@"), _read_url, ".txt"),
    "device": Kind(_board_seeds, _damaged_board, _read_board, ".toml"),
    "image": Kind(images.seeds, images.damaged, images.read, ".image"),
    "texts": Kind(_text_seeds, _tree_as_json, _read_texts, ".json"),
}
