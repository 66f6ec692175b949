"""Page of ``edge-rnn shrink``: well-formed, self-contained, escaped, and correct."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import Model
from edge_rnn.cli.report import page as pages
from edge_rnn.cli.report.page import check_target
from edge_rnn.cli.shrink.page import write_page
from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn.quantization.search import shrink
from edge_rnn.quantization.trials import Shrunk

needs.package("matplotlib")

VOID = {"meta", "br", "link", "img", "hr", "input"}
NASTY = ("<b>sit</b>", 'walk & "run"', "$x_1$ </svg><script>alert(1)</script>")
FACTS = {"model": "a<b>.safetensors", "recording": "r&d.npz"}


class Page(HTMLParser):
    """Contents of a page; elements have to be closed in the order in which they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 3, 8, head=3, name="wrist <1> & co", labels=NASTY)


@pytest.fixture(scope="module")
def xs() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.arange(300) % 3


@pytest.fixture(scope="module")
def shrunk(model: Model, xs: np.ndarray, labels: np.ndarray) -> Shrunk:
    return shrink(model, xs, labels=labels, max_error=0.9, formats=("int8", "rank:50%"))


def written(path: Path, *arguments: Any) -> str:
    write_page(str(path), *arguments, FACTS)
    return path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_page_is_whole_and_needs_nothing_else(
    tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray, labels: np.ndarray
) -> None:
    text = written(tmp_path / "page.html", model, shrunk, xs, labels)
    page = Page(text)
    assert page.seen.count("svg") == 5
    assert page.seen.count("table") == 1
    assert not {"script", "link", "img", "iframe", "image", "foreignobject"} & set(page.seen)
    assert all(value.startswith("#") for name in ("href", "src", "xlink:href") for value in page.values(name))
    rest = text.replace("http://www.w3.org/2000/svg", "")
    assert not any(mark in rest for mark in ("http:", "https:", "//", "@import", "url(data"))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    used = {value[1:] for value in page.values("href")} | {
        part.split(")")[0] for value in page.values("clip-path") for part in value.split("url(#")[1:]
    }
    assert used <= set(ids)
    sections = [each for each in ids if each in ("front", "drift", "sensitivity", "before", "after")]
    assert sections == ["front", "drift", "sensitivity", "before", "after"]
    assert {path.name for path in tmp_path.iterdir()} == {"page.html"}


@pytest.mark.slow
def test_texts_of_models_and_files_are_escaped(
    tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray, labels: np.ndarray
) -> None:
    page = Page(written(tmp_path / "page.html", model, shrunk, xs, labels))
    assert "b" not in page.seen
    assert "script" not in page.seen
    assert {model.name, *NASTY[:2], NASTY[2][:17] + "…", *FACTS.values()} <= set(page.texts)


@pytest.mark.slow
def test_page_without_labels(tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray) -> None:
    bare = replace(model, labels=())
    trials = {id(each): replace(each, accuracy=None) for each in shrunk.trials}
    unknown = replace(shrunk, best=trials[id(shrunk.best)], trials=tuple(trials.values()))
    page = Page(written(tmp_path / "page.html", bare, unknown, xs, None))
    assert page.seen.count("svg") == 3
    assert not any("accura" in text.lower() and "calibrated" not in text for text in page.texts)


@pytest.mark.slow
def test_outputs_without_names_are_numbered(
    tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray, labels: np.ndarray
) -> None:
    page = Page(written(tmp_path / "page.html", replace(model, labels=(), name=""), shrunk, xs, labels.astype("u1")))
    assert {"0", "1", "2", "Unnamed model"} <= set(page.texts)


@pytest.mark.slow
def test_table_has_the_front_and_marks_the_chosen(
    tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray, labels: np.ndarray
) -> None:
    page = Page(written(tmp_path / "page.html", model, shrunk, xs, labels))
    rows = {shrunk.trials[0], *shrunk.front, shrunk.best}
    assert page.seen.count("tr") == 1 + len(rows)
    assert page.values("class").count("chosen") == 1
    assert {f"{trial.nbytes:,}" for trial in rows} <= set(page.texts)
    numbers = [text for text in page.texts if re.fullmatch(r"\d+", text.strip(" ▶"))]
    for number in range(1, len(rows) + 1):  # in the table, and next to the point in the plot
        assert sum(text.strip(" ▶") == str(number) for text in numbers) >= 2


