"""Parser of CSV lines."""

from __future__ import annotations

import csv
import math
import re

from edge_rnn.recordings.columns import Columns, LineError, Places, Wanted
from edge_rnn.recordings.times import TimeReader

__all__ = ["Csv", "short"]

_MISSING = frozenset({"", "null", "na", "n/a", "none"})
_NAME = re.compile(r"[^\W\d]\w*(\s*[\[({].*[\])}])?")
_DECIMAL = re.compile(r'"?[+-]?\d+(,\d+)?([eE][+-]?\d+)?"?')


class Csv:
    """Parser of CSV lines; the first may be a header, whose names determine the columns.

    A later line with all names is a header too: the device has restarted, or files were concatenated.

    Attributes
    ----------
    begun
        True once the columns are determined.
    t_s
        Time of the last sample in seconds; NaN if it has none.
    """

    def __init__(self, wanted: Wanted, chatty: bool = False) -> None:
        self._wanted = wanted
        self._chatty = chatty
        self._columns = Columns(wanted)
        self._places: Places | None = None
        self._width = 0
        self._headed = False
        self._fresh = True
        self._comment = ""
        self._time = TimeReader()
        self.t_s = math.nan

    @property
    def begun(self) -> bool:
        return self._places is not None

    def renew(self) -> None:
        """Prepare for the first line of another file."""
        self._fresh, self._comment = True, ""

    def __call__(self, text: str) -> list[float] | None:
        if text[0] == "#":
            self._read_comment(text.lstrip("# "))
            return None
        if self._fresh and re.fullmatch(r"(?i)sep=.", text):  # separator hint for spreadsheets
            return None
        fields = _fields(text)
        if not any(map(_is_number, fields)) and self._read_names(fields, text):
            return None
        if self._fresh:
            self._begin(fields, text)
        while len(fields) > self._width and not fields[-1]:
            fields.pop()
        if len(fields) != self._width:
            named = f"{self._width} as in the header" if self._headed else f"{self._width}{self._spelled}"
            raise LineError(_commas(text, self._wanted.size) or f"it has {len(fields)} values, expected {named}")
        assert self._places is not None
        try:
            values = self._places.complete([_number(fields[k], k) for k in self._places.values], math.nan)
        except LineError as error:
            raise LineError(_commas(text, 0) or str(error)) from None
        self.t_s = math.nan if self._places.time is None else self._seconds(fields[self._places.time])
        return values

    @property
    def _spelled(self) -> str:
        return f" ({', '.join(self._wanted.names)})" if self._wanted.names else ""

    def _read_comment(self, text: str) -> None:
        """Check if a comment is a header, as written by ``numpy.savetxt``."""
        if not self._fresh or not text:
            return
        self._comment = text
        fields = _fields(text)
        if self._columns.has_all(fields):
            self._read_header(fields)

    def _read_names(self, fields: list[str], text: str) -> bool:
        """Read a line without numbers as a header, if it is one."""
        if self._columns.has_all(fields):
            self._read_header(fields)
            return True
        if not self._fresh or not _is_header(fields):
            return False
        names = [field for field in fields if field]
        plain = all(map(_NAME.fullmatch, names))
        if len(names) < self._wanted.least or (self._chatty and (self._wanted.size == 1 or not plain)):
            what = f"{self._wanted.size} numbers nor a header of {self._wanted.size} columns{self._spelled}"
            raise LineError(f"it is neither {what}: {short(text)}")
        self._read_header(fields)
        return True

    def _read_header(self, fields: list[str]) -> None:
        while fields and not fields[-1]:
            fields.pop()
        self._take(self._columns.of_header(fields), len(fields))
        self._headed = True

    def _begin(self, fields: list[str], text: str) -> None:
        """Determine the columns from a first line of numbers."""
        if self._places is not None:  # as in the previous file
            self._fresh = False
            return
        commented = _fields(self._comment) if self._comment else []
        if len(commented) == len(fields) > 0 and all(map(_NAME.fullmatch, commented)) and self._wanted.names:
            self._take(self._columns.of_header(commented), len(commented))
            return
        trimmed = list(fields)
        while len(trimmed) > self._wanted.size + bool(self._wanted.time) and not trimmed[-1]:
            trimmed.pop()
        try:
            self._take(self._columns.of_width(len(trimmed)), len(trimmed))
        except LineError as error:
            raise type(error)(_commas(text, self._wanted.size) or str(error)) from None

    def _take(self, places: Places, width: int) -> None:
        if self._places is None or places.name != self._places.name:
            self._time = TimeReader(places.name, self._wanted.time_unit)
        self._places, self._width, self._fresh = places, width, False

    def _seconds(self, field: str) -> float:
        assert self._places is not None
        try:
            t_s = self._time("" if field.casefold() in _MISSING else field)
        except ValueError as error:
            if self._places.asked:
                raise LineError(str(error)) from None
            return math.nan
        return t_s if self._places.asked or self._time.sure else math.nan


def short(text: str) -> str:
    """Quote a text, truncated if it is long."""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _fields(text: str) -> list[str]:
    """Split a line at commas, semicolons, tabs or spaces."""
    delimiter = next((each for each in ";,\t" if each in text), None)
    if delimiter is None and '"' not in text:
        return text.split()
    try:
        (fields,) = csv.reader([text], delimiter=delimiter or " ", skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise LineError(f"it is not CSV: {error}") from None
    return [field.strip() for field in fields]


def _is_header(fields: list[str]) -> bool:
    """Return True for a line of names without numbers, missing values, or names that begin with a digit."""
    named = [field for field in fields if field]
    return bool(named) and not any(
        field.casefold() in _MISSING or field[0].isdigit() or field[0] in "+-." for field in named
    )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _number(field: str, column: int) -> float:
    if field.casefold() in _MISSING:
        return math.nan
    if not _is_number(field):
        raise LineError(f"{short(field)} in column {column + 1} is not a number")
    return float(field)


def _commas(text: str, size: int) -> str:
    """Describe the problem of a line with decimal commas; empty if it has none."""
    parts = [each for each in re.split(r"[;\t ]+", text) if each]
    found = next((each for each in parts if "," in each), "")
    if found and len(parts) > 1 and all(map(_DECIMAL.fullmatch, parts)):
        points = "convert it with tr , . < FILE > NEW"
        return f"{short(found)} is a number with a decimal comma, expected a point; {points}"
    if size and len(parts) == 1 and text.count(",") + 1 == 2 * size and "." not in text:
        return f"it has {2 * size} values, expected {size}; if these are decimal commas, replace them by points"
    return ""
