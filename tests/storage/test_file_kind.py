"""Files of the wrong kind are recognized by their contents, not their names, and the message says what to do."""

from __future__ import annotations

import io
import json
import pickle
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import edge_rnn
from edge_rnn import Elman, Model
from edge_rnn.cli import main
from edge_rnn.errors import FileError
from edge_rnn.storage.file_kind import MODEL_FILE, kind_of
from edge_rnn_export.readers.by_file_name import import_file


def zipped(*names: str) -> bytes:
    room = io.BytesIO()
    with zipfile.ZipFile(room, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 50)
    return room.getvalue()


def arrays(**given: Any) -> bytes:
    room = io.BytesIO()
    np.savez(room, **given)
    return room.getvalue()


def array(values: Any) -> bytes:
    room = io.BytesIO()
    np.save(room, values)
    return room.getvalue()


TENSORS = safetensors.numpy.save({"rnn.weight_ih_l0": np.zeros((4, 2), np.float32)}, {"format": "pt"})
NAM = json.dumps({"version": "0.5.4", "architecture": "LSTM", "config": {}, "weights": [0.0] * 2000})

IMPORTED = {
    "an ONNX graph": (b"\x08\x09\x12\x07pytorch" + bytes(300), b"\x08\x0a:\x10" + bytes(300)),
    "a PyTorch file": (zipped("net/data.pkl", "net/version"), pickle.dumps(0x1950A86A20F9469CFC6C, 2) + bytes(90)),
    "a Keras model": (zipped("config.json", "model.weights.h5"), b"\x89HDF\r\n\x1a\n" + bytes(90)),
    "a TFLite model": (b"\x1c\x00\x00\x00TFL3" + bytes(90),),
    "JSON": (NAM.encode(), b'{\n  "layers": [\n', b'\xef\xbb\xbf{"model": 1}\n'),
    "a .safetensors file with tensors only": (TENSORS,),
}


