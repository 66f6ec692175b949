"""Result of generation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_rnn.typing import F32, I32

__all__ = ["Generated"]


class Generated(NamedTuple):
    """Symbols that a network generated, without the prompt."""

    symbols: I32
    """``(length,)`` int32: symbol ids, including the stop sequence if one ended the text."""
    log_probabilities: F32
    """``(length,)`` float32: natural logarithm of the probability that the network gives each symbol after the ones
    before it, before temperature, penalty and filtering."""
    stopped: bool
    """True if the text ends with a stop sequence; otherwise the maximum length was reached."""

    @property
    def log_probability(self) -> float:
        """Log-probability of the whole text, summed in float64."""
        return float(self.log_probabilities.sum(dtype=np.float64))
