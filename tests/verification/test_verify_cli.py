"""`edge-rnn verify` and the precisions of `edge-rnn export`, as a CI job calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import edge_rnn
from edge_rnn.cli import main
from graphs import graph_of

pytestmark = pytest.mark.sampled(4)

HEADLINE = "        reference-Stream  reference-ONNX  Stream-ONNX  of tolerance"


@pytest.fixture
def files(make_model: Callable[..., edge_rnn.Model], tmp_path: Path) -> Path:
    edge_rnn.save(make_model("gru", 3, 6, input_names=("a", "b", "c")), tmp_path / "m.safetensors")
    return tmp_path


def run(*words: str | Path) -> int:
    return main([str(word) for word in words])


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "int8-weights", "int4"])
@pytest.mark.parametrize("operators", ["onnxruntime", "standard"])
def test_export_then_verify(precision: str, operators: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, graph = files / "m.safetensors", files / "g.onnx"
    target = ("--precision", precision, "--operators", operators)
    assert run("export", model, "-o", graph, *target, "--steps", "30") == 0
    told = capsys.readouterr().out
    assert told.endswith(f"\nwritten to {graph}\n")
    assert ("\nbytes  " in told and "\ntime   " in told) == (precision != "float32")
    domains = {opset.domain for opset in onnx.load(graph).opset_import}
    assert domains <= ({""} if operators == "standard" else {"", "com.microsoft"})
    assert run("verify", model, graph, "--steps", "30") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "30 steps, largest absolute differences"
    assert lines[2] == HEADLINE
    assert [line.split()[0] for line in lines[3:5]] == ["y", "gru1.h"]
    assert lines[-1] == f"{graph} agrees with {model}"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_graph_that_is_off_gives_exit_code_1(precision: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, graph = files / "m.safetensors", files / "g.onnx"
    proto = graph_of(edge_rnn.load(model), "step", precision)  # type: ignore[arg-type]
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "dense2.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(1e-3), bias.name))
    graph.write_bytes(proto.SerializeToString())
    assert run("verify", model, graph, "--steps", "30") == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[3].startswith("y ")
    assert "FAILED at index" in told.out.splitlines()[3]
    assert told.out.endswith(f"{graph} DOES NOT AGREE with {model}\n")
    assert told.err == ""


def test_a_graph_of_another_model_gives_exit_code_1(
    make_model: Callable[..., edge_rnn.Model], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge_rnn.save(make_model("gru", 3, 6, seed=1), files / "other.safetensors")
    assert run("export", files / "m.safetensors", "--steps", "5") == 0
    assert run("verify", files / "other.safetensors", files / "m.onnx", "--steps", "5") == 1
    assert "written for another model" in capsys.readouterr().out


def test_on_a_recording(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV with columns in another order, and an array of the same samples, give the same figures."""
    xs = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.save(files / "walk.npy", xs)
    lines = ["c,a,b", *(f"{c!r},{a!r},{b!r}" for a, b, c in xs.astype(float).tolist())]
    (files / "walk.csv").write_text("\n".join(lines), encoding="utf-8")
    model, graph = files / "m.safetensors", files / "g.onnx"
    assert run("export", model, "-o", graph, "--steps", "70", "--recording", files / "walk.npy") == 0
    exported = capsys.readouterr().out.splitlines()
    for name in ("walk.csv", "walk.npy"):
        assert run("verify", model, graph, "--steps", "70", "--recording", files / name) == 0
        assert capsys.readouterr().out.splitlines()[:5] == exported[:5]
    assert exported[0].startswith("70 steps")  # the recording almost twice


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["verify", "m.safetensors", "none.onnx"], 1, "none.onnx: cannot be read: No such file"),
        (["verify", "none.safetensors", "g.onnx"], 1, "none.safetensors"),
        (["verify", "m.safetensors", "g.onnx", "--steps", "0"], 1, "steps got 0, expected a whole number from 1"),
        (["verify", "m.safetensors", "g.onnx", "--recording", "none.csv"], 1, "none.csv: cannot be read: No such file"),
        (["verify", "m.safetensors", "g.onnx", "--recording", "two.npy"], 1, "two.npy: has samples of shape (5, 2)"),
        (["verify", "m.safetensors"], 2, "the following arguments are required: FILE"),
        (["export", "m.safetensors", "--precision", "int2"], 2, "invalid choice: 'int2'"),
        (["export", "m.safetensors", "--operators", "all"], 2, "invalid choice: 'all'"),
        (["export", "four.safetensors", "--precision", "int8"], 1, "in the format int4 and the precision 'int8'"),
    ],
)
def test_errors_are_reported(
    words: list[str],
    code: int,
    message: str,
    files: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    np.save("two.npy", np.zeros((5, 2)))
    model = edge_rnn.load("m.safetensors")
    edge_rnn.save(edge_rnn.quantize(model, "int4"), "four.safetensors")
    Path("g.onnx").write_bytes(graph_of(model).SerializeToString())
    before = sorted(files.iterdir())
    assert run(*words) == code
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert sorted(files.iterdir()) == before


def test_a_quantized_model_keeps_its_formats(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = edge_rnn.load(files / "m.safetensors")
    edge_rnn.save(edge_rnn.quantize(model, {"gru1": "int8", "dense2": "float16"}), files / "small.safetensors")
    assert run("export", files / "small.safetensors", "--steps", "30") == 0
    assert run("verify", files / "small.safetensors", files / "small.onnx", "--steps", "30") == 0
    assert "ONNX from float32 weights" in capsys.readouterr().out
