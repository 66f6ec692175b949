"""Counts in words: ``1 sample``, ``2,000 samples``."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["counted", "listed", "spell_unit"]

_POWER = re.compile(r"\^(-?\d+)")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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


def listed(parts: Sequence[str]) -> str:
    """Join parts as in a sentence: ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def spell_unit(unit: str) -> str:
    """Spell a unit with powers as people write them.

    Examples
    --------
    >>> spell_unit("m/s^2"), spell_unit("kg m^-3"), spell_unit("°C")
    ('m/s²', 'kg m⁻³', '°C')
    """
    return _POWER.sub(lambda found: found[1].translate(_SUPERSCRIPTS), unit)
