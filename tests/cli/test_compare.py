"""``edge-rnn compare``: tables, JSON and page agree, and mistakes give one-sentence errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import edge_rnn
import needs
from edge_rnn import Dense, Elman, Model, Stream
from edge_rnn.cli import main
from edge_rnn.cli.compare import _names as names_of
from edge_rnn.cli.compare.view import spell_share

GRAMMAR = {
    "edge_rnn_texts": 1,
    "name": "first <comes> & again",
    "start": "s",
    "follow": {"s": {"x": "X", "y": "Y"}, "X": {"z": "X", "x": "e"}, "Y": {"z": "Y", "y": "e"}, "e": {}},
    "texts": ["xzx", "yzzzy", "xx", "yzy", "xzzzzzzzzzzx", "yzzzzzzzzzy"],
}
LABELS = ("rest", "walk <b>", "run")


class Page(HTMLParser):
    """Tags, identifiers and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture
def letters(tmp_path: Path) -> list[str]:
    """Two networks, one that remembers the first letter and one that does not, and texts for them."""
    paths = []
    for name, decay in (("keeps", 2.0), ("forgets", 0.0)):
        reads = Elman(np.array([[3, -3, 0]]), np.array([[decay]]))
        layers = [reads, Dense(np.array([[1], [-1], [0]]), np.array([0, 0, 9]))]
        edge_rnn.save(Model(layers, vocabulary="xyz"), tmp_path / f"{name}.safetensors")
        paths.append(str(tmp_path / f"{name}.safetensors"))
    (tmp_path / "texts.json").write_text(json.dumps(GRAMMAR), encoding="utf-8")
    return [*paths, "--data", str(tmp_path / "texts.json")]


@pytest.fixture
def wrist(tmp_path: Path, make_model: Callable[..., Model]) -> list[str]:
    paths, rng = [], np.random.default_rng(0)
    for kind in ("gru", "lstm"):
        edge_rnn.save(make_model(kind, 3, 8, head=3, labels=LABELS), tmp_path / f"{kind}.safetensors")
        paths.append(str(tmp_path / f"{kind}.safetensors"))
    np.savez(tmp_path / "walk.npz", x=rng.standard_normal((300, 3)), y=np.repeat([0, 2, 1, 0, 2], 60))
    return [*paths, "--data", str(tmp_path / "walk.npz")]


@pytest.mark.slow
def test_tables_and_words(letters: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *letters]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = {line.split("  ")[0].strip(): line for line in out.splitlines() if line.strip()}
    assert lines["accuracy"].split()[1:2] == ["100.00%"]
    assert lines["recurrent layers"].count("Elman") == 2
    assert "Accuracy by lag (number of preceding symbols needed)" in out
    assert "8–15" in out
    assert "Accuracy where 8 or more preceding symbols are needed" in out
    assert "Smallest: keeps" in out
    assert "per step" in out


