"""Mapping of columns to model inputs, by header names or by the user's options, in any order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge_rnn.equations.symbols import ELAPSED
from edge_rnn.errors import InputError
from edge_rnn.recordings.elapsed import elapsed_place
from edge_rnn.recordings.times import UNITS, names_a_time
from edge_rnn.recordings.units import check_units, unit_of

__all__ = ["Columns", "HeaderError", "LineError", "Places", "Wanted"]

_T = TypeVar("_T")


class LineError(Exception):
    """Line without a valid sample; the message has the reason."""


class HeaderError(LineError):
    """Header whose columns differ from the model's inputs: no line below it can be read."""


@dataclass(frozen=True, slots=True)
class Places:
    """Column indices, from 0.

    Parameters
    ----------
    values
        Indices of the sample's values, in the model's order.
    time, name
        Index of the time column and its name; None and empty if there is none.
    asked
        True if the user selected the time column.
    missing
        Index among the model's inputs of the time since the last sample, if no column has it; else None.
    """

    values: tuple[int, ...]
    time: int | None
    name: str
    asked: bool
    missing: int | None = None

    def complete(self, values: list[_T], nothing: _T) -> list[_T]:
        """Insert ``nothing`` where no column has the value; return the same list."""
        if self.missing is not None:
            values.insert(self.missing, nothing)
        return values


@dataclass(frozen=True, slots=True)
class Wanted:
    """Inputs of a model, and the user's options for the columns.

    Parameters
    ----------
    size
        Values per sample.
    names, units
        The model's input names and their units; each may be empty.
    columns
        Columns to read, in the model's order: header names, or positions from 1. Empty to use ``names``. The time since
        the last sample may be left out, as in the columns themselves.
    time
        Time column: ``NAME``, or its position from 1, optionally with its unit: ``NAME,ms``. Empty for none.

    Raises
    ------
    InputError
        The number of ``columns`` is not ``size``, or the unit is unknown.
    """

    size: int
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    time: str = ""

    def __post_init__(self) -> None:
        if self.columns and not self.least <= len(self.columns) <= self.size:
            raise InputError(
                f"columns={','.join(self.columns)} has {len(self.columns)}, but the model reads {self.size}"
                f"{_listed(self.names)}; give one for each input, in the model's order."
            )
        if "," in self.time and self.time_unit not in (*UNITS, "iso"):
            raise InputError(
                f"time={self.time} has the unit {self.time_unit!r}, expected one of {', '.join(UNITS)}, iso."
            )

    @property
    def elapsed(self) -> int | None:
        """Index of the time since the last sample among the inputs; None if the model does not read it."""
        return elapsed_place(self.names)

    @property
    def least(self) -> int:
        """Number of values that lines must have."""
        return self.size - (self.elapsed is not None)

    def needed(self) -> tuple[str, ...]:
        """Names of the columns that lines must have; empty for all that they have, in their order."""
        return self.columns or tuple(name for name in self.names if name != ELAPSED)

    @property
    def time_name(self) -> str:
        """Return the time column without its unit."""
        return self.time.rpartition(",")[0] if "," in self.time else self.time

    @property
    def time_unit(self) -> str:
        """Return the unit given by the user; empty for none."""
        return self.time.rpartition(",")[2].strip() if "," in self.time else ""


