"""edge-rnn card, and inspect --page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import edge_rnn
from edge_rnn.cli import main

WATCH = str(edge_rnn.data_path("smart_watch/gru.safetensors"))
RECORDING = edge_rnn.data_path("smart_watch/recording.npz")
TEXTS = edge_rnn.data_path("reber/texts.json")


def test_card_is_a_folder_for_the_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "wrist"
    assert main(["card", WATCH, "-o", str(folder), "--license", "mit", "--hub", "someone/wrist"]) == 0
    assert {path.name for path in folder.iterdir()} == {"README.md", "network.svg", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == Path(WATCH).read_bytes()
    assert (folder / "network.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert "accuracy" not in (folder / "README.md").read_text(encoding="utf-8").split("## Not stated")[0]
    assert f"hf upload someone/wrist {folder}" in capsys.readouterr().out


def test_accuracy_is_measured_on_the_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", WATCH, "-o", str(tmp_path), "--recording", str(RECORDING)]) == 0
    with np.load(RECORDING) as data:
        right = int((edge_rnn.Stream(edge_rnn.load(WATCH)).run(data["x"]).argmax(1) == data["y"]).sum())
        of = len(data["y"])
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    text = f"{right / of:.2%}, {right:,} of {of:,} samples"
    assert f"| accuracy | {text} |" in card
    assert f"      value: {right / of!r}" in card
    assert "share of samples of recording.npz whose largest output is their label" in card
    assert edge_rnn.__version__ in card
    assert f"accuracy     {text}" in capsys.readouterr().out


def test_accuracy_on_texts(tmp_path: Path) -> None:
    letters = str(edge_rnn.data_path("reber/elman.safetensors"))
    assert main(["card", letters, "-o", str(tmp_path), "--recording", str(TEXTS)]) == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "exactly the allowed ones; state reset before each text." in card
    assert "97.71%, " in card


def test_card_that_was_edited_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert main(["card", WATCH, "-o", str(tmp_path)]) == 1
    assert "--force replaces it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert main(["card", WATCH, "-o", str(tmp_path), "--force"]) == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8").startswith("---\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--license", "MIT License"], "--license got 'MIT License', expected an identifier of the Hub such as mit"),
        (["--hub", "wrist"], "--hub got 'wrist', expected USER/MODEL."),
        (["--hub", 'a/b")\nx'], "expected USER/MODEL."),
        (["--hub", "datasets/wrist"], "--hub got 'datasets/wrist', expected USER/MODEL."),
        (["--labels", "y.txt"], "--labels needs --recording, the samples that they belong to."),
        (["--recording", str(edge_rnn.data_path("smart_watch/recording.csv"))], "card needs labels: y in "),
    ],
)
def test_refused(words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", WATCH, "-o", str(tmp_path / "card"), *words]) == 1
    assert says in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize("columns", [80, 140])
def test_inspect_breaks_no_word(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["inspect", WATCH]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    (head,) = (line.split() for line in lines if line.startswith("layer "))
    arrays = ["arrays"] if columns == 140 else []
    assert head == ["layer", "kind", "reads", "values", *arrays, "parameters", "multiply-adds"]
    assert any("weight_ih 48×6  weight_hh 48×16  bias_ih 48  bias_hh 48" in line for line in lines)
    assert any(line.split()[:3] == ["standardize1", "Standardize", "input"] for line in lines)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_page_is_self_contained(tmp_path: Path) -> None:
    target = tmp_path / "wrist.html"
    assert main(["inspect", WATCH, "--page", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert not page.addresses
    assert page.tags.count("svg") == 1
    assert page.tags.count("tr") == 4
    assert "How it was measured" not in text
    assert "accel_x (m/s²)" in text


@pytest.mark.slow
def test_page_says_what_was_found_on_a_recording(tmp_path: Path) -> None:
    target = tmp_path / "wrist.html"
    words = ["--recording", str(RECORDING), "--steps", "12000", "--page", str(target)]
    assert main(["inspect", WATCH, *words]) == 0
    text = target.read_text(encoding="utf-8")
    assert "Stable over 12,000 steps" in text
    assert "repeated with state carried over for 12,000 steps." in text


def test_page_with_hostile_names(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    model = edge_rnn.Model([edge_rnn.Dense(np.ones((2, 1)))], name=name, labels=(name, "b"), input_names=(name,))
    edge_rnn.save(model, tmp_path / "m.safetensors")
    assert main(["inspect", str(tmp_path / "m.safetensors"), "--page", str(tmp_path / "m.html")]) == 0
    page = _Page()
    page.feed((tmp_path / "m.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags


@pytest.mark.parametrize("name", ["wrist.pdf", "missing/wrist.html"])
def test_page_is_refused_up_front(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", WATCH, "--page", str(tmp_path / name)]) == 1
    assert "--page got " in capsys.readouterr().err
