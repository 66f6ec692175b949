"""``edge-rnn shrink``: recordings of every kind, the table, and messages for mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_rnn
import needs
from edge_rnn import Model, Stream
from edge_rnn.cli import main

LABELS = ("rest", "walk", "run")
QUICK = ("--formats", "float16,int8")


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 3, 16, head=3, labels=LABELS, input_names=("ax", "ay", "az"), name="wrist")


@pytest.fixture
def path(model: Model, tmp_path: Path) -> str:
    edge_rnn.save(model, tmp_path / "wrist.safetensors")
    return str(tmp_path / "wrist.safetensors")


@pytest.fixture
def recording(model: Model, tmp_path: Path) -> str:
    xs = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    np.savez(tmp_path / "recording.npz", x=xs, y=Stream(model).run(xs).argmax(axis=1).astype(np.uint8))
    return str(tmp_path / "recording.npz")


def test_table_verdict_and_file(path: str, recording: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small.safetensors"
    assert main(["shrink", path, "--data", recording, "-o", str(small), *QUICK]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "→" in out
    assert "Accuracy: 100.00% before," in out
    assert "Bound: accuracy at least 99.50%." in out
    assert f"Written: {small}." in out
    assert "Speed-up: " in out or "smaller, but not faster" in out
    assert edge_rnn.load(small).layers[0].formats
    assert main(["inspect", str(small)]) == 0
    assert "weight_hh 48×16 int8" in capsys.readouterr().out


def test_json(path: str, recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", path, "--data", recording, "--max-error", "0.1", "--json", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    best = found["trials"][found["best"]]
    assert best["error"] <= 0.1
    assert best["bytes"] < found["trials"][0]["bytes"]
    assert found["best"] in found["front"]
    assert found["bound"] == {"max_error": 0.1, "min_accuracy": None, "max_bytes": None}


@pytest.mark.slow
def test_report_is_written(path: str, recording: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.package("matplotlib")
    page = tmp_path / "shrink.html"
    assert main(["shrink", path, "--data", recording, "--report", str(page), *QUICK]) == 0
    assert f"Report: {page}." in capsys.readouterr().out
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")


@pytest.mark.slow
def test_lines_and_labels_by_name(model: Model, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xs = np.random.default_rng(1).standard_normal((120, 3)).astype(np.float32)
    names = [LABELS[place] for place in Stream(model).run(xs).argmax(axis=1)]
    data, labels = tmp_path / "r.csv", tmp_path / "labels.txt"
    data.write_text("ax,ay,az\n" + "\n".join(",".join(map(repr, row)) for row in xs.tolist()), encoding="utf-8")
    labels.write_text("\n".join(names) + "\n", encoding="utf-8")
    arguments = ["--data", str(data), "--labels", str(labels), "--min-accuracy", "0.9", "--json", *QUICK]
    assert main(["shrink", path, *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"][0]["accuracy"] == 1
    np.save(tmp_path / "r.npy", xs)
    assert main(["shrink", path, "--data", str(tmp_path / "r.npy"), "--json", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["bound"]["max_error"] == 0.01


MISTAKES: list[tuple[str, list[str], int, str]] = [
    ("no data", [], 2, "required: --data"),
    ("missing", ["--data", "none.npz"], 1, "none.npz: cannot be read: No such file"),
    ("no x", ["--data", "no_x.npz"], 1, "has no array 'x'"),
    ("not npz", ["--data", "bad.npz"], 1, "bad.npz: is damaged, or not a NumPy file"),
    ("pickle", ["--data", "pickle.npy"], 1, "pickle.npy: holds object of shape"),
    ("channels", ["--data", "wide.npy"], 1, "has samples of shape (5, 4), expected (time, 3)"),
    ("texts", ["--data", "texts.npy"], 1, "expected numbers"),
    ("a line", ["--data", "bad.csv"], 1, "bad.csv, line 2: "),
    ("NaN", ["--data", "nan.npy"], 1, "calibration got nan in sample 0, channel 1"),
    ("loss without labels", ["--data", "fine.npy", "--max-loss", "1"], 1, "--max-loss needs labels"),
    ("labels count", ["--data", "fine.npy", "--labels", "one.txt"], 1, "has (1,) labels, expected (5,)"),
    ("label", ["--data", "fine.npy", "--labels", "five.txt"], 1, "has the label 'jump', expected one of rest, walk"),
    ("format", ["--data", "fine.npy", "--formats", "int3"], 1, "got the format 'int3'"),
    ("folder", ["--data", "fine.npy", "-o", "none/x.safetensors"], 1, "there is no folder 'none'"),
    ("bytes", ["--data", "fine.npy", "--max-bytes", "10", *QUICK], 1, "no formats that keep the bound"),
    ("number", ["--data", "fine.npy", "--max-error", "-1"], 2, "expected a number above 0"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_mistakes(
    path: str,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("no_x.npz", z=np.zeros(3))
    Path("bad.npz").write_bytes(b"PK\3\4 not a zip file")
    np.save("pickle.npy", np.array([{}]), allow_pickle=True)
    np.save("wide.npy", np.zeros((5, 4)))
    np.save("texts.npy", np.array([["a", "b", "c"]]))
    np.save("fine.npy", np.ones((5, 3)))
    np.save("nan.npy", np.array([[0, np.nan, 0]]))
    Path("bad.csv").write_text("1,2,3\n1,x,3\n", encoding="utf-8")
    Path("one.txt").write_text("rest\n", encoding="utf-8")
    Path("five.txt").write_text("rest\nwalk\njump\nrest\nrest\n", encoding="utf-8")
    assert main(["shrink", path, *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_an_interrupt_keeps_the_best(
    path: str, recording: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_rnn.quantization import search

    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search._Search, "timed", interrupted)
    assert main(["shrink", path, "--data", recording, *QUICK]) == 0
    assert "The search was stopped early; this is the best model found." in capsys.readouterr().out
