"""Detector: smooth network outputs, detect events, and call functions with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from edge_rnn.backend.event import Event
from edge_rnn.backend.hysteresis import Hysteresis
from edge_rnn.errors import InputError, StateTypeError
from edge_rnn.frontend.chain import Chain
from edge_rnn.frontend.front_end import FrontEnd
from edge_rnn.spelling import counted

__all__ = ["Detector"]


class Detector:
    """Pipeline from network outputs through optional smoothing and a rule to event callbacks.

    It has the ``write(y, t_s)`` of a :class:`edge_rnn.loop.Sink`, so it can be the sink of a SensorLoop. A loop's
    snapshots contain the network's state only; the state of the smoothing and of the rule starts from scratch with the
    process.

    Parameters
    ----------
    rule
        Rule that turns outputs into events.
    smoothing
        Stages applied to the outputs first, in order: :class:`~edge_rnn.backend.Smooth`,
        :class:`~edge_rnn.backend.Majority`, or any front ends; the last one must output as many values as the rule
        reads.
    on_entered, on_left
        Callbacks, called with each event of that kind. Their exceptions propagate to the caller of ``push``; the state
        is up to date by then, but the callbacks for later events of the same vector are not called.

    Raises
    ------
    InputError
        The sizes do not match.

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
                f"Detector got smoothing that outputs {counted(self.smoothing.output_size, 'value')}, and a rule "
                f"that reads {rule.size}; they have to match."
            )
        self._calls = {"entered": on_entered, "left": on_left}

    def push(self, y: ArrayLike, t_s: float = math.nan) -> tuple[Event, ...]:
        """Take one output vector ``(size,)`` and its time in seconds; call the callbacks, then return the events."""
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
        """Sink interface of :meth:`push`, for a loop."""
        self.push(y, t_s)

    def reset(self) -> None:
        """Restore the state after construction; active outputs are cleared without an event."""
        self.rule.reset()
        if self.smoothing is not None:
            self.smoothing.reset()

    def snapshot(self) -> bytes:
        """Serialize the state, tagged with the options; :meth:`restore` reads it on any machine."""
        return self.rule.snapshot() + (self.smoothing.snapshot() if self.smoothing else b"")

    def restore(self, snapshot: bytes) -> None:
        """Continue from the state of a :meth:`snapshot`.

        Raises
        ------
        StateError
            The bytes are damaged, or come from another version or from other options. The state is left unchanged.
        """
        if not isinstance(snapshot, (bytes, bytearray, memoryview)):
            raise StateTypeError(f"restore got {type(snapshot).__name__}, expected the bytes of snapshot().")
        before, size = self.rule.snapshot(), len(self.rule.snapshot())
        data = bytes(snapshot)
        self.rule.restore(data[:size] if self.smoothing else data)
        if self.smoothing is not None:
            try:
                self.smoothing.restore(data[size:])
            except Exception:
                self.rule.restore(before)
                raise