def graph_def(name: str, operator: str) -> bytes:
    """Begin a GraphDef with a node: its name, its operator and an attribute."""
    node = b"".join(
        tag + bytes([len(word)]) + word for tag, word in ((b"\n", name.encode()), (b"\x12", operator.encode()))
    )
    node += b"*\x0b\n\x05dtype\x12\x020\x01" + bytes(150)
    return b"\n" + bytes([len(node) % 128 | 128, len(node) // 128]) + node


OTHERS = {
    "empty": b"",
    "text, like recordings": "0.1,0.2,0.3\n4,5,µ6\n".encode(),
    "NumPy arrays (.npz)": arrays(x=np.zeros((3, 2))),
    "a NumPy array": array(np.zeros((3, 2))),
    "a picture (PNG)": b"\x89PNG\r\n\x1a\n" + bytes(90),
    "a picture (JPEG)": b"\xff\xd8\xff\xe0" + bytes(90),
    "a zip archive": zipped("readme.txt"),
    "compressed by gzip": b"\x1f\x8b\x08" + bytes(90),
    "a WAV recording": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(90),
    "a web page": b"\n<!DOCTYPE html><html><body>404</body></html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a library or a program": b"\x7fELF\x02\x01\x01" + bytes(90),
    "a Python pickle": pickle.dumps({"a": [1, 2, 3]}),
    "a frozen graph of TensorFlow 1 (GraphDef)": graph_def("wav_data", "Placeholder"),
    "the graph of a TensorFlow SavedModel": b"\x08\x01\x12\xc4\x10\n\xd2\x02" + bytes(90),
    "a graph in onnxruntime's own format": b"\x20\x00\x00\x00ORTM" + bytes(90),
}


@pytest.mark.parametrize("what", IMPORTED)
@pytest.mark.parametrize("name", ["wrist.safetensors", "my wrist.onnx", "wrist"])
def test_load_names_the_command_that_imports_it(what: str, name: str, tmp_path: Path) -> None:
    for data in IMPORTED[what]:
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(FileError) as caught:
            edge_rnn.load(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: is {what}"), text
        command = shlex.split(text.rpartition(": ")[2].removesuffix("."))
        assert command[:3] == ["edge-rnn", "import", str(path)]
        assert command[3] == "-o"
        assert command[4].endswith(".safetensors")
        assert command[4] != path.name


@pytest.mark.parametrize("what", OTHERS)
def test_load_says_what_else_it_is(what: str, tmp_path: Path) -> None:
    path = tmp_path / "wrist.safetensors"
    path.write_bytes(OTHERS[what])
    with pytest.raises(FileError) as caught:
        edge_rnn.load(path)
    assert str(caught.value).startswith(f"{path}: is {what}"), caught.value
    assert "expected a model file of edge_rnn" in str(caught.value)
    assert "import " not in str(caught.value) or "graph" in what


def test_a_model_file_is_recognized_and_its_damage_reported(tmp_path: Path) -> None:
    path = tmp_path / "wrist.onnx"
    edge_rnn.save(Model([Elman([[1.0]], [[0.5]])], labels=("y",)), path)
    assert kind_of(path) is MODEL_FILE
    assert edge_rnn.load(path).labels == ("y",)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(FileError, match="truncated"):
        edge_rnn.load(path)
    path.write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(FileError, match="truncated or not a safetensors file"):
        edge_rnn.load(path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    edge_rnn.save(Model([Elman([[1.0]], [[0.5]])]), path)
    return path


COMMANDS = (
    "run {}",
    "serve {} --source proc:load",
    "setup {} --name x --source proc:load --sink csv:-",
    "inspect {}",
    "bench {}",
    "fit {} --device raspberry_pi_5",
    "generate {} --prompt a",
    "shrink {} --data m.safetensors",
    "compare {} --data m.safetensors",
    "warm-up {}",
    "export {}",
    "verify {} g.onnx",
    "build {} --device raspberry_pi_5 -o out",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_it_alike(command: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.bin").write_bytes(IMPORTED["an ONNX graph"][0])
    for file, words in {
        "net.bin": "net.bin: is an ONNX graph, not a model file of edge_rnn. This converts it: "
        "edge-rnn import net.bin -o net.safetensors.",
        "none.bin": "none.bin: cannot be read: No such file or directory.",
    }.items():
        assert main(command.format(file).split()) == 1
        assert capsys.readouterr().err == f"edge-rnn: {words}\n"


RECORDINGS = ("run m.safetensors {}", "inspect m.safetensors --recording {}", "shrink m.safetensors --data {}")


@pytest.mark.parametrize("command", RECORDINGS)
def test_what_is_no_recording_is_refused_as_one(
    command: str, model: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.csv").write_bytes(IMPORTED["a PyTorch file"][0])
    for file, words in {
        "m.safetensors": "m.safetensors: is a model file of edge_rnn, expected lines of samples",
        "net.csv": "net.csv: is a PyTorch file, as torch.save writes it, expected lines of samples",
        "none.csv": "none.csv: cannot be read: No such file or directory.",
    }.items():
        assert main(command.format(file).split()) == 1
        assert capsys.readouterr().err.startswith(f"edge-rnn: {words}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: edge_rnn.save(Model([Elman([[1.0]], [[0.5]])]), path), "is a model file of edge_rnn already"),
        (lambda path: path.write_bytes(OTHERS["a picture (PNG)"]), r"is a picture \(PNG\), expected a trained network"),
        (
            lambda path: path.write_bytes(OTHERS["NumPy arrays (.npz)"]),
            r"is NumPy arrays \(\.npz\), expected a trained",
        ),
        (
            lambda path: path.write_bytes(OTHERS["a frozen graph of TensorFlow 1 (GraphDef)"]),
            r"is a frozen graph of TensorFlow 1 \(GraphDef\), expected .*Convert it .* tf2onnx.convert --graphdef",
        ),
        (lambda path: None, "cannot be read: No such file or directory"),
    ],
)
@pytest.mark.parametrize("name", ["net.pt", "net.safetensors", "net.onnx", "net"])
def test_import_says_what_is_no_network(make: Callable[[Path], Any], words: str, name: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises(FileError, match=f"{name}: {words}"):
        import_file(tmp_path / name)


def test_import_goes_by_the_contents(tmp_path: Path) -> None:
    state = {"rnn.weight_ih_l0": np.zeros((3, 2), np.float32), "rnn.weight_hh_l0": np.zeros((3, 3), np.float32)}
    for name in ("net.onnx", "net.bin", "net"):
        safetensors.numpy.save_file(state, tmp_path / name)
        found = import_file(tmp_path / name, activations={"rnn": "tanh"})
        assert found.kind == "PyTorch state_dict"
        assert found.model.input_size == 2


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"\n\x05", b"\n\x10\n\x02ab", b"\n\x10\n\x02ab\x12\x03conv" + bytes(9), b"\n" + 8 * b"\xff",
        graph_def("x", "not an operator"), graph_def("", "Const"), b"\n\n\n text that begins with empty lines",
    ],
)  # fmt: skip
def test_what_is_no_graph_of_tensorflow(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pb").write_bytes(data)
    found = kind_of(tmp_path / "net.pb")
    assert found is None or "TensorFlow" not in found.what