@pytest.mark.parametrize(
    ("step_ns", "said"),
    [
        (150.0, "a step takes 150 ns instead of 100 ns on this machine: smaller, but not faster."),
        (99.0, "a step takes 99 ns instead of 100 ns on this machine: smaller, but not faster."),
        (50.0, "a step takes 50 ns instead of 100 ns on this machine, a speed-up of 2.00."),
        (None, "the step time was not measured."),
    ],
)
@pytest.mark.slow
def test_verdict_reports_the_step_time(
    step_ns: float | None, said: str, tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray
) -> None:
    best = replace(shrunk.best, step_ns=step_ns, baseline_ns=step_ns and 100.0)
    trials = tuple(best if each is shrunk.best else each for each in shrunk.trials)
    page = Page(written(tmp_path / "page.html", model, replace(shrunk, best=best, trials=trials), xs, None))
    verdict = next(text for text in page.texts if "become" in text)
    assert verdict.startswith(f"{shrunk.trials[0].nbytes:,} bytes become {best.nbytes:,}, ")
    assert verdict.endswith(said)


@pytest.mark.slow
def test_page_of_a_search_that_found_nothing(tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray) -> None:
    plain = replace(shrunk.trials[0], step_ns=None, baseline_ns=None)
    page = Page(written(tmp_path / "page.html", model, Shrunk(model, plain, (plain,), {}, True), xs, None))
    assert page.seen.count("svg") == 2
    assert any(text.startswith("Nothing smaller is within the bound") for text in page.texts)
    assert any("was stopped" in text for text in page.texts)


@pytest.mark.parametrize("error", [float("inf"), float("nan"), 0.0])
@pytest.mark.slow
def test_page_of_trials_without_an_ordinary_error(
    error: float, tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray
) -> None:
    trials = (*shrunk.trials[:2], *(replace(each, error=error) for each in shrunk.trials[2:]))
    odd = {name: {k: replace(v, error=error) for k, v in own.items()} for name, own in shrunk.sensitivity.items()}
    Page(written(tmp_path / "page.html", model, Shrunk(shrunk.model, trials[1], trials, odd), xs, None))


@pytest.mark.slow
def test_same_input_gives_the_same_page(
    tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Day(pages.date):
        @classmethod
        def today(cls) -> Day:
            return cls(2026, 1, 2)

    monkeypatch.setattr(pages, "date", Day)
    first, second = (written(tmp_path / f"{i}.html", model, shrunk, xs, labels) for i in range(2))
    assert first == second
    assert "2026-01-02" in first


def test_drift_ends_at_the_error_of_the_table(model: Model, shrunk: Shrunk, xs: np.ndarray) -> None:
    from edge_rnn.cli.shrink.plots import drifts

    lines = drifts(model, shrunk, xs)
    chosen = next(name for name in lines if name.startswith("chosen"))
    uniform = {name.removeprefix("chosen: ") for name in lines} - {"chosen"}
    assert uniform == {"float16", "int8", "w8a8", "int4"}
    assert all(len(values) == 10_000 for values in lines.values())
    assert lines[chosen][-1] == pytest.approx(shrunk.best.error, rel=1e-9)  # the same sums in another order


def test_confusion_matrix_counts_labels_by_outputs(model: Model, xs: np.ndarray, labels: np.ndarray) -> None:
    from edge_rnn import Stream
    from edge_rnn.cli.report.confusion import confusion

    counts = confusion(model, xs, labels)
    said = Stream(model).run(xs).argmax(axis=1)
    for truth in range(3):
        for taken in range(3):
            assert counts[truth, taken] == np.sum((labels == truth) & (said == taken))


def test_target_is_checked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_target(str(tmp_path / "page.html"))
    check_target(str(tmp_path / "page.HTML"))
    (tmp_path / "folder.html").mkdir()
    for target, said in (
        (tmp_path / "page.pdf", r"expected a name that ends in \.html"),
        (tmp_path / "page", r"expected a name that ends in \.html"),
        (tmp_path / "none" / "page.html", "there is no folder"),
        (tmp_path / "folder.html", "is a folder"),
    ):
        with pytest.raises(InputError, match=said):
            check_target(str(target))
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"pip install 'edge-rnn\[plot\]'"):
        check_target(str(tmp_path / "page.html"))


@pytest.mark.slow
def test_page_that_cannot_be_written(tmp_path: Path, model: Model, shrunk: Shrunk, xs: np.ndarray) -> None:
    with pytest.raises(FileError, match="there is no folder"):
        write_page(str(tmp_path / "none" / "page.html"), model, shrunk, xs, None, {})
