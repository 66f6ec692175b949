"""Grammars: allowed symbols, and the lag that determines them, against brute force over all texts."""

from __future__ import annotations

from itertools import product

import pytest

from edge_rnn.analysis.grammar import Grammar
from edge_rnn.errors import InputError

EVEN = Grammar("even", {"even": {"a": "odd", "b": "even"}, "odd": {"a": "even"}})
# x or y first, then as many z as one likes, then the first one again: nothing between tells which.
AGAIN = Grammar(
    "start",
    {
        "start": {"x": "X", "y": "Y"},
        "X": {"z": "X", "x": "end"},
        "Y": {"z": "Y", "y": "end"},
        "end": {},
    },
)


def by_force(grammar: Grammar, text: str, longest: int = 6) -> list[int]:
    """Compute the same from all texts up to a length: the shortest suffixes that determine what may follow."""
    known: list[tuple[str, tuple[str, ...]]] = []
    symbols = sorted({symbol for ways in grammar.follow.values() for symbol in ways})
    for length in range(longest + 1):
        for each in map("".join, product(symbols, repeat=length)):
            try:
                known.append((each, grammar.allowed(each)[-1]))
            except InputError:
                continue
    found = []
    for place in range(len(text) + 1):
        ends = [text[place - n : place] for n in range(place)]
        told = [end for end in ends if len({after for each, after in known if each.endswith(end)}) == 1]
        found.append(min(map(len, told), default=place))
    return found


def test_what_may_follow() -> None:
    assert EVEN.allowed("baab") == [("a", "b"), ("a", "b"), ("a",), ("a", "b"), ("a", "b")]
    assert AGAIN.allowed("yzzy") == [("x", "y"), ("y", "z"), ("y", "z"), ("y", "z"), ()]
    with pytest.raises(InputError, match=r"the text 'xzy' does not follow the grammar: symbol 3 is 'y'"):
        AGAIN.allowed("xzy")


@pytest.mark.parametrize("text", ["x", "xzzx", "yzzzzy", "yy"])
def test_lag_of_a_repeated_symbol_is_its_distance(text: str) -> None:
    found = AGAIN.reach(text)
    assert found[:-1] == list(range(len(text)))
    assert found[-1] == min(len(text), 2)  # behind a z it can only be the second of its kind


@pytest.mark.parametrize(
    ("grammar", "text"), [(EVEN, "babab"), (EVEN, "aabaa"), (EVEN, "aaa"), (AGAIN, "yzz"), (AGAIN, "xz")]
)
def test_reach_equals_that_by_brute_force(grammar: Grammar, text: str) -> None:
    assert grammar.reach(text) == by_force(grammar, text, 8)


def test_invalid_grammars_are_refused() -> None:
    with pytest.raises(InputError, match="names the state 'b', which is not defined"):
        Grammar("a", {"a": {"x": "b"}})
    with pytest.raises(InputError, match="has the state 'c', which no text reaches"):
        Grammar("a", {"a": {"x": "a"}, "c": {}})
    with pytest.raises(InputError, match="got 0 states"):
        Grammar("a", {})
