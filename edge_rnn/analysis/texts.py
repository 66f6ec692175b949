"""Read test texts and their grammar from a file, for networks that read symbols.

JSON: ``{"edge_rnn_texts": 1, "name": …, "start": state, "follow": {state: {symbol: state}}, "texts": [text, …]}``; a
text is a string of one-letter symbols, or a list of symbols.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_rnn.analysis.grammar import Grammar
from edge_rnn.analysis.tasks import TextTask
from edge_rnn.errors import FileError, InputError

__all__ = ["GrammarTexts", "holds_texts", "read_texts"]

_FORMAT = 1
_MAX_BYTES = 2**26
_MOST_SYMBOLS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class GrammarTexts:
    """Texts of a grammar, with its name."""

    name: str
    task: TextTask


def holds_texts(path: Path) -> bool:
    """True if a file is marked as texts, rather than samples as lines of JSON."""
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        return b'"edge_rnn_texts"' in file.read(4096)


def read_texts(path: Path) -> GrammarTexts:
    """Read texts and their grammar.

    Raises
    ------
    FileError
        The file cannot be read, is of another kind, or contains a text that does not follow the grammar.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FileError(f"{path}: has more than {_MAX_BYTES} bytes; use fewer texts.")
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise FileError(f"{path}: is not JSON, expected an object with 'start', 'follow' and 'texts'.") from None
    if not isinstance(found, dict) or found.get("edge_rnn_texts") != _FORMAT:
        raise FileError(f'{path}: is not marked as texts, expected "edge_rnn_texts": {_FORMAT} in it.')
    start, follow, texts = (found.get(key) for key in ("start", "follow", "texts"))
    if not isinstance(start, str) or not isinstance(follow, dict) or not _is_automaton(follow):
        raise FileError(
            f"{path}: has no grammar, expected a state as 'start', and 'follow' as {{state: {{symbol: state}}}}."
        )
    if not isinstance(texts, list) or not all(_is_text(text) for text in texts):
        raise FileError(f"{path}: has no valid texts, expected a list of texts of 2 to {_MOST_SYMBOLS} symbols.")
    try:
        return GrammarTexts(str(found.get("name", "")), TextTask(Grammar(start, follow), texts))
    except InputError as error:
        raise FileError(f"{path}: {error}") from None


def _is_automaton(follow: dict[str, Any]) -> bool:
    return all(
        isinstance(ways, dict) and all(isinstance(state, str) for state in ways.values()) for ways in follow.values()
    )


def _is_text(text: Any) -> bool:
    return (
        isinstance(text, str | list)
        and 2 <= len(text) <= _MOST_SYMBOLS
        and all(isinstance(symbol, str) for symbol in text)
    )
