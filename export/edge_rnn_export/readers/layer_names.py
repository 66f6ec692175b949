"""Derive layer names from the names in other formats."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

__all__ = ["free_name", "plain_name"]

_LONGEST = 56
"""Maximum length in characters, so that a number can be appended: a name has 64 at most."""


def plain_name(text: str) -> str:
    """Layer name of letters, digits, ``_`` and ``-``; empty if it would not start with a letter or ``_``."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:_LONGEST]
    return name if re.match(r"[A-Za-z_]", name) else ""


def free_name(name: str, taken: Container[str]) -> str:
    """Return ``name``, or if it is taken the first free one of ``name_2``, ``name_3``, …."""
    return next(each for each in _numbered(name) if each not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
