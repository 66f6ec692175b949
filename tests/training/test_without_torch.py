"""PyTorch modules where PyTorch is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense
from edge_rnn.errors import UnsupportedError
from edge_rnn_export import to_torch


def test_what_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def spec(name: str) -> Any:
        return None if name == "torch" else find_spec(name)

    monkeypatch.setattr("edge_rnn_export.training.torch_module.find_spec", spec)
    with pytest.raises(UnsupportedError, match="to_torch needs PyTorch, which is not installed: pip install torch"):
        to_torch(Dense(np.ones((1, 1))))
