"""A function as a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from edge_rnn.loop.protocols import Timed

__all__ = ["Call"]


class Call:
    """Source that calls a function for each sample.

    Parameters
    ----------
    function
        Called without arguments; returns and raises what ``Source.read`` does.
    blocks
        True if it may wait; it is then called in its own thread.
    live
        True if its samples arrive in real time.
    sample_rate_hz, units
        Rate and units of the samples, to be compared with the model's.
    """

    def __init__(
        self,
        function: Callable[[], ArrayLike | Timed | None],
        *,
        blocks: bool = False,
        live: bool = True,
        sample_rate_hz: float | None = None,
        units: Sequence[str] = (),
    ) -> None:
        self.read = function
        self.blocks = blocks
        self.live = live
        self.sample_rate_hz = sample_rate_hz
        self.units = tuple(units)
