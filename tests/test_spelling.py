"""Counts in words: singular and plural."""

from __future__ import annotations

import pytest

from edge_rnn.cli.run.troubles import spell_troubles
from edge_rnn.loop import Counters
from edge_rnn.spelling import counted, listed


@pytest.mark.parametrize(
    ("count", "names", "words"),
    [
        (0, ("sample",), "0 samples"),
        (1, ("sample",), "1 sample"),
        (2, ("sample",), "2 samples"),
        (1, ("entry", "entries"), "1 entry"),
        (12345, ("entry", "entries"), "12,345 entries"),
    ],
)
def test_counted(count: int, names: tuple[str, ...], words: str) -> None:
    assert counted(count, *names) == words


@pytest.mark.parametrize(("count", "words"), [(0, ""), (1, "a"), (2, "a and b"), (3, "a, b and c")])
def test_listed(count: int, words: str) -> None:
    assert listed("abc"[:count]) == words


def test_one_of_each_trouble_is_one() -> None:
    counters = Counters()
    for name in Counters.__slots__:
        setattr(counters, name, 1)
    one = spell_troubles(counters.as_json()).split(", ")
    for name in Counters.__slots__:
        setattr(counters, name, 2)
    two = spell_troubles(counters.as_json()).split(", ")
    assert len(one) == len(two) > 10
    for single, double in zip(one, two, strict=True):
        assert (single[:2], double[:2]) == ("1 ", "2 ")
        assert len(double) == len(single) + 1  # an s, somewhere
