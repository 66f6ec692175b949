"""Fixtures of live tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_rnn import Model, Stream
from edge_rnn.loop import SensorLoop, sinks
from live_pages import Endless


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model(
        "gru", 3, 5, labels=("a", "<b>", "c", "d"), name="a network", input_names=("u", "v", "w"),
        input_units=("V", "A", "K"), sample_rate_hz=200.0,
    )  # fmt: skip


@pytest.fixture
def loop(model: Model) -> SensorLoop:
    return SensorLoop(Stream(model), Endless(), sinks.Call(lambda y, t_s: None), report=lambda text: None)
