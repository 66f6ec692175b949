"""Write ``devices/reber/texts.json``: strings to compare networks on, and the grammar, which defines what may follow.

    python export/examples/reber_texts.py
    edge-rnn compare devices/reber/*.safetensors --data devices/reber/texts.json

The strings are those of ``reber_score.py``, which are in a training set only by coincidence.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from reber import Place, draw, following

__all__ = ["automaton", "main", "strings"]

BACK = 0.75
TEXTS = 2000
SEED = 2**32  # of no training


def automaton() -> tuple[str, dict[str, dict[str, str]]]:
    """Build the grammar as an automaton: the start state, and the next state for each state and letter."""
    first = Place("first")
    follow: dict[str, dict[str, str]] = {}
    new = [first]
    while new:
        place = new.pop(0)
        if spelled(place) not in follow:
            ways = following(place)
            follow[spelled(place)] = {letter: spelled(way) for letter, way in ways.items()}
            new += ways.values()
    return spelled(first), follow


def spelled(place: Place) -> str:
    """``inside T 3``: the state's name."""
    return " ".join([place.part, *place.second, *([str(place.node)] if place.part == "inside" else [])])


def strings() -> list[str]:
    """Draw strings in which loops are taken with probability 3/4."""
    rng = random.Random(SEED)
    return [draw(rng, BACK) for _ in range(TEXTS)]


def main() -> None:
    start, follow = automaton()
    found: dict[str, Any] = {"edge_rnn_texts": 1, "name": "embedded Reber grammar", "start": start, "follow": follow}
    found["texts"] = strings()
    lines = json.dumps(found, indent=1).replace(": {\n   ", ": {").replace(",\n   ", ", ").replace("\n  }", "}")
    path = Path(__file__).resolve().parents[2] / "devices" / "reber" / "texts.json"
    path.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
