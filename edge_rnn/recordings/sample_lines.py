"""Parser of text lines into samples: CSV or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from edge_rnn.checks import is_number
from edge_rnn.recordings.columns import Columns, HeaderError, LineError, Wanted
from edge_rnn.recordings.csv_line import Csv, short
from edge_rnn.recordings.times import TimeReader

__all__ = ["FORMATS", "MAX_LINE_BYTES", "HeaderError", "LineError", "LineParser"]

FORMATS = ("auto", "csv", "json")
"""Line formats; ``"auto"`` is JSON if the first line begins with ``[`` or ``{``, else CSV."""

MAX_LINE_BYTES = 1 << 20
"""Maximum length of a line in bytes."""


class LineParser:
    """Parser of one input's lines, in order: the first decides between CSV and JSON, and may be a header.

    Parameters
    ----------
    size
        Values per sample.
    names, units
        The model's input names, by which columns and keys are found, and their units.
    kind
        One of ``FORMATS``.
    columns
        Columns or keys to read, in the model's order: names, or positions from 1. Empty to use ``names``. What is
        called ``elapsed``, the time since the last sample, may be left out, and is then NaN.
    time
        Column or key of the time, optionally with its unit: ``"ts"``, ``"ts,ms"``. Empty to detect it: a usual name for
        times that contains the unit.
    chatty
        True to accept text that is not a header, as a device prints it at startup.

    Attributes
    ----------
    t_s
        Time of the last sample in seconds; NaN if it has none.

    Raises
    ------
    InputError
        ``columns`` or ``time`` are invalid.
    """

    def __init__(
        self,
        size: int,
        names: Sequence[str] = (),
        kind: str = "auto",
        *,
        units: Sequence[str] = (),
        columns: Sequence[str] = (),
        time: str = "",
        chatty: bool = False,
    ) -> None:
        self._wanted = Wanted(size, tuple(names), tuple(units), tuple(columns), time)
        self._kind = kind
        self._chatty = chatty
        self._parse: Csv | _Json | None = None
        self._comment = ""
        self._refused: HeaderError | None = None
        self.t_s = math.nan

    def __call__(self, line: bytes) -> list[float] | None:
        """Parse the values of a line, NaN for a missing one; None for a blank line, a comment or a header.

        Raises
        ------
        HeaderError
            The columns of a header differ from the model's inputs: the lines below cannot be read.
        LineError
            The line contains no sample.
        """
        if self._refused is not None:
            raise self._refused
        text = _decode(line)
        if not text:
            return None
        if self._parse is None:
            if text[0] == "#" and self._kind != "csv":
                self._comment = text
                return None
            is_json = self._kind == "json" or (self._kind == "auto" and text[0] in "[{")
            self._parse = _Json(self._wanted) if is_json else Csv(self._wanted, self._chatty)
            if self._comment:
                self._understood(self._comment)
        return self._understood(text)

    @property
    def begun(self) -> bool:
        """Return True once the columns are determined."""
        return self._parse is not None and self._parse.begun

    def renew(self) -> None:
        """Prepare for the first line of another file by the same writer: with a header, or with the same columns."""
        self._refused = None
        if isinstance(self._parse, Csv):
            self._parse.renew()

    def _understood(self, text: str) -> list[float] | None:
        assert self._parse is not None
        try:
            values = self._parse(text)
        except HeaderError as error:
            self._refused = error
            raise
        self.t_s = self._parse.t_s
        return values


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"it is longer than {MAX_LINE_BYTES} bytes")
    try:
        return line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise LineError("it is not UTF-8 text") from None


class _Json:
    """Parser of JSON lines: ``[0.1, 0.2]``, ``{"x": [0.1, 0.2]}``, or an object with the inputs' names as keys."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._columns = Columns(wanted)
        self._of_keys: tuple[tuple[str, ...], Callable[[dict[str, Any]], list[Any]] | None] = ((), None)
        self._time_key = ""
        self._time_asked = bool(wanted.time)
        self._time = TimeReader()
        names = wanted.columns or wanted.names
        self._forms = "an array, an object with an array 'x'" + (
            f", or one with the keys {', '.join(names)}" if names else ""
        )
        self.t_s = math.nan
        self.begun = True

    def __call__(self, text: str) -> list[float] | None:
        if text[0] == "#":
            return None
        try:
            value = json.loads(text, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise LineError(f"it is not JSON: {error}") from None
        self.t_s = math.nan
        if isinstance(value, dict):
            value = self._of_object(value, text)
        elif self._wanted.least == 1 and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list):
            raise LineError(f"it is JSON, but not {self._forms}: {short(text)}")
        if self._wanted.time and not self._time_key:
            place = self._columns.of_width(len(value)).time
            self.t_s = self._seconds(value[place or 0])
        if len(value) != self._wanted.size:
            places = self._columns.of_width(len(value))
            value = places.complete([value[place] for place in places.values], None)
        return [_number(each, place) for place, each in enumerate(value)]

    def _of_object(self, value: dict[str, Any], text: str) -> Any:
        """Extract the array from an object."""
        keys = tuple(value)
        if keys != self._of_keys[0]:
            self._of_keys = (keys, self._way(value))
        way = self._of_keys[1]
        if way is None:
            raise LineError(f"it is JSON, but not {self._forms}: {short(text)}")
        found = way(value)
        if self._time_key:
            self.t_s = self._seconds(value[self._time_key])
        return found

    def _way(self, value: dict[str, Any]) -> Callable[[dict[str, Any]], Any] | None:
        """Return a function that extracts the values of an object with these keys; None if there is none."""
        keys = list(value)
        wanted = self._wanted
        whole = isinstance(value.get("x"), list) and not (self._columns.has_all(keys))
        if whole:
            keys = [*map(str, range(wanted.size)), *(key for key in keys if key != "x")]
            wanted = Wanted(wanted.size, tuple(keys[: wanted.size]), time=wanted.time)
        elif not self._columns.has_all(keys):
            return None
        try:
            places = Columns(wanted).of_header(keys)
        except HeaderError as error:
            raise LineError(str(error).replace("its header has the columns", "its keys are")) from None
        name = places.name
        if name != self._time_key:
            self._time_key, self._time = name, TimeReader(name, wanted.time_unit)
        if whole:
            return lambda given: given["x"]
        chosen = [keys[place] for place in places.values]
        return lambda given: places.complete([given[key] for key in chosen], None)

    def _seconds(self, value: Any) -> float:
        try:
            t_s = self._time(value)
        except ValueError as error:
            if self._time_asked:
                raise LineError(str(error)) from None
            return math.nan
        return t_s if self._time_asked or self._time.sure else math.nan


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {short(next(key for key in keys if keys.count(key) > 1))} occurs more than once")
    return found


def _number(value: object, place: int) -> float:
    if value is None:
        return math.nan
    if not is_number(value):
        raise LineError(f"{short(json.dumps(value))} at position {place + 1} is not a number")
    try:
        return float(value)
    except OverflowError:
        return math.inf
