"""Fixtures for all tests: networks with ordinary weights, and the folder of recordings by others."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from edge_rnn.errors import InputError
from edge_rnn.layers import GRU, LSTM, Dense, Elman, Layer, Recurrent
from edge_rnn.model import Model
from edge_rnn.quantization.apply import matrices, quantize

pytest_plugins = [
    "distributions", "longest", "lowered_once", "needs", "quick_timing", "sampled", "skips", "staggered", "surroundings"
]  # fmt: skip

CELLS: dict[str, tuple[type[Recurrent], dict[str, Any]]] = {
    "elman_tanh": (Elman, {"activation": "tanh"}),
    "elman_relu": (Elman, {"activation": "relu"}),
    "gru": (GRU, {"reset_after": True}),
    "gru_reset_before": (GRU, {"reset_after": False}),
    "lstm": (LSTM, {}),
}

# Compiled kernels of test runs stay with the checkout, not among the user's own.
os.environ.setdefault("EDGE_RNN_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "kernels"))
os.environ["EDGE_RNN_BACKGROUND"] = "off"

# A test must not fail because the machine is busy. `pytest -m hypothesis --hypothesis-profile=thorough` looks longer.
settings.register_profile("edge_rnn", deadline=None, max_examples=15)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("edge_rnn")


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: tests of servers, loops and processes wait for a sixth of the time."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_finish() -> None:
    """Hide what all tests have imported from the garbage collector; see below."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Hide existing objects from the garbage collector between two files of tests.

    Loops and measurements collect before they begin, and some 6000 tests with all that they import are a million
    objects to go through each time.
    """
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


# Compiling makes and drops objects by the million.
gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of trained networks and recordings by others; the test is skipped without it.

    It is next to the repository, or in the folder that the environment variable ``EDGE_RNN_SHARED_DATA`` names.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EDGE_RNN_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip("needs the shared data: a folder of recordings by others next to the checkout")
    return folder


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    """Function that builds a network with random weights; see :func:`build`."""
    return build


@pytest.fixture(scope="session")
def in_format() -> Callable[[Model, str], Model]:
    """Function that converts every matrix of a network to a format, except those that it would not make smaller."""
    return quantized


def quantized(model: Model, format_: str) -> Model:
    """Convert every matrix that can have a format; a matrix with one column cannot be pruned."""
    for name in matrices(model):
        try:
            model = quantize(model, {name: format_})
        except InputError as error:
            assert "saves nothing" in str(error) or "drops none" in str(error)
    return model


def build(
    cell: str,
    input_size: int,
    hidden_size: int,
    layers: int = 1,
    head: int = 4,
    seed: int = 0,
    *,
    bias: bool = True,
    initial: bool = False,
    activation: str = "none",
    **options: Any,
) -> Model:
    """Build a network of one or more equal cells and a Dense head, weights uniform in +-1/sqrt(H) as in PyTorch.

    Parameters
    ----------
    cell
        A key of ``CELLS``.
    layers
        How many cells are stacked.
    head
        Outputs of the Dense layer at the end; 0 for none.
    bias
        Whether cells and head have biases.
    initial
        Whether the cells have trained initial states (uniform in +-1) rather than zeros.
    activation
        The head's.
    options
        Handed to Model: ``name``, ``labels``, ``sample_rate_hz``, ``input_names``, ``input_units``.
    """
    rng = np.random.default_rng(seed)
    cls, cell_options = CELLS[cell]
    bound = 1 / np.sqrt(hidden_size)

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    stack: list[Layer] = []
    rows = len(cls.gates) * hidden_size
    for place in range(layers):
        arrays = {
            "weight_ih": uniform(rows, hidden_size if place else input_size),
            "weight_hh": uniform(rows, hidden_size),
        }
        if bias:
            arrays |= {"bias_ih": uniform(rows), "bias_hh": uniform(rows)}
        if initial:
            names = ("h0", "c0") if cls is LSTM else ("h0",)
            arrays |= {name: rng.uniform(-1, 1, hidden_size).astype(np.float32) for name in names}
        stack.append(cls(**arrays, **cell_options))
    if head:
        bias_head = uniform(head) if bias else None
        stack.append(Dense(uniform(head, hidden_size), bias_head, activation=activation))  # type: ignore[arg-type]
    return Model(stack, **options)
