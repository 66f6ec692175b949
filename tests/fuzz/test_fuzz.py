"""Damaged files of every kind: a model or one of edge_rnn's errors, in bounded time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_rnn import LSTM, Dense, Model, quantize
from tests.fuzz import campaign, judge, seeds
from tests.fuzz.kinds import KINDS

FEW, MANY = 20, 2000


def skip_without_packages(kind: str) -> None:
    if KINDS[kind].missing:
        pytest.skip(f"needs {KINDS[kind].missing}")


@pytest.mark.filterwarnings("ignore")  # of libraries, about what is damaged
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "safetensors"])
@pytest.mark.sampled(6)
def test_a_few_damaged_files(kind: str, tmp_path: Path) -> None:
    skip_without_packages(kind)
    outcome = campaign.Outcome(kind, 0)
    for number in range(FEW):
        outcome.add(number, *campaign.attempt(kind, number, campaign.mutation(kind, 0, number), tmp_path))
    assert not outcome.faults


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(kind: str) -> None:
    skip_without_packages(kind)
    outcome = campaign.run(kind, 1, MANY)
    assert not outcome.faults
    assert sum(outcome.counts.values()) == MANY
    assert outcome.counts["refused"] > MANY // 10  # or the damage does none
    assert outcome.counts["refused"] < MANY * 99 // 100  # or nothing is left to read


@pytest.mark.slow
@pytest.mark.parametrize("steps", [126, 127])
def test_streams_that_round_otherwise_than_the_format_says_are_found(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Rounding to 126 steps instead of 127: the outputs differ by less than the format's own error."""
    monkeypatch.setattr(judge, "_ran", set())
    monkeypatch.setitem(judge.STEPS_OF, "w8a8", steps)
    found = judge.run(quantize(Model([seeds.cell(LSTM, 3, 8), Dense(seeds.u(2, 8))]), {"lstm1": "w8a8"}), 5)
    assert found == ("ran" if steps == 127 else "WRONG NUMBERS")


def test_a_mutation_follows_from_its_number() -> None:
    first = [campaign.mutation("json", 3, number) for number in range(5)]
    assert [campaign.mutation("json", 3, number) for number in range(5)] == first
    assert len(set(first)) == 5
