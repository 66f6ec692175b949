"""A long sequence as nested repetitions: what a program with loops executed, told briefly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Repeat", "fold"]

T = TypeVar("T")
_LONGEST = 64  # of what is looked for: blocks and inner loops in one turn of an outer loop


@dataclass(frozen=True, slots=True)
class Repeat(Generic[T]):
    """``body``, ``count`` times over."""

    body: tuple[T | Repeat[T], ...]
    count: int


def fold(items: Sequence[T]) -> tuple[T | Repeat[T], ...]:
    """``items`` with what comes several times in a row told once, inner loops first.

    >>> fold("abbbcabbbc")
    (Repeat(body=('a', Repeat(body=('b',), count=3), 'c'), count=2),)
    """
    folded: tuple[T | Repeat[T], ...] = tuple(items)
    for length in range(1, _LONGEST + 1):
        folded = _fold(folded, length)
    return folded


def _fold(items: tuple[T | Repeat[T], ...], length: int) -> tuple[T | Repeat[T], ...]:
    out: list[T | Repeat[T]] = []
    i = 0
    while i < len(items):
        body = items[i : i + length]
        count = 1
        while len(body) == length and items[i + count * length : i + (count + 1) * length] == body:
            count += 1
        if count == 1:
            out.append(items[i])
            i += 1
        else:
            out.append(Repeat(body, count))
            i += count * length
    return tuple(out)
