"""Habits that STYLE.md rules out, as far as a program can find them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"edge_rnn": ROOT / "edge_rnn", "edge_rnn_export": ROOT / "export" / "edge_rnn_export"}
OPENING = re.compile(r"(What|Whether|How|Who|Whose|Where|That|Which|When|Why|If)\b")
HABITS = re.compile(
    r"\b(told|so many|so much|of which|anew|whoever|whatever|whereof|as quick|times as|nobody|right answers)\b",
    re.IGNORECASE,
)
# Rooms that have not been gone through yet. None is added.
LEFT = ("kernels",)


def room(path: Path) -> str:
    """Package or module directly below ``edge_rnn``; empty in ``edge_rnn_export``, which is done."""
    inside = path.relative_to(ROOT).parts
    return Path(inside[1]).stem if inside[0] == "edge_rnn" else ""


FILES = sorted(path for root in SOURCES.values() for path in root.rglob("*.py") if room(path) not in LEFT)


def findings(text: str) -> Iterator[str]:
    """Lines with a habit, and docstrings that open with a question word."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node) or ""
            if OPENING.match(docstring):
                yield docstring.splitlines()[0]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield from (line.strip() for line in token.string.splitlines() if HABITS.search(line))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_plain_english(path: Path) -> None:
    found = list(findings(path.read_text(encoding="utf-8")))
    assert not found, "\n".join(found)


def test_rooms_that_are_left_have_something_to_do() -> None:
    """A package that is done is removed from the list."""
    for name in LEFT:
        paths = [*(ROOT / "edge_rnn" / name).rglob("*.py"), *(ROOT / "edge_rnn").glob(f"{name}.py")]
        assert paths, name
        assert any(list(findings(path.read_text(encoding="utf-8"))) for path in paths), f"{name} is done"


@pytest.mark.parametrize(
    "text", ['"""Whether it is so."""', '"""Number."""\n# told so', 'x = "as quick as that"', "# Nobody\n"]
)
def test_habits_are_found(text: str) -> None:
    assert list(findings(text))


def test_plain_text_passes() -> None:
    assert not list(findings('"""Return True if it is."""\nx = "faster"  # measured\n'))
