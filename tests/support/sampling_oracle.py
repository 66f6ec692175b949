"""Helpers of sampling tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_rnn import Dense, Elman, Model

Build = Callable[..., Model]
ROOT = Path(__file__).resolve().parents[2]


def constant(scores: np.ndarray, activation: str = "none") -> Model:
    """Network with the same scores for any input."""
    count = len(scores)
    return Model([Elman(np.zeros((1, count)), [[0.0]]), Dense(np.zeros((count, 1)), scores, activation=activation)])