def test_json_is_what_the_tasks_say(letters: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from edge_rnn.analysis.texts import read_texts

    assert main(["compare", *letters, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["task"], found["commonest"]) == ("texts", GRAMMAR["name"], None)
    keeps, forgets = found["models"]
    assert (keeps["name"], forgets["name"]) == ("keeps", "forgets")
    task = read_texts(tmp_path / "texts.json").task
    for each in found["models"]:
        model = edge_rnn.load(each["file"])
        score = task.score(model)
        assert (each["right"], each["of"], each["accuracy"]) == (score.right, score.of, score.accuracy)
        assert [(b["low"], b["right"], b["of"]) for b in each["by_lag"]] == [(b.low, b.right, b.of) for b in score.bins]
        assert each["parameters"] == model.num_parameters
        assert each["step_ns"] > 0
        assert each["on_board"] is None
    assert keeps["accuracy"] == 1 > forgets["accuracy"]


@pytest.mark.slow
def test_recording(wrist: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *wrist, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["commonest"]) == ("recording", 0.4)
    xs = np.load(wrist[-1])
    said = Stream(edge_rnn.load(wrist[0])).run(xs["x"].astype(np.float32)).argmax(axis=1)
    assert found["models"][0]["right"] == int((said == xs["y"]).sum())
    assert main(["compare", *wrist]) == 0
    out = capsys.readouterr().out
    assert "Accuracy in the first 8 samples after a change (40 of 300): " in out
    assert "Always predicting the most common label gives 40.00%." in out


@pytest.mark.may_use("llvm-mca", "llvm-objdump")
@pytest.mark.slow
def test_on_a_board(letters: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from edge_rnn import boards
    from edge_rnn.boards.fitting import fit

    assert main(["compare", *letters, "--device", "raspberry_pi_4", "--json"]) == 0
    for each in json.loads(capsys.readouterr().out)["models"]:
        estimate = fit(edge_rnn.load(each["file"]), boards.load("raspberry_pi_4")).estimate
        assert each["on_board"] == {
            "device": "raspberry_pi_4",
            "step_ns": round(estimate.ns, 1),
            "step_ns_low": round(estimate.ns * estimate.method.low, 1),
            "step_ns_high": round(estimate.slow_ns, 1),
            "method": estimate.method.name,
        }


@pytest.mark.parametrize("which", ["letters", "wrist"])
@pytest.mark.sampled(1)
def test_page_is_whole_and_needs_nothing_else(
    which: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs.package("matplotlib")
    target = tmp_path / "page.html"
    arguments = request.getfixturevalue(which)
    assert main(["compare", *arguments, "--report", str(target), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    text = target.read_text(encoding="utf-8")
    page = Page(text)
    plots = ["lags", "sizes", "times", "memory", *(["confusion0", "confusion1"] if which == "wrist" else [])]
    assert [each for each in page.ids if each in plots] == plots
    assert page.tags.count("svg") == len(plots)
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "img", "iframe", "b", "comes"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    rest = text.replace("http://www.w3.org/2000/svg", "")
    assert not any(mark in rest for mark in ("http:", "https:", "//", "@import", "url(data"))
    for each in found["models"]:
        assert spell_share(each["accuracy"]) in page.texts
        assert f"{each['bytes']:,}" in page.texts


def test_not_quite_all_is_not_all() -> None:
    assert [spell_share(share) for share in (1.0, 0.99999, 0.5)] == ["100.00%", "99.99%", "50.00%"]


def test_names_of_files_alike(letters: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "keeps.safetensors"
    twin.write_bytes(Path(letters[0]).read_bytes())
    assert main(["compare", letters[0], str(twin), *letters[2:], "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["models"]] == [letters[0], str(twin)]
    assert main(["compare", letters[0], letters[0], *letters[2:]]) == 1
    assert "more than once; give each model once." in capsys.readouterr().err


def test_mistakes(letters: list[str], wrist: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare.npz"
    np.savez(bare, x=np.zeros((5, 3)))
    wrong = {
        "no.json": '{"edge_rnn_texts": 1, ',
        "two.json": '{"edge_rnn_texts": 2}',
        "start.json": json.dumps({**GRAMMAR, "start": 3}),
        "follow.json": json.dumps({**GRAMMAR, "follow": {"s": ["x"]}}),
        "few.json": json.dumps({**GRAMMAR, "texts": ["x"]}),
        "alien.json": json.dumps({**GRAMMAR, "texts": ["xzx", "xy"]}),
        "lost.json": json.dumps({**GRAMMAR, "follow": {"s": {"x": "t"}}}),
    }
    for name, text in wrong.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    networks = letters[:2]
    for arguments, said in (
        ([*wrist[:2], "--data", str(bare)], f"compare needs labels: y in {bare}, or --labels FILE."),
        ([*networks, *wrist[:1], *letters[2:]], "compare got a model without a vocabulary"),
        ([*letters, "--labels", "x"], "--labels is for a recording"),
        ([*letters, "--report", str(tmp_path / "page.pdf")], "expected a name that ends in .html"),
        ([*letters, "--device", "toaster"], "unknown device 'toaster'"),
        ([*networks, "--data", str(tmp_path / "none.json")], "none.json: No such file or directory."),
        ([*networks, "--data", str(tmp_path / "no.json")], "no.json: is not JSON"),
        ([*networks, "--data", str(tmp_path / "two.json")], 'expected "edge_rnn_texts": 1 in it'),
        ([*networks, "--data", str(tmp_path / "start.json")], "start.json: has no grammar"),
        ([*networks, "--data", str(tmp_path / "follow.json")], "follow.json: has no grammar"),
        ([*networks, "--data", str(tmp_path / "few.json")], "few.json: has no valid texts"),
        (
            [*networks, "--data", str(tmp_path / "alien.json")],
            "the text 'xy' does not follow the grammar: symbol 2 is 'y'",
        ),
        ([*networks, "--data", str(tmp_path / "lost.json")], "names the state 't', which is not defined"),
    ):
        assert main(["compare", *arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err, err
        assert "Traceback" not in err


def test_models_on_the_hub_are_called_by_their_names() -> None:
    assert names_of(["hf://someone/wrist@v1.2", "hf://someone/arm/gru.safetensors@v1.2"]) == ["wrist", "gru"]
