"""Fixtures of storage tests."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from edge_rnn.layers import LAYER_TYPES
from edge_rnn.storage import model_file
from edge_rnn.storage.model_file import save
from model_files import (
    MakeModel,
    Shifted,
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> Shifted:
    monkeypatch.setattr(model_file, "LAYER_TYPES", MappingProxyType({**LAYER_TYPES, "Shifted": Shifted}))
    return Shifted(np.array([1, -2], np.int8), np.array([0.1]), mode="down", gain=0.1, times=7, note="ü")


@pytest.fixture(scope="session")
def good(make_model: MakeModel, folder: Path) -> bytes:
    """File with a GRU(3) that reads two values, and a head of two outputs."""
    path = folder / "good.safetensors"
    save(make_model("gru", 2, 3, head=2, labels=["rest", "move"], sample_rate_hz=10), path)
    return path.read_bytes()
