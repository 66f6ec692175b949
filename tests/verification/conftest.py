"""Fixtures of verification tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_rnn.model import Model


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 3, 6, 2, head=2)
