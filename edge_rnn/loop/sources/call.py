"""A function as a source."""

from __future__ import annotations

from collections.abc import Callable

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
    """

    def __init__(
        self, function: Callable[[], ArrayLike | Timed | None], *, blocks: bool = False, live: bool = True
    ) -> None:
        self.read = function
        self.blocks = blocks
        self.live = live
