"""Fixtures of sampling tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_rnn import LSTM, Dense, Embedding, Model
from sampling_oracle import Build

# ---- networks


@pytest.fixture
def writer(make_model: Build) -> Callable[..., Model]:
    """Function that makes a network of symbols with a wide range of scores."""

    def make(symbols: int = 11, activation: str = "none", embedding: bool = False, spread: float = 6.0) -> Model:
        rng = np.random.default_rng(symbols)
        size = 5 if embedding else symbols
        cell = LSTM(*(rng.uniform(-1, 1, shape) for shape in ((64, size), (64, 16), (64,), (64,))))
        head = Dense(spread * rng.uniform(-1, 1, (symbols, 16)), rng.uniform(-1, 1, symbols), activation=activation)
        front = [Embedding(rng.uniform(-1, 1, (symbols, size)))] if embedding else []
        return Model([*front, cell, head])

    return make
