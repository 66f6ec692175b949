"""The time since the last sample, as a channel of a model's input that need not be measured.

A model whose ``input_names`` have ``elapsed`` gets it from the times of its samples, where these have no such value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self, TypeVar

from edge_rnn.equations.symbols import ELAPSED
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.recordings.times import UNITS, unit_of_name
from edge_rnn.typing import F32

__all__ = ["LEAST_S", "Elapsed", "elapsed_place", "measured", "measured_size"]

LEAST_S = 1e-6
"""Least time between two samples in s, so that an equation may divide by it."""
_FIRST_S = 1.0
_REMEDY = (
    f"{ELAPSED} is missing, and there are no times to compute it from; name the column of the times (--time COLUMN, "
    f"?time=COLUMN), state the rate (?rate=HZ, sample_rate_hz in an .npz), or add a column {ELAPSED}"
)

_T = TypeVar("_T")


def elapsed_place(names: Sequence[str]) -> int | None:
    """Index of the channel that is the time since the last sample; None if no channel is called so."""
    return list(names).index(ELAPSED) if ELAPSED in names else None


def measured(model: Model, values: Sequence[_T]) -> tuple[_T, ...]:
    """Values, one for each channel or none, without that of the time since the last sample."""
    place = elapsed_place(model.input_names)
    return tuple(value for k, value in enumerate(values) if k != place)


def measured_size(model: Model) -> int:
    """Number of channels besides the time since the last sample: those that a sensor has to measure."""
    return model.input_size - (elapsed_place(model.input_names) is not None)


class Elapsed:
    """Time since the last sample that was kept, at least a microsecond.

    For the first sample, for the first after a reset, and where times go back, it is one period of the sample rate; 1 s
    if no rate is known.

    Parameters
    ----------
    place
        Index of the channel.
    unit
        Unit of the channel: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``; empty for seconds.
    rate_hz
        Sample rate in Hz; None if unknown.

    Raises
    ------
    InputError
        The unit is another one.

    Attributes
    ----------
    first_s
        Time in s where none is known.
    last_s
        Time of the last sample that was kept; NaN before the first.
    """

    def __init__(self, place: int, unit: str = "", rate_hz: float | None = None) -> None:
        known = unit_of_name(unit) or unit
        if known and known not in UNITS:
            raise InputError(f"the model reads {ELAPSED} in {unit}, expected one of the units {', '.join(UNITS)}.")
        self.place = place
        self.first_s = 1 / rate_hz if rate_hz else _FIRST_S
        self._parts = UNITS[known or "s"]
        self.last_s = math.nan
        self._ahead_s = 0.0

    @classmethod
    def of(cls, model: Model, rate_hz: float | None = None) -> Self | None:
        """Make one for a model; None if it has no such channel. ``rate_hz`` counts if the model states no rate."""
        place = elapsed_place(model.input_names)
        if place is None:
            return None
        return cls(place, model.input_units[place] if model.input_units else "", model.sample_rate_hz or rate_hz)

    def is_missing(self, x: F32) -> bool:
        """True if a sample has no time since the last one."""
        return math.isnan(x[self.place])

    def fill(self, x: F32, t_s: float) -> float:
        """Set it in a sample that lacks it, and is from the time ``t_s`` in s; return that time.

        A time that is missing (NaN) is taken as one period after the last.

        Raises
        ------
        InputError
            There was no time so far.
        """
        if not self.is_missing(x):
            return t_s
        if math.isnan(t_s):
            t_s = self.last_s + self.first_s
        if math.isnan(t_s):
            raise InputError(f"{_REMEDY}.")
        self.put(x, self.since(t_s))
        return t_s

    def put(self, x: F32, seconds: float) -> None:
        """Set it in a sample."""
        x[self.place] = seconds * self._parts

    def since(self, t_s: float) -> float:
        """Seconds from the last sample that was kept to ``t_s``."""
        seconds = t_s - self.last_s
        return max(seconds, LEAST_S) if seconds >= -self._ahead_s else self.first_s

    def keep(self, t_s: float) -> None:
        """Remember the time of a sample that the network has used."""
        self.last_s, self._ahead_s = t_s, 0.0

    def pass_s(self, seconds: float) -> None:
        """Remember a step that had no sample of its own, after an estimated time."""
        self.last_s += seconds
        self._ahead_s += seconds

    def restart(self) -> None:
        """Forget the last sample."""
        self.last_s = math.nan
