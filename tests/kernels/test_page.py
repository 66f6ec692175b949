"""The page that follows one step agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge_rnn import boards
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.kernels.program.record import PLACES, RECORD_INTS, Record
from edge_rnn.layers import LSTM, Dense
from edge_rnn.model import Model
from edge_rnn.streams.plan import Plan
from edge_rnn.streams.planner import plan_for

KERNELS = Path(__file__).parents[2] / "edge_rnn" / "kernels"
PAGE = (KERNELS / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plan() -> Plan:
    lstm, head = LSTM(np.ones((20, 3)), np.ones((20, 5)), name="rnn"), Dense(np.ones((2, 5)), name="head")
    return plan_for(Model([lstm, head]), boards.load("raspberry_pi_4").target)


def rows_under(title: str) -> list[list[str]]:
    """Cells of the table under a heading."""
    part = PAGE.split(f"## {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


def test_places_in_memory(plan: Plan) -> None:
    h, c = plan.states["rnn.h"], plan.states["rnn.c"]
    places = [h.even, c.even, h.odd, c.odd, plan.sample.even, plan.held.even, plan.last_output.even, plan.output.even]
    assert [int(row[0]) for row in rows_under("A stream's memory")] == places
    for number, what in ((plan.weights.size, "the model"), (plan.arena_floats, "stream")):
        assert re.search(rf"{what}: {number} floats", PAGE), what
    kernel, head = plan.operations
    assert isinstance(kernel, Generated)
    assert kernel.text in PAGE
    assert f"`{head}`" in PAGE


def test_words_of_a_record(plan: Plan) -> None:
    found: dict[int, list[int]] = {}
    for words, even, odd, _ in rows_under("A record"):
        word = words.split(",")[0].strip("` ")
        first = int(word) if word.isdecimal() else Record[word]
        for parity, text in enumerate((even, odd)):
            values = [int(value) for value in text.split(",")]
            assert plan.records[parity, 0, first : first + len(values)].tolist() == values, words
            found.setdefault(parity, []).extend(range(first, first + len(values)))
    assert sorted(found[0]) == sorted(found[1]) == [*range(Record.UNIT_FLOATS + 1), *range(PLACES, PLACES + 7)]
    assert not plan.records[:, 0, PLACES + 7 : RECORD_INTS].any()


def test_every_folder_and_file_that_is_named_is_there() -> None:
    assert {row[0].strip("`/") for row in rows_under("Where things are")} == {
        path.parent.name for path in KERNELS.glob("*/__init__.py")
    }
    for name in re.findall(r"`((?:\w+/)?\w+\.py)`", PAGE):
        assert any(KERNELS.parent.rglob(name)) or (KERNELS.parents[1] / name).is_file(), name
