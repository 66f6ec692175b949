"""Graphs that compute something else from some step on, far beyond the lengths with which they are traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tracing import walk
from edge_rnn_export.readers.tracing.graph import Graph
from edge_rnn_export.readers.tracing.lengths import far_length
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

RNG = np.random.default_rng(6)
IN, H = 3, 4
WEIGHTS = {name: RNG.uniform(-0.7, 0.7, shape) for name, shape in {"w": (1, 3 * H, IN), "u": (1, 3 * H, H)}.items()}
GRU = [op("GRU", "x w u", "all last", "/rnn/GRU", hidden_size=H), op("Squeeze", "all one", "y0")]


def masked(limit: Any) -> Graph:
    """GRU whose outputs from the step ``limit`` on are zero, by the places of a range."""
    operators = [
        op("Shape", "y0", "shape"), op("Gather", "shape 0", "steps", axis=0), op("Range", "0 steps 1", "places"),
        op("Less", "places limit", "before"), op("Cast", "before", "factor", to=1),
        op("Unsqueeze", "factor axes", "column"), op("Mul", "y0 column", "y"),
    ]  # fmt: skip
    constants = {**WEIGHTS, "0": np.array(0), "1": np.array(1), "one": np.array([1]), "axes": np.array([1, 2])}
    return small_graph([*GRU, *operators], constants | {"limit": limit}, x=("time", "batch", IN))


@pytest.mark.parametrize("limit", [10, 50, 1000])
def test_what_changes_beyond_the_traced_lengths_is_refused(limit: int) -> None:
    assert far_length(masked(np.array(limit))) == limit + 3
    with pytest.raises(UnsupportedError, match="its constants differ between steps") as told:
        read_graph(masked(np.array(limit)), None, {})
    assert (f"holds for sequences or batches of {limit + 3}, not of shorter ones." in str(told.value)) is (limit > 13)


def test_a_limit_above_all_lengths_is_none() -> None:
    graph = masked(np.array(2**40))
    assert far_length(graph) == 0
    assert read_graph(graph, None, {}).model.layers[0].kind == "GRU"


def test_what_takes_too_much_memory_to_be_traced_so_far_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_TRACED_BYTES", 2**15)
    reading = read_graph(masked(np.array(1000)), None, {})
    assert reading.assumed == "longer sequences compute the same as those of 13 steps"
