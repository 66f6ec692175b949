"""What a network has written."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_rnn.typing import F32, I32

__all__ = ["Generated"]


class Generated(NamedTuple):
    """Symbols that a network has written, without the prompt."""

    symbols: I32
    """``(length,)`` int32: their numbers, a what stopped it at the end included."""
    log_probabilities: F32
    """``(length,)`` float32: natural logarithm of the probability that the network itself gives to each symbol after
    those before it, before temperature, penalty and all that may not be drawn."""
    stopped: bool
    """Whether it ends with what ends a text; else the longest length was reached."""

    @property
    def log_probability(self) -> float:
        """Logarithm of the probability of all symbols together, summed in float64."""
        return float(self.log_probabilities.sum(dtype=np.float64))
