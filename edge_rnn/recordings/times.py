"""Times of samples as files and devices write them: seconds, milliseconds, microseconds, nanoseconds, ISO 8601."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

__all__ = ["UNITS", "TimeReader", "names_a_time", "spell_seconds", "unit_of_name"]

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Parts of a second, by unit."""

_ALIASES = {
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "msec": "ms",
    "millis": "ms",
    "milliseconds": "ms",
    "µs": "us",
    "μs": "us",
    "usec": "us",
    "micros": "us",
    "microseconds": "us",
    "nsec": "ns",
    "nanos": "ns",
    "nanoseconds": "ns",
}
_TIME_NAMES = frozenset(
    {"t", "ts", "time", "times", "timestamp", "time stamp", "datetime", "date time", "date", "epoch", "unix time"}
)
_SECONDS_TO_2100 = 4_102_444_800
_SECONDS_TO_2000 = 946_684_800


class TimeReader:
    """Reader of one column's times; what the first one is decides what the others are.

    Parameters
    ----------
    name
        Of the column: ``t_ms``, ``time [us]`` say the unit.
    unit
        One of ``UNITS`` or ``"iso"``; empty to go by the name, else by the values: text is ISO 8601, and a number that
        is a date from 2000 to 2100 in one unit alone is of that unit. A number that is no date counts as seconds.

    Attributes
    ----------
    unit
        What is read; empty before the first time, where nothing has said it.
    sure
        Whether the unit was said, or is beyond doubt.
    """

    def __init__(self, name: str = "", unit: str = "") -> None:
        self.unit = unit or unit_of_name(name)
        self.sure = bool(self.unit)

    def __call__(self, value: Any) -> float:
        """Seconds; of ISO 8601 Unix time, UTC where no offset is given. NaN for a missing one.

        Raises
        ------
        ValueError
            It is no time of this kind, which the message says.
        """
        if value is None or value == "":
            return math.nan
        number = _number(value)
        if not self.unit:
            self.unit, self.sure = ("iso", True) if number is None else _unit_of(number)
        if self.unit == "iso":
            return _iso_seconds(value)
        if number is None:
            raise ValueError(f"{str(value)[:40]!r} is no time in {self.unit}")
        return number / UNITS[self.unit]


def unit_of_name(name: str) -> str:
    """The unit that a column's name ends in: ``"ms"`` for ``t_ms``, ``time (ms)``; empty for none."""
    found = re.search(r"(?:[\s_.-]+|^)[\[(]?([a-zµμ]+)[\])]?$|[\[(]\s*([a-zµμ]+)\s*[\])]$", name.strip().casefold())
    text = (found[1] or found[2]) if found else ""
    unit = _ALIASES.get(text, text)
    return unit if unit in UNITS else ""


def names_a_time(name: str) -> bool:
    """True if a column is called as times are: ``timestamp``, ``t_ms``, ``Time [s]``."""
    plain = re.sub(r"[\[(].*", "", name.casefold()).replace("_", " ").replace("-", " ").strip()
    if plain in _TIME_NAMES:
        return True
    base, _, last = plain.rpartition(" ")
    return base in _TIME_NAMES and _ALIASES.get(last, last) in UNITS


def spell_seconds(t_s: float) -> str:
    """All digits that a time has, without an exponent."""
    return np.format_float_positional(t_s, trim="-")


def _number(value: Any) -> int | float | None:
    """The number itself, whole ones exact: nanoseconds since 1970 have more digits than a float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    text = str(value).strip()
    try:
        return int(text) if text.lstrip("+-").isdecimal() and len(text) < 30 else float(text)
    except ValueError:
        return None


def _unit_of(number: float) -> tuple[str, bool]:
    for unit, parts in UNITS.items():
        if _SECONDS_TO_2000 * parts <= number < _SECONDS_TO_2100 * parts:
            return unit, True
    return "s", False


def _iso_seconds(value: Any) -> float:
    text = str(value).strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is no time as ISO 8601 has it, such as 2026-11-30T12:00:00.5Z, and no number"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
