"""Hysteresis: turn outputs into events without chattering."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import plain_array
from edge_rnn.backend.event import Event
from edge_rnn.checks import real, whole
from edge_rnn.errors import InputError
from edge_rnn.frontend.options import MOST_CHANNELS, MOST_SAMPLES
from edge_rnn.spelling import counted
from edge_rnn.storage.snapshot import pack, refused, unpack
from edge_rnn.typing import F64

__all__ = ["Hysteresis"]

_NONE: tuple[Event, ...] = ()
_NEVER = -(1 << 62)


class Hysteresis:
    """Two-threshold event detector, independent for each output.

    An output is entered after ``enter_after`` consecutive vectors with a value of at least ``enter``, and left after
    ``leave_after`` consecutive vectors with a value below ``leave``. Values in between change nothing, but break either
    run. NaN counts as below every threshold, so an output that turns to NaN is left instead of staying active. Time per
    vector and memory are constant.

    Parameters
    ----------
    size
        Number of outputs.
    enter, leave
        Thresholds, one for all outputs or one for each; ``leave`` must not exceed ``enter``.
    enter_after, leave_after
        Minimum duration, in vectors.
    refractory
        Number of vectors after an output is entered during which it cannot be entered again.
    labels
        Labels of the outputs; empty to identify them by index only.
    ignore
        Outputs that give no events, for instance the one for silence.

    Raises
    ------
    InputError
        A number is out of range, or the number of thresholds or labels differs from the number of outputs.

    Examples
    --------
    >>> from edge_rnn.backend import Hysteresis
    >>> rule = Hysteresis(1, enter=0.8, leave=0.3, enter_after=2, labels=["fall"])
    >>> for y in (0.9, 0.5, 0.8, 0.9, 0.4, 0.2):
    ...     for event in rule.push(y):
    ...         print(event.kind, event.label, event.sample, event.since, round(event.confidence, 2))
    entered fall 3 2 0.9
    left fall 5 3 0.9
    """

    def __init__(
        self,
        size: int = 1,
        enter: float | Sequence[float] = 0.7,
        leave: float | Sequence[float] = 0.4,
        *,
        enter_after: int = 1,
        leave_after: int = 1,
        refractory: int = 0,
        labels: Sequence[str] = (),
        ignore: Sequence[int] = (),
    ) -> None:
        where = "Hysteresis"
        self.size = whole(where, "size", size, most=MOST_CHANNELS)
        self._enter, self._leave = self._thresholds("enter", enter), self._thresholds("leave", leave)
        for output, (high, low) in enumerate(zip(self._enter, self._leave, strict=True)):
            if low > high:
                raise InputError(
                    f"{where} leave got {low:g} for output {output}, expected at most its enter, {high:g}."
                )
        self._enter_after = whole(where, "enter_after", enter_after, most=MOST_SAMPLES)
        self._leave_after = whole(where, "leave_after", leave_after, most=MOST_SAMPLES)
        self._refractory = whole(where, "refractory", refractory, 0, 1 << 40)
        self.labels = tuple(labels)
        if self.labels and len(self.labels) != self.size:
            raise InputError(
                f"{where} got {counted(len(self.labels), 'label')}, expected {self.size}, one for each output."
            )
        ignored = {whole(where, "ignore", output, 0, self.size - 1) for output in ignore}
        self._watched = [output for output in range(self.size) if output not in ignored]
        self.reset()

    def __repr__(self) -> str:
        return f"<Hysteresis {self.spec}>"

    @property
    def spec(self) -> str:
        """Text form of all options."""
        return (
            f"hysteresis:size={self.size},enter={self._enter},leave={self._leave},after={self._enter_after}/"
            f"{self._leave_after},refractory={self._refractory},watched={self._watched}"
        )

    @property
    def active(self) -> tuple[int, ...]:
        """Outputs that are currently entered."""
        return tuple(output for output in self._watched if self._active[output])

    def push(self, y: ArrayLike, t_s: float = math.nan) -> tuple[Event, ...]:
        """Take one output vector.

        Parameters
        ----------
        y
            ``(size,)``, or a scalar if there is one output.
        t_s
            Time of the vector in seconds, copied to the events.

        Returns
        -------
        Events that this vector triggered, usually none.

        Raises
        ------
        InputError
            The shape does not match.
        """
        values = plain_array(y)
        if values.shape != (self.size,) and not (values.ndim == 0 and self.size == 1):
            raise InputError(f"Hysteresis.push got shape {values.shape}, expected ({self.size},).")
        numbers: list[float] = values.reshape(-1).tolist()
        events = _NONE
        sample = self._sample
        self._sample += 1
        for output in self._watched:
            value = numbers[output]
            if self._active[output]:
                event = self._while_active(output, value, sample, t_s)
            else:
                event = self._while_quiet(output, value, sample, t_s)
            if event is not None:
                events = (*events, event)
        return events

    def reset(self) -> None:
        """Restore the state after construction; active outputs are cleared without an event."""
        self._sample = 0
        self._active = [0] * self.size
        self._row = [0] * self.size  # consecutive vectors in favor of a change
        self._entered = [_NEVER] * self.size
        self._peak: F64 = np.zeros(self.size)

    def snapshot(self) -> bytes:
        """Serialize the state, tagged with the options; :meth:`restore` reads it on any machine."""
        return pack(self.spec, [self._sample, *self._active, *self._row, *self._entered], [self._peak])

    def restore(self, snapshot: bytes) -> None:
        """Continue from the state of a :meth:`snapshot`.

        Raises
        ------
        StateError
            The bytes are damaged, or come from another version or from other options. The state is left unchanged.
        """
        size = self.size
        numbers, (peak,) = unpack(self.spec, snapshot, 1 + 3 * size, [self._peak])
        sample = numbers[0]
        active, row, entered = (list(numbers[begin : begin + size]) for begin in (1, 1 + size, 1 + 2 * size))
        if (
            not 0 <= sample <= -_NEVER
            or not {*active} <= {0, 1}
            or not all(0 <= each <= sample for each in row)
            or not all(0 <= at < sample or (at == _NEVER and not now) for at, now in zip(entered, active, strict=True))
            or np.isnan(peak).any()
        ):
            raise refused(self.spec)
        self._sample, self._active, self._row, self._entered = sample, active, row, entered
        self._peak[:] = peak

    def _thresholds(self, name: str, given: float | Sequence[float]) -> list[float]:
        values = [given] * self.size if isinstance(given, (int, float)) else list(given)
        if len(values) != self.size:
            raise InputError(
                f"Hysteresis {name} got {counted(len(values), 'value')}, expected one, or one for each output."
            )
        return [real("Hysteresis", name, value, -1e30) for value in values]

    def _while_quiet(self, output: int, value: float, sample: int, t_s: float) -> Event | None:
        if not value >= self._enter[output]:
            self._row[output] = 0
            return None
        self._row[output] += 1
        if self._row[output] < self._enter_after or sample - self._entered[output] <= self._refractory:
            return None
        since = sample - self._row[output] + 1
        self._active[output], self._row[output] = 1, 0
        self._entered[output], self._peak[output] = sample, value
        return Event("entered", output, self._label(output), sample, since, value, t_s)

    def _while_active(self, output: int, value: float, sample: int, t_s: float) -> Event | None:
        if value >= self._leave[output]:
            self._row[output] = 0
            if value > self._peak[output]:
                self._peak[output] = value
            return None
        self._row[output] += 1
        if self._row[output] < self._leave_after:
            return None
        self._active[output] = self._row[output] = 0
        peak = float(self._peak[output])
        return Event("left", output, self._label(output), sample, self._entered[output], peak, t_s)

    def _label(self, output: int) -> str:
        return self.labels[output] if self.labels else ""
