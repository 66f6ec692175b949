"""Detector: from what a network puts out to what a program does about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from edge_rnn.backend.event import Event
from edge_rnn.backend.hysteresis import Hysteresis
from edge_rnn.errors import InputError, StateError
from edge_rnn.frontend.chain import Chain
from edge_rnn.frontend.front_end import FrontEnd
from edge_rnn.spelling import counted

__all__ = ["Detector"]


class Detector:
    """Outputs, smoothed where asked, through a rule to functions that are called with each event.

    It has the ``write(y, t_s)`` of a :class:`edge_rnn.loop.Sink`, so a SensorLoop takes it as its sink. A loop's
    snapshots hold the network's state alone: what is smoothed and what was entered begins anew with the process.

    Parameters
    ----------
    rule
        What makes events of outputs.
    smoothing
        What outputs go through first, one after another: :class:`~edge_rnn.backend.Smooth`,
        :class:`~edge_rnn.backend.Majority`, any front end that puts out as many numbers as the rule reads.
    on_entered, on_left
        Called with each event of the kind. What they raise is the caller's; all that is remembered is up to date by
        then, but events of the same vector that come after are not told.

    Raises
    ------
    InputError
        Sizes do not fit.

    Examples
    --------
    >>> from edge_rnn.backend import Detector, Hysteresis, Majority
    >>> rule = Hysteresis(2, enter=0.6, leave=0.4, labels=["rest", "wave"], ignore=[0])
    >>> detector = Detector(rule, [Majority(last=5, size=2)], on_entered=lambda event: print(event.label, event.sample))
    >>> for y in [[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]]:
    ...     detector.write(y, 0.0)
    wave 4
    """

    def __init__(
        self,
        rule: Hysteresis,
        smoothing: Sequence[FrontEnd] = (),
        *,
        on_entered: Callable[[Event], object] | None = None,
        on_left: Callable[[Event], object] | None = None,
    ) -> None:
        self.rule = rule
        self.smoothing = Chain(smoothing) if smoothing else None
        if self.smoothing is not None and self.smoothing.output_size != rule.size:
            raise InputError(
                f"Detector got smoothing that puts out {counted(self.smoothing.output_size, 'number')}, "
                f"and a rule that reads {rule.size}."
            )
        self._calls = {"entered": on_entered, "left": on_left}

    def push(self, y: ArrayLike, t_s: float = math.nan) -> tuple[Event, ...]:
        """Take one output vector ``(size,)`` and its time in seconds; what began or ended, after the functions ran."""
        if self.smoothing is None:
            events = self.rule.push(y, t_s)
        else:
            events = ()
            smoothed = self.smoothing.push(y)
            while smoothed is not None:
                events += self.rule.push(smoothed, t_s)
                smoothed = self.smoothing.more()
        for event in events:
            call = self._calls[event.kind]
            if call is not None:
                call(event)
        return events

    def write(self, y: ArrayLike, t_s: float) -> None:
        """:meth:`push` as a loop's sink has it."""
        self.push(y, t_s)

    def reset(self) -> None:
        """Back to how it was made; what is entered is forgotten, without an event."""
        self.rule.reset()
        if self.smoothing is not None:
            self.smoothing.reset()

    def snapshot(self) -> bytes:
        """What it remembers, in bytes that name its options; :meth:`restore` takes them, on any machine."""
        return self.rule.snapshot() + (self.smoothing.snapshot() if self.smoothing else b"")

    def restore(self, snapshot: bytes) -> None:
        """Go on from where :meth:`snapshot` was taken.

        Raises
        ------
        StateError
            The bytes are damaged, of another version, or of other options; it is as it was.
        """
        if not isinstance(snapshot, (bytes, bytearray, memoryview)):
            raise StateError(f"restore got {type(snapshot).__name__}, expected the bytes of snapshot().")
        before, size = self.rule.snapshot(), len(self.rule.snapshot())
        data = bytes(snapshot)
        self.rule.restore(data[:size] if self.smoothing else data)
        if self.smoothing is not None:
            try:
                self.smoothing.restore(data[size:])
            except Exception:
                self.rule.restore(before)
                raise
