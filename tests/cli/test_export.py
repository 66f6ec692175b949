"""The subcommands `import` and `export`, as the command line calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import save_file

import edge_rnn
from edge_rnn.cli.shared.parser import Parser
from edge_rnn.errors import EdgeRnnError
from edge_rnn_export.cli import add_export, add_import


def call(*words: str | Path) -> int:
    parser = Parser(prog="edge-rnn")
    subparsers = parser.add_subparsers(required=True)
    add_import(subparsers)
    add_export(subparsers)
    args = parser.parse_args([str(word) for word in words])
    return int(args.func(args))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    shapes = {"rnn.weight_ih_l0": (4, 2), "rnn.weight_hh_l0": (4, 4), "head.weight": (3, 4), "head.bias": (3,)}
    path = tmp_path / "state.safetensors"
    save_file({name: rng.uniform(-0.5, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}, path)
    return path


def test_import_then_export(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_path = tmp_path / "model.safetensors"
    options = "--activation rnn=relu --activation head=softmax --mean 1,-2.5 --scale 2,4 --name wrist"
    more = "--labels rest,walk,run --sample-rate-hz 10 --input-names ax,ay --input-units g,g"
    assert call("import", state, "-o", model_path, *options.split(), *more.split()) == 0
    assert capsys.readouterr().out == (
        f"read         PyTorch state_dict: <Model wrist: input(2) > standardize1(2) > rnn(4) > head(3)>\n"
        f"not compared a state_dict does not hold forward; assumed: 'rnn', 'head' in this order, each on the output of "
        f"the one before, and nothing else in forward (modules=['rnn', 'head'] (--modules rnn,head))\n"
        f"written      {model_path}, 43 parameters\n"
    )
    model = edge_rnn.load(model_path)
    assert model.layers[0].arrays["mean"].tolist() == [1, -2.5]
    assert [layer.options for layer in model.layers[1:]] == [{"activation": "relu"}, {"activation": "softmax"}]
    assert (model.labels, model.sample_rate_hz) == (("rest", "walk", "run"), 10.0)
    assert (model.input_names, model.input_units) == (("ax", "ay"), ("g", "g"))

    assert call("export", model_path, "--steps", "20") == 0
    told = capsys.readouterr().out
    assert told.startswith("20 steps, largest absolute differences\n")
    assert told.endswith(f"\nwritten to {tmp_path / 'model.onnx'}\n")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["x", "rnn.h"]

    assert call("export", model_path, "-o", tmp_path / "other.onnx", "--steps", "5") == 0
    assert (tmp_path / "other.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "STATE"], r"would overwrite .* that it reads"),
        (["-o", "LINK"], r"would overwrite .* that it reads"),
        (["-o", "OUT", "--mean", "1,2"], r"one of --mean and --scale"),
        (["-o", "OUT", "--mean", "1,x", "--scale", "1,2"], r"--mean '1,x', expected numbers"),
        (["-o", "OUT", "--activation", "head"], r"--activation 'head', expected MODULE=KIND"),
        (["-o", "OUT", "--activation", "rnn="], r"--activation 'rnn', expected MODULE=KIND"),
        (["-o", "OUT", "--activation", "=relu"], r"activations name ''; expected one of 'head', 'rnn'"),
        (["-o", "OUT"], r"nonlinearity of the RNN 'rnn'; state it in .*--activation rnn=tanh"),
        (["-o", "OUT", "--activation", "foot=relu"], r"activations name 'foot'"),
        (["-o", "OUT", "--activation", "rnn=tanh", "--modules", "rnn"], r"that belong to no supported layer: head"),
        (["-o", "OUT", "--activation", "rnn=tanh", "--ignore", "foot"], r"ignore names 'foot'"),
        (["-o", "OUT", "--activation", "rnn=tanh", "--labels", "rest"], r"labels got 1 text"),
    ],
)
def test_import_says_what_is_wrong(words: list[str], message: str, state: Path, tmp_path: Path) -> None:
    (tmp_path / "link.safetensors").symlink_to(state)
    before = state.read_bytes()
    places = {"STATE": state, "LINK": tmp_path / "link.safetensors", "OUT": tmp_path / "model.safetensors"}
    with pytest.raises(EdgeRnnError, match=message):
        call("import", state, *(places.get(word, word) for word in words))
    assert state.read_bytes() == before
    assert not (tmp_path / "model.safetensors").exists()


def test_export_of_a_file_that_is_no_model(state: Path, tmp_path: Path) -> None:
    copy = shutil.copy(state, tmp_path / "copy.safetensors")
    with pytest.raises(EdgeRnnError, match=r"copy\.safetensors"):
        call("export", copy)
    assert not (tmp_path / "copy.onnx").exists()


@pytest.mark.parametrize("command", ["import", "export"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        call(command, "--help")
    assert stopped.value.code == 0
    assert f"\n  edge-rnn {command} " in capsys.readouterr().out


def test_export_never_replaces_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edge_rnn.cli import main

    path = tmp_path / "m.safetensors"
    edge_rnn.save(edge_rnn.Model([edge_rnn.Elman([[1.0]], [[0.5]])]), path)
    before = path.read_bytes()
    link = tmp_path / "link.onnx"
    link.symlink_to(path)
    for output in (path, link):
        assert main(["export", str(path), "-o", str(output)]) == 1
        assert "would overwrite the model" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_import_of_json_is_checked_with_its_own_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """AIDA-X file of one Dense layer, y = 2 x + 1, with a recording that is wrong by 0.25 in one place."""
    layer = {"type": "dense", "activation": "", "shape": [None, None, 1], "weights": [[[2.0]], [1.0]]}
    document = {"in_shape": [None, None, 1], "layers": [layer], "input_batch": [1.0, 2.0], "output_batch": [3.0, 5.25]}
    source, model_path = tmp_path / "amp.json", tmp_path / "amp.safetensors"
    source.write_text(json.dumps(document), encoding="utf-8")
    assert call("import", source, "-o", model_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "read         JSON: <Model input(1) > dense1(1)>",
        "compared     with the file's own recording of 2 steps: 2.5e-01 off at most",
        f"written      {model_path}, 2 parameters",
    ]
    assert edge_rnn.Stream(edge_rnn.load(model_path)).step(3.0) == 7.0


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("model.txt", [], r"expected a file whose name ends in one of \.pt, "),
        ("amp.tflite", ["--modules", "a"], "--modules with .*: that option is only for PyTorch state_dict and JSON"),
        ("amp.json", ["--mean", "1", "--scale", "1"], "--mean and --scale with"),
        ("amp.json", ["--upto", "lstm"], "--upto with .*: that option is only for TFLite, Keras and ONNX"),
        ("bad.tflite", [], "bad.tflite"),
    ],
)
def test_import_says_what_it_takes(name: str, words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(EdgeRnnError, match=message):
        call("import", tmp_path / name, "-o", tmp_path / "out.safetensors", *words)
    assert not (tmp_path / "out.safetensors").exists()


def test_export_of_another_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = edge_rnn.data_path("smart_watch/gru.safetensors")
    assert call("export", path, "-o", tmp_path / "scores.onnx", "--head", "logits", "--steps", "20") == 0
    assert "Note: The graph's y contains scores, without the model's softmax" in capsys.readouterr().out
    letters = edge_rnn.data_path("reber/gru.safetensors")
    assert call("export", letters, "-o", tmp_path / "greedy.onnx", "--head", "greedy", "--steps", "20") == 0
    session = onnxruntime.InferenceSession(tmp_path / "greedy.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["symbol", "rnn.h"]
    assert [value.name for value in session.get_outputs()] == ["next_symbol", "y", "rnn.h_out"]
    with pytest.raises(EdgeRnnError, match="reads 6 symbols and outputs 4"):
        call("export", path, "-o", tmp_path / "none.onnx", "--head", "greedy")
    assert not (tmp_path / "none.onnx").exists()
