"""Compact form of a long sequence as nested repetitions, for the execution trace of a program with loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Repeat", "fold"]

T = TypeVar("T")
_LONGEST = 64  # maximum body length: blocks and inner loops in one iteration of an outer loop


@dataclass(frozen=True, slots=True)
class Repeat(Generic[T]):
    """``body``, repeated ``count`` times."""

    body: tuple[T | Repeat[T], ...]
    count: int


def fold(items: Sequence[T]) -> tuple[T | Repeat[T], ...]:
    """Fold consecutive repetitions in ``items``, inner loops first.

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
