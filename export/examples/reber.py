"""Embedded Reber grammar: strings, and the exact set of letters that may follow each prefix.

A. S. Reber, "Implicit learning of artificial grammars", Journal of Verbal Learning and Verbal Behavior 6 (1967);
embedded by A. Cleeremans, D. Servan-Schreiber, J. L. McClelland, "Finite state automata and simple recurrent networks",
Neural Computation 1 (1989), as in S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9
(1997), section 5.1:

    a string          B  T|P  a Reber string  the same T|P  E
    a Reber string    B, then a way through the graph below, then E

So the last letter but one depends only on the second, and there are 5 letters or many more between them: at each of the
four nodes with a loop, it is taken with the probability ``back``. With 1/2, as in those papers, half of the strings
have 7 letters or fewer in between; with 3/4, half of them have 14 or more. The module needs only Python.
"""

from __future__ import annotations

import random
from typing import NamedTuple

__all__ = ["LETTERS", "accepts", "allowed", "draw", "lag"]

LETTERS = "BTSXPVE"

# Node -> letter -> node; 7 is the end.
GRAPH = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
}

BACK = {2: "S", 3: "T", 4: "X", 5: "P"}
"""By node the letter that leads to where a string was before."""


class Place(NamedTuple):
    """Position in the grammar after a prefix: part of the string, second letter, and node of the inner graph."""

    part: str
    second: str = ""
    node: int = 0


def following(place: Place) -> dict[str, Place]:
    """Letters that may follow, and the position after each."""
    if place.part == "first":
        return {"B": Place("second")}
    if place.part == "second":
        return {letter: Place("inside", letter) for letter in "TP"}
    if place.part == "inside":
        nodes = GRAPH[place.node].items()
        return {letter: Place("inside" if node < 7 else "again", place.second, node) for letter, node in nodes}
    if place.part == "again":
        return {place.second: Place("last")}
    return {"E": Place("end")} if place.part == "last" else {}


def allowed(beginning: str) -> str:
    """Letters that may follow a prefix of a string, in alphabetical order; ValueError if it is not a prefix."""
    place = Place("first")
    for count, letter in enumerate(beginning):
        nexts = following(place)
        if letter not in nexts:
            raise ValueError(f"{beginning!r} is no beginning of an embedded Reber string: letter {count + 1}.")
        place = nexts[letter]
    return "".join(sorted(following(place)))


def accepts(text: str) -> bool:
    """Return True if a text is a complete string of the grammar."""
    try:
        return not allowed(text)
    except ValueError:
        return False


def draw(rng: random.Random, back: float = 0.5) -> str:
    """Draw a string; loops are taken with the probability ``back``, other branches with equal probabilities."""
    place, text = Place("first"), ""
    while nexts := following(place):
        letter = rng.choice(sorted(nexts))
        if place.part == "inside" and place.node in BACK:
            ways = sorted(nexts, key=lambda each: each != BACK[place.node])
            letter = ways[0] if rng.random() < back else ways[1]
        text, place = text + letter, nexts[letter]
    return text


def lag(text: str) -> int:
    """Number of letters between the second one and the one that has to be the same."""
    return len(text) - 4
