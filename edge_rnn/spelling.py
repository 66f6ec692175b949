"""Counts in words: ``1 sample``, ``2,000 samples``."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, one: str, several: str = "") -> str:
    """Write a number, with commas between thousands, and what is counted.

    Parameters
    ----------
    one
        What one of them is called.
    several
        What two of them are called; by default ``one`` with an s.
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"
