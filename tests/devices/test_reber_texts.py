"""Texts of the embedded Reber grammar: those of the script, with the grammar of the examples."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from edge_rnn.analysis.texts import read_texts
from edge_rnn.storage.model_file import load

ROOT = Path(__file__).parents[2]
PATH = ROOT / "devices" / "reber" / "texts.json"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType, ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "export" / "examples"))
    return tuple(map(importlib.import_module, ("reber", "reber_texts", "reber_score")))  # type: ignore[return-value]


def test_file_is_what_the_script_writes(examples: tuple[ModuleType, ...]) -> None:
    _, texts, _ = examples
    found = json.loads(PATH.read_text(encoding="utf-8"))
    assert (found["start"], found["follow"]) == texts.automaton()
    assert found["texts"] == texts.strings()
    assert PATH.stat().st_size < 60_000


def test_grammar_is_that_of_the_examples(examples: tuple[ModuleType, ...]) -> None:
    reber, _, _ = examples
    task = read_texts(PATH).task
    for text in task.texts[:300]:
        allowed, reach = task.grammar.allowed(text), task.grammar.reach(text)
        for place in range(len(text) + 1):
            assert "".join(allowed[place]) == reber.allowed(text[:place])
        # Only the letter that has to come again takes a longer look back: to the second letter and no further.
        assert reach[len(text) - 2] == reber.lag(text) + 1
        assert max([*reach[: len(text) - 2], *reach[len(text) - 1 :]]) <= 3


@pytest.mark.parametrize(
    ("network", "remembers"),
    [("elman", False), ("gru", True), ("lstm", True)],
)
@pytest.mark.slow
def test_gated_networks_remember_and_the_other_one_guesses(
    network: str, remembers: bool, examples: tuple[ModuleType, ...]
) -> None:
    score = read_texts(PATH).task.score(load(ROOT / "devices" / "reber" / f"{network}.safetensors"))
    theirs = examples[2].score(load(ROOT / "devices" / "reber" / f"{network}.safetensors"), written=1)
    assert (score.right, score.of) == (theirs.letters, theirs.of_letters)
    assert score.within(1, 3) == (38875, 38875)
    right, of = score.within(8)
    assert of == 1725
    if remembers:
        assert right == of
    else:
        assert 0.45 < right / of < 0.55
