"""Self-test of a library: right libraries pass it on every machine, wrong ones on none."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Model, Stream, boards
from edge_rnn.formats import Int4, Int8
from edge_rnn_export import build
from edge_rnn_export.building.network import TEST_STEPS, SelfTest, layout_of, self_test
from edge_rnn_export.building.wander import wander

pytestmark = pytest.mark.sampled(1)

# What is trained hard, or badly: differences of a step of rounding are amplified within some steps, or at once.
HARD = [("gru", 6.0), ("gru relu", 4.0), ("lstm", 8.0), ("lstm", 1.0), ("elman", 4.0), ("elman", 1.0)]


def of_gain(cell: str, gain: float, size: int = 40) -> Model:
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * gain / np.sqrt(shape[-1])).astype(np.float32)

    kind, gates = {"elman": (edge_rnn.Elman, 1), "lstm": (edge_rnn.LSTM, 4)}.get(cell, (edge_rnn.GRU, 3))
    options = {"reset_after": False, "candidate_activation": "relu"} if cell == "gru relu" else {}
    layer = kind(some(gates * size, 12), some(gates * size, size), some(gates * size), **options)
    return Model([layer, edge_rnn.Dense(some(3, size) / np.float32(gain))])


def with_matrix(model: Model, name: str, change: Callable[[Any], Any]) -> Model:
    """The model with one quantized matrix of its first layer changed, as if it had been packed wrong."""
    layer = model.layers[0]
    return Model([replace(layer, **{name: change(layer.formats[name])}), *model.layers[1:]])


def upside_down(matrix: Any) -> Any:
    if isinstance(matrix, Int4):
        return replace(matrix, packed=matrix.packed[::-1], scale=matrix.scale[::-1])
    return replace(matrix, values=matrix.values[::-1], scale=matrix.scale[::-1])


def passes(test: SelfTest, other: Model) -> bool:
    return bool((np.abs(Stream(other).run(test.xs) - test.ys) <= test.tolerance).all())


@pytest.mark.parametrize(
    ("cell", "gain", "format_"),
    [(*hard, format_) for hard in HARD for format_ in ("int8", "w8a8", "int4")],
)
def test_the_self_test_of_a_quantized_network_notices_what_is_wrong(cell: str, gain: float, format_: str) -> None:
    model = edge_rnn.quantize(of_gain(cell, gain), format_)
    test = self_test(model)
    assert 2 <= len(test.xs) <= TEST_STEPS
    assert passes(test, model)
    little = 1.5 if format_ == "w8a8" else 1.02
    changes: dict[str, Callable[[Any], Any]] = {
        "scales": lambda matrix: replace(matrix, scale=matrix.scale * np.float32(little)),
        "rows in another order": upside_down,
        "nothing": lambda matrix: replace(matrix, scale=matrix.scale * 0),
    }
    for matrix in ("weight_ih", "weight_hh"):
        for name, change in changes.items():
            assert not passes(test, with_matrix(model, matrix, change)), (matrix, name, test.tolerance)
    if format_ == "int8":
        one = (np.arange(model.layers[0].weight_ih.shape[0]) % 40 == 1)[:, None]  # type: ignore[attr-defined]
        other = with_matrix(model, "weight_ih", lambda m: replace(m, values=np.where(one, 0, m.values)))
        assert not passes(test, other)


@pytest.mark.parametrize(
    ("cell", "gain", "format_"),
    [(*hard, ("float32", "int8", "w8a8")[(place + other) % 3]) for place, hard in enumerate(HARD) for other in (0, 1)],
)
def test_the_self_test_tolerates_other_rounding(cell: str, gain: float, format_: str) -> None:
    """Sums of other machines are imitated by the same network with its units in another order, and fresh noise."""
    model = of_gain(cell, gain)
    model = model if format_ == "float32" else edge_rnn.quantize(model, format_)
    test = self_test(model)
    for seed in (1, 2):
        assert wander(model, test.xs, seed).max() <= test.tolerance
    assert passes(test, reordered(model))


def reordered(model: Model) -> Model:
    """The same network, its units the other way round: sums of the same terms in another order."""
    cell, head = model.layers
    size = cell.weight_hh.shape[1]  # type: ignore[attr-defined]
    order = np.arange(cell.weight_ih.shape[0]).reshape(-1, size)[:, ::-1].reshape(-1)  # type: ignore[attr-defined]

    def turned(matrix: Any, rows: Any, columns: Any) -> Any:
        if isinstance(matrix, Int8):
            return replace(matrix, values=matrix.values[rows][:, columns], scale=matrix.scale[rows])
        return np.asarray(matrix)[rows][:, columns]

    every, back = np.arange(cell.weight_ih.shape[1]), np.arange(size)[::-1]  # type: ignore[attr-defined]
    changed = replace(
        cell,
        weight_ih=turned(cell.weight_ih, order, every),  # type: ignore[attr-defined]
        weight_hh=turned(cell.weight_hh, order, back),  # type: ignore[attr-defined]
        bias_ih=cell.bias_ih[order],  # type: ignore[attr-defined]
    )
    return Model([changed, replace(head, weight=turned(head.weight, np.arange(3), back))])  # type: ignore[attr-defined]


def loaded(folder: Path) -> Any:
    """Load the Python module of a library, which tests it when a stream is made."""
    spec = importlib.util.spec_from_file_location("net", folder / "net.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the library is for x86-64")
@pytest.mark.needs("linker:generic_x86_64", "pyelftools", "capstone")
@pytest.mark.slow
def test_a_library_for_an_older_processor_passes_its_self_test(tmp_path: Path) -> None:
    """Compiled for an older processor than this one, with other rounding; with other weights it is refused."""
    model = edge_rnn.quantize(of_gain("gru relu", 4.0), "int8")
    build(model, "generic_x86_64", tmp_path / "right", name="net")
    shutil.copytree(tmp_path / "right", tmp_path / "wrong")
    loaded(tmp_path / "right").Stream()
    path = tmp_path / "wrong" / "libnet.so"
    packed = layout_of(model, boards.load("generic_x86_64").target, self_test(model)).weights.tobytes()
    data = path.read_bytes()
    at = data.index(packed)
    path.write_bytes(data[:at] + bytes(len(packed)) + data[at + len(packed) :])
    with pytest.raises(OSError, match="self-test failed"):
        loaded(tmp_path / "wrong").Stream()
