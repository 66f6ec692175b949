"""Fixtures of cli tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import edge_rnn
from edge_rnn import Model, Stream


@pytest.fixture
def model(make_model: Callable[..., Model], tmp_path: Path) -> Model:
    made = make_model("gru", 3, 5, labels=("a", "b", "c", "d"), sample_rate_hz=200.0)
    edge_rnn.save(made, tmp_path / "m.safetensors")
    Stream(made)  # compiles what the processes need
    return made
