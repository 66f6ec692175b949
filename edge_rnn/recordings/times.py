"""Parsing of sample times: s, ms, µs, ns, ISO 8601."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

__all__ = ["UNITS", "TimeReader", "names_a_time", "spell_seconds", "unit_of_name"]

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks per second, by unit."""

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
    """Reader of one time column; the first time determines the unit of the others.

    Parameters
    ----------
    name
        Column name; ``t_ms`` and ``time [us]`` contain the unit.
    unit
        One of ``UNITS`` or ``"iso"``; empty to use the unit in the name, else to detect it: text is ISO 8601, and a
        number that is a date from 2000 to 2100 in exactly one unit has that unit. Any other number counts as seconds.

    Attributes
    ----------
    unit
        Unit in use; empty before the first time, if it was not given.
    sure
        True if the unit was given or is unambiguous.
    """

    def __init__(self, name: str = "", unit: str = "") -> None:
        self.unit = unit or unit_of_name(name)
        self.sure = bool(self.unit)

    def __call__(self, value: Any) -> float:
        """Convert to seconds; ISO 8601 to Unix time, in UTC if there is no offset. NaN for a missing time.

        Raises
        ------
        ValueError
            The value is not a time of this kind; the message has the details.
        """
        if value is None or value == "":
            return math.nan
        number = _number(value)
        if not self.unit:
            self.unit, self.sure = ("iso", True) if number is None else _unit_of(number)
        if self.unit == "iso":
            return _iso_seconds(value)
        if number is None:
            raise ValueError(f"{str(value)[:40]!r} is not a time in {self.unit}")
        return number / UNITS[self.unit]


def unit_of_name(name: str) -> str:
    """Return the unit at the end of a column name: ``"ms"`` for ``t_ms``, ``time (ms)``; empty for none."""
    found = re.search(r"(?:[\s_.-]+|^)[\[(]?([a-zµμ]+)[\])]?$|[\[(]\s*([a-zµμ]+)\s*[\])]$", name.strip().casefold())
    text = (found[1] or found[2]) if found else ""
    unit = _ALIASES.get(text, text)
    return unit if unit in UNITS else ""


def names_a_time(name: str) -> bool:
    """Return True for usual names of time columns: ``timestamp``, ``t_ms``, ``Time [s]``."""
    plain = re.sub(r"[\[(].*", "", name.casefold()).replace("_", " ").replace("-", " ").strip()
    if plain in _TIME_NAMES:
        return True
    base, _, last = plain.rpartition(" ")
    return base in _TIME_NAMES and _ALIASES.get(last, last) in UNITS


def spell_seconds(t_s: float) -> str:
    """Format a time with all its digits, without an exponent."""
    return np.format_float_positional(t_s, trim="-")


def _number(value: Any) -> int | float | None:
    """Return the number, integers exactly: nanoseconds since 1970 have more digits than a float."""
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
            f"{text[:40]!r} is not a time in ISO 8601, such as 2026-11-30T12:00:00.5Z, and not a number"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
