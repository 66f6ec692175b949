"""Telemetry of the machine itself, from ``/proc`` and ``/sys``."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.loop.scheme import Scheme, Url
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import measured_size
from edge_rnn.spelling import counted

__all__ = ["FIELDS", "PROC", "Machine"]


class Machine:
    """Source of machine telemetry, available on every Linux; values are read on demand.

    Parameters
    ----------
    fields
        Any of ``"cpu"`` (percentage of time that all processors were not idle, since the previous sample), ``"memory"``
        and ``"swap"`` (percentage in use), ``"load"`` (one-minute load average per processor), ``"temperature"`` (°C,
        of the hottest thermal zone).
    size
        Number of values that the model reads, for a check.
    root
        Directory that contains ``proc`` and ``sys``.

    Attributes
    ----------
    units
        One text per field; empty for no unit.

    Raises
    ------
    InputError
        A field is unknown, or the number of fields is not ``size``.
    UnsupportedError
        The machine does not provide one of the fields.
    """

    blocks = False
    live = True

    def __init__(self, fields: Sequence[str], size: int, root: str | os.PathLike[str] = "/") -> None:
        unknown = [field for field in fields if field not in FIELDS]
        if unknown:
            raise InputError(f"proc got the unknown field {unknown[0]!r}, expected any of {', '.join(FIELDS)}.")
        if len(fields) != size:
            raise InputError(
                f"proc got {counted(len(fields), 'field')} ({', '.join(fields)}), but the model reads "
                f"{counted(size, 'value')}."
            )
        self._root = Path(root)
        self._fields = [FIELDS[field] for field in fields]
        self.units = tuple(_UNITS.get(field, "") for field in fields)
        self.units_remedy = "name the fields in the model's order, such as proc:cpu,temperature"
        self._busy = self._all = 0
        for name, field in zip(fields, self._fields, strict=True):
            try:
                field(self)
            except (OSError, ValueError, LookupError):
                raise UnsupportedError(
                    f"this machine does not report its {name}; choose others of {', '.join(FIELDS)}."
                ) from None

    def read(self) -> list[float]:
        """Return the values, in the order of ``fields``.

        Raises
        ------
        OSError, ValueError, LookupError
            The system no longer provides one of the fields.
        """
        return [field(self) for field in self._fields]

    def _text(self, name: str) -> str:
        return (self._root / name).read_text(encoding="ascii", errors="replace")

    def _cpu(self) -> float:
        ticks = [int(each) for each in self._text("proc/stat").partition("\n")[0].split()[1:9]]  # without guest time
        total, busy = sum(ticks), sum(ticks) - ticks[3] - ticks[4]  # idle and iowait
        passed, worked = total - self._all, busy - self._busy
        self._all, self._busy = total, busy
        return 100 * min(max(worked / passed, 0.0), 1.0) if passed > 0 else 0.0

    def _kilobytes(self) -> dict[str, int]:
        lines = (line.split() for line in self._text("proc/meminfo").splitlines())
        return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}

    def _memory(self) -> float:
        found = self._kilobytes()
        return 100 * (1 - found["MemAvailable"] / found["MemTotal"])

    def _swap(self) -> float:
        found = self._kilobytes()
        return 100 * (1 - found["SwapFree"] / found["SwapTotal"]) if found["SwapTotal"] else 0.0

    def _load(self) -> float:
        return float(self._text("proc/loadavg").split()[0]) / (os.cpu_count() or 1)

    def _temperature(self) -> float:
        hottest = -math.inf
        for path in (self._root / "sys/class/thermal").glob("thermal_zone*/temp"):
            try:
                hottest = max(hottest, int(path.read_text(encoding="ascii")) / 1000)
            except (OSError, ValueError):  # reading a disabled zone raises an error
                continue
        if hottest == -math.inf:
            raise LookupError("no thermal zone provides a temperature")
        return hottest


_UNITS = {"cpu": "%", "memory": "%", "swap": "%", "temperature": "°C"}

FIELDS: dict[str, Callable[[Machine], float]] = {
    "cpu": Machine._cpu,
    "memory": Machine._memory,
    "temperature": Machine._temperature,
    "swap": Machine._swap,
    "load": Machine._load,
}
"""Fields, in the default order."""


def _open(url: Url, model: Model) -> Machine:
    size = measured_size(model)
    return Machine(url.place.split(",") if url.place else [*FIELDS][:size], size)


PROC = Scheme(
    name="proc",
    place="",
    help="telemetry of this machine; any of proc:cpu,memory,temperature,swap,load; needs a rate",
    open=_open,
)
