"""Model cards and drawings: what they say of a network, and that names from a file are never markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import edge_rnn
import needs
from edge_rnn.cards.description import describe, facts, sentence
from edge_rnn.cards.drawing import draw
from edge_rnn.cards.markdown import Measured, escape, model_card
from edge_rnn.equations import tanh
from edge_rnn.layers import Add
from edge_rnn.printable import is_printable, printable

SVG = "{http://www.w3.org/2000/svg}"
WATCH = edge_rnn.load(edge_rnn.data_path("smart_watch/gru.safetensors"))
READER = MarkdownIt("commonmark").enable("table")
NASTY = [
    "<script>alert(1)</script>",
    "![x](http://127.0.0.1/x.png)",
    "[a](javascript:b)",
    "| a | b |",
    "`code` **bold** _it_ ~~no~~",
    "# heading",
    "--- \n- item",
    "&lt;b&gt; &amp; &#60;i>",
    "a\\|b\\",
    "$x$ :smile: @someone #1",
    "http://127.0.0.1 www.example.org <a@b.org> a@b.org",
    "]]> --> </svg> </style>",
    '"quoted": yes\n- x: {y}',
    "!!python/object",
]


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def skipping(**options: Any) -> edge_rnn.Model:
    """Two cells, a head that reads both, and an addition."""
    return edge_rnn.Model(
        [
            edge_rnn.GRU(_random(12, 3), _random(12, 4), name="first"),
            edge_rnn.LSTM(_random(16, 4), _random(16, 4), name="second"),
            Add(name="sum", inputs=("first", "second")),
            edge_rnn.Dense(_random(2, 8), name="head", inputs=("sum", "first")),
        ],
        **options,
    )


def test_card_says_what_the_model_file_says() -> None:
    card = model_card(describe(WATCH), drawing="network.svg", license_id="mit", address="someone/wrist")
    assert "A recurrent network (GRU) that reads 6 values, 10 times per second" in card
    assert "![Layers of the network](network.svg)" in card
    assert 'edge_rnn.load("hf://someone/wrist")' in card
    assert all(word in card for word in ("accel_x (m/s²)", "1,232", WATCH.fingerprint, "np.zeros(6,"))


def test_card_holds_no_figure_that_was_not_measured() -> None:
    card = model_card(describe(WATCH))
    assert "## Measured" not in card
    assert "metrics:" not in card
    assert "license:" not in card
    assert "its accuracy; its license." in card
    assert 'edge_rnn.load("model.safetensors")' in card


def test_card_and_description_have_the_equation_of_a_cell() -> None:
    @edge_rnn.cell
    def leaky(p: Any, x: Any, h: Any) -> Any:
        h = (1 - p.leak) * h + p.leak * tanh(p.W @ x)
        return h, {"h": h}

    found = describe(edge_rnn.Model([leaky(W=_random(4, 3), leak=0.25, name="rnn"), edge_rnn.Dense(_random(2, 4))]))
    text = "h' = (1 - leak) * h + leak * tanh(W @ x)\ny = h'"
    assert found["layers"][0]["equation"]["text"] == text
    assert r"\tanh(W \, x)" in found["layers"][0]["equation"]["latex"]
    assert "equation" not in found["layers"][1]
    assert f"rnn:\n\n```text\n{text}\n```" in model_card(found)


def test_front_matter_is_what_the_hub_reads() -> None:
    hub = needs.package("huggingface_hub")
    measured = Measured("accuracy", 0.9115, 'walk "1": x.npz', "91.15%", "Accuracy: …")
    card = hub.ModelCard(model_card(describe(WATCH), license_id="apache-2.0", measured=[measured]))
    data = card.data
    assert (data.library_name, data.license, data.metrics) == ("edge-rnn", "apache-2.0", ["accuracy"])
    assert data.tags == ["edge-rnn", "recurrent-neural-network", "streaming", "gru"]
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 0.9115, 'walk "1": x.npz')
    assert data.model_name == WATCH.name


@pytest.mark.parametrize("name", NASTY)
def test_names_are_no_yaml_but_one_text(name: str) -> None:
    hub = needs.package("huggingface_hub")
    measured = Measured("accuracy", 0.5, name, "50%", "")
    found = describe(WATCH) | {"name": name}
    (result,) = hub.ModelCard(model_card(found, measured=[measured])).data.eval_results
    assert result.dataset_name == printable(name)


@pytest.mark.parametrize("name", NASTY)
def test_names_are_no_markdown(name: str) -> None:
    _check_inline(name)


@given(st.text(st.sampled_from("ab1 _*`[]()<>!#|\\&;~:/.-+=\"'{}$@^\n\t\u202e"), max_size=20))
def test_no_text_is_markdown(text: str) -> None:
    _check_inline(text)


def _check_inline(name: str) -> None:
    """Check that a name in a table cell is rendered as plain text."""
    tokens = READER.parse(f"| x |\n| --- |\n| a{escape(name)}b |\n")
    (cell,) = [token for token in tokens if token.type == "inline" and token.content != "x"]
    assert {child.type for child in cell.children or []} <= {"text", "text_special"}
    shown = "".join(child.content for child in cell.children or [])
    assert shown == "a" + " ".join(printable(name).split()) + "b"
    assert not re.search(r"(?<!\\)[:.](?<=www\.)|(?<!\\)://", escape(name))


def _blocks(found: dict[str, Any]) -> list[str]:
    return [token.type for token in READER.parse(model_card(found).split("---\n", 2)[2])]


@pytest.mark.parametrize("name", NASTY)
def test_card_with_any_name_has_the_same_parts(name: str) -> None:
    found = describe(WATCH)
    found |= {"name": name, "labels": [name, *found["labels"][1:]], "input_units": [name] * 6}
    plain, nasty = (
        [token.type for token in READER.parse(model_card(each).split("---\n", 2)[2])]
        for each in (describe(WATCH), found)
    )
    assert plain == nasty


@pytest.mark.parametrize("name", NASTY)
def test_drawing_with_any_name_is_well_formed(name: str) -> None:
    found = describe(WATCH)
    found |= {"name": name, "labels": [name, *found["labels"][1:]], "input_names": [name] * 6}
    svg = draw(found)
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "rect", "path", "polygon", "text")
    }
    assert root.find(f"{SVG}title").text == f"Layers of {printable(name)}"  # type: ignore[union-attr]
    assert is_printable(svg, keep="\n")


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_drawing_has_layers_sizes_and_states() -> None:
    texts = _texts(draw(describe(skipping(name="two"))))
    for text in ("input: 3 values", "GRU  first", "4 units, 84 parameters", "LSTM  second", "Add  sum", "Dense  head",
                 "output: 2 values"):  # fmt: skip
        assert text in texts
    assert [text for text in texts if re.match("[hc]: ", text)] == ["h: 4", "h: 4", "c: 4"]


def test_drawing_has_a_loop_for_each_cell_and_an_arrow_for_each_connection() -> None:
    root = ET.fromstring(draw(describe(skipping())))
    paths = list(root.iter(f"{SVG}path"))
    assert sum(path.get("class") == "loop" for path in paths) == 2
    assert sum(path.get("class") is None for path in paths) == 1 + 1 + 2 + 2 + 1
    lanes = {path.get("d", "").split("Q")[0].split("H")[1] for path in paths if "Q" in path.get("d", "")
             and path.get("class") is None}  # fmt: skip
    assert len(lanes) == 2  # first to sum and first to head leave by lanes of their own


def test_drawing_of_many_layers_leaves_out_the_middle() -> None:
    layers = [edge_rnn.Elman(_random(2, 2), _random(2, 2)) for _ in range(200)]
    svg = draw(describe(edge_rnn.Model(layers)))
    assert "… 176 more layers …" in _texts(svg)
    assert len(svg) < 30_000
    assert sum("Elman" in text for text in _texts(svg)) == 24


def test_nothing_is_drawn_beyond_the_picture() -> None:
    root = ET.fromstring(draw(describe(skipping())))
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    for element in root.iter(f"{SVG}rect"):
        x, y = float(element.get("x", 0)), float(element.get("y", 0))
        assert x >= 0
        assert y >= 0
        assert x + float(element.get("width", 0)) <= width
        assert y + float(element.get("height", 0)) <= height
    for path in root.iter(f"{SVG}path"):
        assert min(map(float, re.findall(r"\d+", path.get("d", "")))) >= 0


def test_same_network_gives_the_same_drawing() -> None:
    assert draw(describe(skipping())) == draw(describe(skipping()))


def test_drawing_in_the_docs_is_that_of_today() -> None:
    shown = Path(__file__).parents[2] / "docs" / "images" / "network.svg"
    assert shown.read_text(encoding="utf-8") == draw(describe(WATCH))


def test_sentence_of_a_network_that_reads_symbols() -> None:
    letters = edge_rnn.load(edge_rnn.data_path("reber/lstm.safetensors"))
    assert "reads one of 7 symbols" in sentence(describe(letters))
    assert "7 labels" in sentence(describe(letters))


def test_sentence_without_a_state() -> None:
    assert sentence(describe(edge_rnn.Model([edge_rnn.Dense(_random(1, 2))]))) == (
        "A network without state that reads 2 values, and answers each time with 1 value."
    )


def test_description_is_json() -> None:
    found = describe(skipping())
    assert json.loads(json.dumps(found)) == found
    assert facts(found)["state"] == "first.h 4, second.h 4, second.c 4"
