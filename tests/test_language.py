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
SCRIPTS = ("edge_rnn", "export", "tests", "devices", "docs")
PAGES = ("*.md", "docs/**/*.md", "devices/*/README.md", "edge_rnn/**/*.md", "export/**/*.md", "tests/**/*.md")
EXEMPT = ("STYLE.md", "tests/test_language.py")  # they name the habits

OPENING = re.compile(r"(What|Whether|How|Who|Whose|Where|That|Which|When|Why|If)\b")
EVERYWHERE = (
    *("told", "so many", "so much", "of which", "anew", "whoever", "whatever", "whereof"),
    *("as quick", "times as", "nobody", "right answers"),
)
IN_CODE = (
    *("beside", "as it was", "for ever", "hands? out", "handed out", "one's own", "hangs? on", "by chance"),
    *("somebody", "once more", "where there is none", "(?:is|are) not there", "no such number"),
    r"(?:samples|steps|frames|values|times) an? (?:second|step|sample)",
)
"""More habits that have few other uses in code, but some in pages."""


def pattern(habits: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(habits)})\b", re.IGNORECASE)


PAGE_HABITS, CODE_HABITS = pattern(EVERYWHERE), pattern((*EVERYWHERE, *IN_CODE))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


FILES = sorted(path for folder in SCRIPTS for path in (ROOT / folder).rglob("*.py") if name_of(path) not in EXEMPT)
TEXTS = sorted({path for each in PAGES for path in ROOT.glob(each) if name_of(path) not in EXEMPT})


def findings(text: str) -> Iterator[str]:
    """Lines of a module with a habit, and docstrings that open with a question word."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node) or ""
            if OPENING.match(docstring):
                yield docstring.splitlines()[0]
    if not CODE_HABITS.search(text):  # most files; tokens take longest
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield from (line.strip() for line in token.string.splitlines() if CODE_HABITS.search(line))


def findings_in_page(text: str) -> Iterator[str]:
    """Lines of a page with a habit, except those of its code blocks."""
    for place, part in enumerate(re.split(r"(?m)^\s*```.*$", text)):
        if place % 2 == 0:
            yield from (line.strip() for line in part.splitlines() if PAGE_HABITS.search(line))


@pytest.mark.parametrize("folder", SCRIPTS)
def test_texts_are_plain_english(folder: str) -> None:
    files = [path for path in FILES if path.is_relative_to(ROOT / folder)]
    assert files
    found = [f"{name_of(path)}: {line}" for path in files for line in findings(path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_pages_are_plain_english() -> None:
    assert TEXTS
    found = [
        f"{name_of(path)}: {line}" for path in TEXTS for line in findings_in_page(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        '"""Whether it is so."""',
        '"""Number."""\n# told so',
        'x = "as quick as that"',
        "# Nobody\n",
        "# the file beside it\n",
        'x = "ten steps a second"',
    ],
)
def test_habits_are_found(text: str) -> None:
    assert list(findings(text))


def test_plain_text_passes() -> None:
    assert not list(findings('"""Return True if it is."""\nx = "faster"  # measured, besides\n'))


def test_pages_are_searched_outside_of_their_code() -> None:
    assert list(findings_in_page("It is told.\n\n```sh\necho told\n```\n")) == ["It is told."]
    assert not list(findings_in_page("```sh\necho told\n```\nIt is reported.\n"))
