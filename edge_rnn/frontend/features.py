"""Features: combine a sample source and a front end into a source of feature vectors."""

from __future__ import annotations

from typing import Any

from edge_rnn.errors import InputTypeError
from edge_rnn.frontend.front_end import FrontEnd

__all__ = ["Features"]


class Features:
    """Source of feature vectors: the samples of another source, passed through a front end.

    Anything that reads sources, such as ``edge_rnn.loop.SensorLoop``, can read it. ``read`` takes samples until a
    feature vector is complete. The vector gets the timestamp of the sample that completed it, if samples have
    timestamps. The front end runs where the source is read: in the loop's reader thread if the source blocks. A loop's
    snapshots do not contain the front end's state (at most one window of past samples); it starts empty after a
    restart.

    Parameters
    ----------
    source
        A :class:`edge_rnn.loop.Source`: ``read()``, and optionally ``blocks``, ``live`` and ``close()``.
    front
        The front end. It is used in its current state, without a reset.

    Attributes
    ----------
    blocks, live
        Taken from the source.
    sample_rate_hz
        Feature vectors per second if the source states its rate, else None.

    Examples
    --------
    >>> from edge_rnn.frontend import Features, Moving
    >>> class Ramp:
    ...     blocks = live = False
    ...     i = 0
    ...     def read(self):
    ...         self.i += 1
    ...         return [self.i] if self.i < 6 else None
    >>> features = Features(Ramp(), Moving(["mean"], window=2, hop=2))
    >>> [float(features.read()[0]) for _ in range(2)], features.read()
    ([1.5, 3.5], None)
    """

    def __init__(self, source: Any, front: FrontEnd) -> None:
        if not hasattr(source, "read") or not isinstance(front, FrontEnd):
            raise InputTypeError(
                f"Features got {type(source).__name__} and {type(front).__name__}, expected a source and a front end."
            )
        self.source = source
        self.front = front
        self.blocks = bool(getattr(source, "blocks", True))
        self.live = bool(getattr(source, "live", True))
        rate_hz = getattr(source, "sample_rate_hz", None)
        self.sample_rate_hz = None if rate_hz is None else float(rate_hz * front.ratio)
        self._last: Any = None

    def read(self) -> Any:
        """Return the next feature vector ``(output_size,)`` float32, timestamped if the samples are; None at the end.

        The array is a copy, which the caller may keep.

        Raises
        ------
        InputError
            A sample does not fit the front end.
        Exception
            Any exception of the source; the front end keeps its state.
        """
        y = self.front.more()
        while y is None:
            sample = self.source.read()
            if sample is None:
                return None
            self._last = sample
            y = self.front.push(sample.x if _is_timed(sample) else sample)
        return self._last._replace(x=y.copy()) if _is_timed(self._last) else y.copy()

    def close(self) -> None:
        """Close the source if it has a ``close`` method."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()


def _is_timed(sample: Any) -> bool:
    """True for an :class:`edge_rnn.loop.Timed`, a named tuple of x and t_s."""
    return isinstance(sample, tuple) and hasattr(sample, "t_s")
