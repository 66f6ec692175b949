"""Untrusted texts cannot control a terminal, start a line or hide: in errors, tables, journals, pages, CSV."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import needs
from edge_rnn import Dense, Model, errors
from edge_rnn.cli.shared.console import make_console, print_facts, print_table, say, warn
from edge_rnn.loop.report.journal import Journal
from edge_rnn.loop.system.clock import SystemClock
from edge_rnn.printable import as_html, is_printable, printable
from edge_rnn.recordings.result_lines import csv_cell, csv_header, csv_results

STEERING = {
    "clears the screen": "\x1b[2J",
    "C1's CSI": "\x9b2J",
    "next line": "\x85",
    "newline": "\n",
    "return": "\r",
    "delete": "\x7f",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right to left override": "\u202e",
    "isolate": "\u2066",
    "mark": "\u200f",
    "Arabic letter mark": "\u061c",
    "half a surrogate": "\udc9b",
    "tag": "\U000e0041",
    "zero width space": "\u200b",
    "joiner in a Latin word": "\u200d",
    "byte order mark": "\ufeff",
    "soft hyphen": "\xad",
    "Hangul filler": "\u3164",
}
PLAIN = ["", "gru 1", "naïve – ±5 °C, m/s²", "日本語", "क्‍ष", "می‌خواهم", "👩‍🔬", "❤️", "[/red]", "a\\b", "½\u00a0g"]


@pytest.mark.parametrize("text", STEERING.values(), ids=STEERING.keys())
def test_control_characters_are_spelled_out(text: str) -> None:
    shown = printable(f"walk{text}run")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.startswith("walk\\")
    assert shown.encode().decode("unicode_escape") == f"walk{text}run"
    assert not is_printable(f"walk{text}run")


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_of_all_scripts_stays(text: str) -> None:
    assert printable(text) == text


def test_no_character_of_a_control_category_stays() -> None:
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    every = [chr(code) for code in range(0x110000)]
    steering = "".join(each for each in every if unicodedata.category(each) in kinds)
    assert printable(steering).isascii()
    letters = "".join(each for each in every if unicodedata.category(each) in ("Ll", "Lu", "Nd", "Sm"))
    assert printable(letters) == letters


@pytest.mark.parametrize("kind", [name for name in errors.__all__ if isinstance(getattr(errors, name), type)])
def test_errors_are_one_line_of_plain_text(kind: str) -> None:
    for text in STEERING.values():
        error = getattr(errors, kind)(f"no layer {text}.")
        assert str(error) == f"no layer {printable(text)}."
        assert f"{error}".isprintable()
        assert error.args == (f"no layer {text}.",)


@pytest.mark.parametrize("text", STEERING.values(), ids=STEERING.keys())
@pytest.mark.parametrize("where", ["name", "labels", "input_names", "input_units"])
def test_model_refuses_names_with_control_characters(where: str, text: str) -> None:
    given = f"a{text}b"
    with pytest.raises(errors.ModelError, match=f"Model {where} got .* expected a text without control characters"):
        Model([Dense(np.ones((1, 1)))], **{where: given if where == "name" else [given]})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", PLAIN)
def test_model_takes_plain_names_of_all_scripts(text: str) -> None:
    assert Model([Dense(np.ones((1, 1)))], labels=[text]).labels == (text,)


def test_tables_take_no_text_for_markup_or_control(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("head\x1b[2J", title="[red]title\x9b")
    table.add_row(Text("cell\x1b]0;mine\x07[/red]"))
    console = make_console()
    print_table(console, table)
    print_facts(console, {"file": "a\rb\u202e[bold]"})
    console.print("line\x1b[1A")
    say("written to a\x1b[2K\nedge-rnn: all is well")
    warn("left out: \x1b[2K\nedge-rnn: all is well")
    shown = capsys.readouterr()
    assert all(line.isprintable() for line in (shown.out + shown.err).splitlines())
    for text in ("head\\x1b[2J", "[red]title\\x9b", "cell\\x1b]0;mine", "a\\rb\\u202e[bold]", "line\\x1b[1A"):
        assert text in shown.out
    assert shown.out.endswith("written to a\\x1b[2K\\nedge-rnn: all is well\n")
    assert shown.err == "edge-rnn: left out: \\x1b[2K\\nedge-rnn: all is well\n"


def test_journal_hands_on_one_plain_line() -> None:
    said: list[str] = []
    journal = Journal(said.append, SystemClock())
    journal.tell("source", "broken\nedge-rnn: all is well\x1b[2J")
    journal.say("status\u2028")
    assert said == ["broken\\nedge-rnn: all is well\\x1b[2J", "status\\u2028"]
    assert journal.as_json()["source"]["last"] == said[0]


def test_page_shows_neither_markup_nor_control() -> None:
    assert as_html('<b id="x">\x1b\u202e') == "&lt;b id=&quot;x&quot;&gt;\\x1b\\u202e"


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "=1,2", '="a"', "＝1", "-", "+a", "-1 m"]
)
def test_cell_is_no_formula(text: str) -> None:
    (row,) = csv.reader(io.StringIO(f"{csv_cell(text)},1\n"))
    assert row == ["'" + text, "1"]


@pytest.mark.parametrize("text", ["walk", "a,b", 'say "a"', "-1", "+0.5", "-1e-3", "1=2", "é", ""])
def test_cell_of_another_text_is_the_text(text: str) -> None:
    (row,) = csv.reader(io.StringIO(f"{csv_cell(text)},1\n"))
    assert row == [text, "1"]


def test_results_hold_no_formula() -> None:
    model = Model([Dense(np.eye(2))], labels=["=1+1", "rest"])
    lines = csv_header(model, "t_s") + csv_results(model)("0.5", np.array([1.0, -2.0], np.float32))
    assert list(csv.reader(io.StringIO(lines))) == [["t_s", "label", "'=1+1", "rest"], ["0.5", "'=1+1", "1.0", "-2.0"]]


def test_figure_takes_dollars_and_backslashes_for_themselves(tmp_path: Path) -> None:
    needs.package("matplotlib")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from edge_rnn.cli.report.style import STYLE, write_figure

    with rc_context(STYLE | {"svg.fonttype": "none"}):
        figure = Figure()
        figure.text(0.5, 0.5, r"$\input{secret}$")
        write_figure(figure, str(tmp_path / "figure.svg"))
    assert r"$\input{secret}$" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["figure.svg"]
