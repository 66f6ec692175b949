"""Rows that a graph stores of a matrix that multiplies several vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array

from edge_rnn import GRU, LSTM, Model, cell, quantize
from edge_rnn.equations import split, tanh
from edge_rnn.layers import Cell
from edge_rnn_export import from_onnx, to_onnx
from edge_rnn_export.writers.onnx.row_ranges import row_ranges

Array = Any


def normal(*shape: int) -> Array:
    return np.random.default_rng(shape).normal(0, 0.3, shape).astype(np.float32)


@cell
def two_vectors(p: Any, x: Any, h: Any) -> Any:
    """Two gates of the state, and a third one of what they make."""
    a, b, _ = split(p.u @ h + p.b, 3)
    _, _, c = split(p.u @ (a * h) + p.b, 3)
    h = tanh(p.w @ x + b + c)
    return h, {"h": h}


@cell
def overlapping(p: Any, x: Any, h: Any) -> Any:
    """The second gate of both vectors."""
    a, b, _ = split(p.u @ h + p.b, 3)
    _, c, d = split(p.u @ (a * h) + p.b, 3)
    h = tanh(p.w @ x + b + c + d)
    return h, {"h": h}


def layer_of(function: Any) -> Cell:
    layer: Cell = function(w=normal(5, 3), u=normal(15, 5), b=normal(15), name="c")
    return layer


def stored(path: Any) -> dict[str, Array]:
    return {each.name: to_array(each) for each in onnx.load(str(path)).graph.initializer}


def test_each_vector_has_the_rows_that_it_needs() -> None:
    graph = layer_of(two_vectors).graph
    found = [rows for node, rows in zip(graph.nodes, row_ranges(graph), strict=True) if node.op == "product"]
    assert sorted(found) == [(0, 5), (0, 10), (10, 15)]


@pytest.mark.parametrize("layer", [layer_of(overlapping), LSTM(normal(20, 3), normal(20, 5), coupled="input")])
def test_matrix_that_does_not_come_apart_is_whole(layer: Any) -> None:
    for node, rows in zip(layer.graph.nodes, row_ranges(layer.graph), strict=True):
        assert rows == (0, (*node.shape, 1)[0])


@pytest.mark.parametrize("function", [two_vectors, overlapping])
@pytest.mark.slow
def test_cell_in_pieces_computes_the_same_and_is_read_back(function: Any, tmp_path: Any) -> None:
    model, path = Model([layer_of(function)]), tmp_path / "m.onnx"
    assert to_onnx(model, path, steps=20).passed
    assert from_onnx(path).fingerprint == model.fingerprint
    whole = {name for name in stored(path) if name in ("c.u", "c.b")}
    assert whole == (set() if function is two_vectors else {"c.u", "c.b"})


@pytest.mark.slow
def test_gru_that_resets_before_is_stored_once(tmp_path: Any) -> None:
    model = quantize(Model([GRU(normal(15, 3), normal(15, 5), normal(15), normal(15), reset_after=False)]), "int8")
    assert to_onnx(model, tmp_path / "m.onnx", steps=20).passed
    arrays = stored(tmp_path / "m.onnx")
    assert sum(array.size for array in arrays.values() if array.dtype == np.uint8 and array.ndim == 2) == 15 * (3 + 5)
    assert sum(array.size for name, array in arrays.items() if name.startswith("gru1.bias_hh")) == 15
