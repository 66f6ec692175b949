"""Names of layers out of what other formats call theirs."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

__all__ = ["free_name", "plain_name"]

_LONGEST = 56
"""Characters, so that a number fits behind them: a name has 64 at most."""


def plain_name(text: str) -> str:
    """A name that a layer may have: letters, digits, ``_`` and ``-``; empty if it would begin otherwise."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:_LONGEST]
    return name if re.match(r"[A-Za-z_]", name) else ""


def free_name(name: str, taken: Container[str]) -> str:
    """``name``, or where that is taken the first of ``name_2``, ``name_3``, … that is not."""
    return next(each for each in _numbered(name) if each not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
