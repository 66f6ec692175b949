"""Counts in words: ``1 sample``, ``2,000 samples``."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, one: str, several: str = "") -> str:
    """Format a count with thousands separators and a noun in the right number.

    Parameters
    ----------
    one
        Singular of the noun.
    several
        Plural of the noun; by default ``one`` with an s.
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"
