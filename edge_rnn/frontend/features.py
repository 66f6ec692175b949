"""Features: a source of samples and a front end, as a source of features."""

from __future__ import annotations

from typing import Any

from edge_rnn.errors import InputError
from edge_rnn.frontend.front_end import FrontEnd

__all__ = ["Features"]


class Features:
    """What a front end makes of another source's samples, for whoever reads sources: ``edge_rnn.loop.SensorLoop``.

    It reads samples until a feature vector is complete. That has the time of the sample that completed it, if samples
    have times. The front end works where the source is read: in the loop's reading thread if the source waits. What it
    remembers of past samples, a window at most, is not in a loop's snapshots: after a start it begins anew.

    Parameters
    ----------
    source
        A :class:`edge_rnn.loop.Source`: ``read()``, and maybe ``blocks``, ``live`` and ``close()``.
    front
        The front end; as it is, not reset.

    Attributes
    ----------
    blocks, live
        The source's.
    sample_rate_hz
        Feature vectors a second, where the source knows its rate; else None.

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
            raise InputError(
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
        """The next feature vector ``(output_size,)`` float32, an array of its own, or with its time; None at the end.

        Raises
        ------
        InputError
            A sample does not fit the front end.
        Exception
            Whatever the source raises; what the front end knows stays.
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
        """Close the source, if it can be."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()


def _is_timed(sample: Any) -> bool:
    """Whether it is an :class:`edge_rnn.loop.Timed`: a named tuple of x and t_s."""
    return isinstance(sample, tuple) and hasattr(sample, "t_s")
