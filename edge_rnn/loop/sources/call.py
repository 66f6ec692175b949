"""A function as a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from edge_rnn.loop.protocols import Timed

__all__ = ["Call"]


class Call:
    """Samples that a function returns.

    Parameters
    ----------
    function
        Called without arguments for each sample; returns what ``Source.read`` does, and raises what it does.
    blocks
        Whether it may wait; then it is called in a thread of its own.
    live
        Whether its samples come at the world's pace.
    sample_rate_hz, units
        What is known of the samples, to be compared with the model's.
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
