"""One line of text into one sample: CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence

__all__ = ["FORMATS", "MAX_LINE_BYTES", "LineError", "LineParser"]

FORMATS = ("auto", "csv", "json")
"""Kinds of lines; ``"auto"`` is JSON if the first line begins with ``[`` or ``{``, else CSV."""

MAX_LINE_BYTES = 1 << 20
"""Longest line that is taken."""

_MISSING = frozenset({"", "null", "na", "n/a", "none"})


class LineError(Exception):
    """What is wrong with a line, in words."""


class LineParser:
    """Parser of one input's lines, in their order: the first decides between CSV and JSON, and may be a header.

    Parameters
    ----------
    size
        Numbers in a sample.
    names
        What the model calls its inputs; columns and keys are found by them.
    kind
        One of ``FORMATS``.
    """

    def __init__(self, size: int, names: Sequence[str] = (), kind: str = "auto") -> None:
        self._size = size
        self._names = names
        self._kind = kind
        self._parse: Callable[[str], list[float] | None] | None = None

    def __call__(self, line: bytes) -> list[float] | None:
        """The numbers of a line, NaN for a missing one; None for a blank line and for a header.

        Raises
        ------
        LineError
            It holds no sample.
        """
        text = _decode(line)
        if not text:
            return None
        if self._parse is None:
            is_json = self._kind == "json" or (self._kind == "auto" and text[0] in "[{")
            self._parse = _Json(self._size, self._names) if is_json else _Csv(self._size, self._names)
        return self._parse(text)


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"it is longer than {MAX_LINE_BYTES} bytes")
    try:
        return line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise LineError("it is not UTF-8 text") from None


class _Csv:
    """Parser of CSV lines; the first may be a header, by whose names the columns are then found."""

    def __init__(self, size: int, names: Sequence[str]) -> None:
        self._size = size
        self._names = [name.strip().casefold() for name in names]
        self._spelled = f" ({', '.join(names)})" if names else ""
        self._columns: list[int] | None = None
        self._width = size

    def __call__(self, text: str) -> list[float] | None:
        if self._columns is None:
            text = text.lstrip("# ")  # as numpy.savetxt begins a header
        fields = _fields(text)
        if self._columns is None and _is_header(fields):
            self._read_header(fields)
            return None
        if len(fields) != self._width:
            whole = self._width == self._size
            what = f"expected {self._size}{self._spelled}" if whole else f"expected {self._width} as in the header"
            raise LineError(f"it has {len(fields)} values, {what}")
        if self._columns is None:
            self._columns = list(range(self._size))
        return [_number(fields[column], column) for column in self._columns]

    def _read_header(self, fields: list[str]) -> None:
        given = [field.casefold() for field in fields]
        missing = [name for name in self._names if given.count(name) != 1]
        if self._names and not missing:
            self._columns = [given.index(name) for name in self._names]
        elif len(missing) < len(self._names):
            raise LineError(
                f"it is a header that does not have {', '.join(missing)} once each, expected the columns{self._spelled}"
            )
        elif len(fields) == self._size and all(fields):
            self._columns = list(range(self._size))
        else:
            raise LineError(
                f"it is neither {self._size} numbers nor a header of {self._size} columns{self._spelled}: "
                f"{_short(','.join(fields))}"
            )
        self._width = len(fields)


def _fields(text: str) -> list[str]:
    """Fields of a line that commas, semicolons, tabs or spaces separate."""
    delimiter = next((each for each in ";,\t" if each in text), None)
    if delimiter is None and '"' not in text:
        return text.split()
    try:
        (fields,) = csv.reader([text], delimiter=delimiter or " ", skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise LineError(f"it is not CSV: {error}") from None
    return [field.strip() for field in fields]


def _is_header(fields: list[str]) -> bool:
    """Whether a line holds names: no number, nothing that stands for a missing one, and no digit in front."""
    return not any(
        _is_number(field) or field.casefold() in _MISSING or field[:1].isdigit() or field[:1] in "+-."
        for field in fields
    )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _number(field: str, column: int) -> float:
    if field.casefold() in _MISSING:
        return float("nan")
    if not _is_number(field):
        raise LineError(f"{_short(field)} in column {column + 1} is not a number")
    return float(field)


class _Json:
    """Parser of JSON lines: ``[0.1, 0.2]``, ``{"x": [0.1, 0.2]}``, or an object with the inputs' names as keys."""

    def __init__(self, size: int, names: Sequence[str]) -> None:
        self._size = size
        self._names = list(names)
        self._forms = "an array, an object with an array 'x'" + (
            f", or one with the keys {', '.join(names)}" if names else ""
        )

    def __call__(self, text: str) -> list[float]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise LineError(f"it is not JSON: {error}") from None
        if isinstance(value, dict):
            if self._names and all(name in value for name in self._names):
                value = [value[name] for name in self._names]
            else:
                value = value.get("x")
        elif self._size == 1 and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list):
            raise LineError(f"it is JSON, but not {self._forms}: {_short(text)}")
        if len(value) != self._size:
            raise LineError(f"it has {len(value)} values, expected {self._size}")
        return [_json_number(each, place) for place, each in enumerate(value)]


def _json_number(value: object, place: int) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise LineError(f"{_short(json.dumps(value))} in place {place + 1} is not a number")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
