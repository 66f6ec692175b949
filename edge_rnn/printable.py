"""Escape untrusted text for display: characters that control a terminal, start a line or are invisible.

Names, messages and paths may come from untrusted files. All text that edge_rnn shows goes through :func:`printable`:
in the errors themselves, and where the command line and the loop's journal write.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["as_html", "is_printable", "printable"]

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of control, format, surrogate, and line and paragraph separator characters."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Characters that are letters or marks by category, but invisible (Default_Ignorable_Code_Point)."""
_JOINERS = frozenset("\u200c\u200d")
_SUSPECTS = re.compile(r"[^\x20-\x7e]")


def printable(text: str, keep: str = "") -> str:
    r"""Escape characters that are not plain text, as in Python's literals: ``\x1b``, ``\u202e``, ``\n``.

    Escaped are controls (C0, C1, DEL), line and paragraph separators, marks of direction (U+061C, U+200E to U+2069),
    tags, surrogates and invisible characters. Joiners (U+200C, U+200D) stay between two non-ASCII characters, where
    Persian, Hindi and emoji need them. Letters, marks, signs and spaces of all scripts stay.

    Parameters
    ----------
    text
        Any text.
    keep
        Characters to leave unchanged: ``"\n\t"`` for text of several lines.

    Examples
    --------
    >>> print(printable("gru\x1b[2J\nedge-rnn: done"))
    gru\x1b[2J\nedge-rnn: done
    >>> print(printable("naïve 日本 ±5 °C"))
    naïve 日本 ±5 °C
    """
    if text.isascii() and text.isprintable():
        return text

    def spelled(found: re.Match[str]) -> str:
        character = found[0]
        if character in keep or not _is_hidden(text, found.start()):
            return character
        return character.encode("unicode_escape").decode("ascii")

    return _SUSPECTS.sub(spelled, text)


def is_printable(text: str, keep: str = "") -> bool:
    """True if :func:`printable` would leave ``text`` unchanged."""
    return printable(text, keep) == text


def as_html(text: str) -> str:
    """Escape a text for HTML and SVG: no markup, characters that are not plain text spelled out."""
    from html import escape  # not needed for errors

    return escape(printable(text))


def _is_hidden(text: str, place: int) -> bool:
    """Return True if the character at ``place`` is invisible or a control character, and not a joiner in its place."""
    character = text[place]
    if character in _JOINERS:
        around = text[place - 1 : place] + text[place + 1 : place + 2]
        return len(around) < 2 or not all(not each.isascii() and not _is_invisible(each) for each in around)
    return _is_invisible(character)


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _CATEGORIES or character in _BLANK