class Columns:
    """Locates the model's inputs among the columns."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def has_all(self, header: Sequence[str]) -> bool:
        """Return True if a line contains all of the input names, so that it can only be a header."""
        names = [each for each in self._wanted.needed() if not _is_place(each)]
        return bool(names) and all(_find(header, name) for name in names)

    def of_header(self, header: Sequence[str]) -> Places:
        """Return the column indices for a header.

        Raises
        ------
        HeaderError
            A name is missing or occurs more than once, or a unit differs from the model's.
        """
        wanted = self._wanted
        time, asked = self._time(header)
        names = wanted.columns or wanted.names
        missing = None
        if wanted.elapsed is not None and (
            len(wanted.columns) == wanted.least if wanted.columns else not _find(header, ELAPSED)
        ):
            missing, names = wanted.elapsed, wanted.needed()
        if names:
            values = [self._place(header, name, names) for name in names]
        else:
            values = [place for place, name in enumerate(header) if place != time and (name or not asked)]
            if len(values) != wanted.size:
                raise HeaderError(
                    f"its header has {len(values)} columns ({', '.join(header)}), but the model reads {wanted.size}; "
                    f"{_REMEDY}"
                )
        places = Places(tuple(values), time, "" if time is None else header[time], asked, missing)
        units = [_name_and_unit(header[place], names[i] if names else "")[1] for i, place in enumerate(values)]
        problem = check_units(places.complete(units, ""), wanted.units, wanted.names, "the header", _CONVERT)
        if problem:
            raise HeaderError(problem.rstrip("."))
        return places

    def of_width(self, width: int) -> Places:
        """Return the column indices for lines without a header.

        Raises
        ------
        HeaderError
            Columns were selected by name.
        LineError
            The number of columns is wrong.
        """
        wanted = self._wanted
        named = [each for each in (*wanted.columns, *filter(None, [wanted.time_name])) if not _is_place(each)]
        if named:
            raise HeaderError(
                f"there is no header that names a column {named[0]}; give positions instead, from 1: "
                f"columns={_counted(wanted.size)}"
            )
        time = int(wanted.time_name) - 1 if wanted.time_name else None
        chosen = [int(each) - 1 for each in wanted.columns] or [each for each in range(width) if each != time]
        missing = wanted.elapsed if len(chosen) == wanted.least else None
        if len(chosen) != wanted.size and missing is None:
            expected = f"{wanted.size + (time is not None)}{_listed(wanted.names)}"
            remedy = f"; columns={_counted(wanted.size)} selects the first" if len(chosen) > wanted.size else ""
            raise LineError(f"it has {width} values, expected {expected}{remedy}")
        if max([*chosen, time or 0]) >= width:
            raise LineError(f"it has {width} values, expected at least {max([*chosen, time or 0]) + 1}")
        return Places(tuple(chosen), time, "", time is not None, missing)

    def _place(self, header: Sequence[str], name: str, names: Sequence[str]) -> int:
        if _is_place(name) and self._wanted.columns and not _find(header, name):
            if int(name) > len(header):
                raise HeaderError(
                    f"its header has {len(header)} columns ({', '.join(header)}), none at position {name}"
                )
            return int(name) - 1
        found = _find(header, name)
        if len(found) == 1:
            return found[0]
        wrong = [each for each in names if len(_find(header, each)) != 1]
        twice = [each for each in wrong if _find(header, each)]
        missing = [each for each in wrong if each not in twice]
        why = " and ".join(
            f"{', '.join(found)} {what}" for found, what in ((missing, "missing"), (twice, "more than once")) if found
        )
        who = "columns= says" if self._wanted.columns else "the model reads"
        raise HeaderError(
            f"its header has the columns {', '.join(header)}, but {who} {', '.join(names)}: {why}; {_REMEDY}"
        )

    def _time(self, header: Sequence[str]) -> tuple[int | None, bool]:
        """Return the index of the time column, if any, and whether the user selected it."""
        name = self._wanted.time_name
        if name:
            found = _find(header, name) or ([int(name) - 1] if _is_place(name) and int(name) <= len(header) else [])
            if len(found) != 1:
                why = "more than once" if found else "missing"
                raise HeaderError(f"its header has the columns {', '.join(header)}: the time column {name} is {why}")
            return found[0], True
        taken = {place for each in (*self._wanted.names, *self._wanted.columns) for place in _find(header, each)}
        likely = [place for place, each in enumerate(header) if place not in taken and names_a_time(each)]
        return (likely[0], False) if len(likely) == 1 and self._wanted.names else (None, False)


_REMEDY = "columns=NAME,NAME selects columns, in the model's order (--columns, or ?columns= of a source)"
_CONVERT = "convert it, or rename the column if its unit is misspelled"


def _find(header: Sequence[str], name: str) -> list[int]:
    """Find a name: exact matches, else those that differ only in case, spaces, or a unit in brackets or at the end."""
    for spelled in (str.strip, _plain, lambda each: _name_and_unit(each, name)[0]):
        key = _plain(name) if spelled is not str.strip else name.strip()
        found = [place for place, each in enumerate(header) if each and spelled(each) == key]
        if found:
            return found
    return []


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def _name_and_unit(field: str, name: str) -> tuple[str, str]:
    """Split a header field into plain name and unit: ``ax [g]``, ``ax (m/s^2)``, ``ax_g`` for the name ``ax``."""
    found = re.fullmatch(r"(.*\S)\s*[\[({](.*)[\])}]", field.strip())
    if found:
        return _plain(found[1]), found[2].strip()
    plain, wanted = _plain(field), _plain(name)
    rest = plain.removeprefix(wanted + "_") if wanted else plain
    if rest != plain and unit_of(rest):
        return wanted, rest
    return plain, ""


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 10**6


def _counted(size: int) -> str:
    return ",".join(map(str, range(1, min(size, 9) + 1))) + ",…" * (size > 9)


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
