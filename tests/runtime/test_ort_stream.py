"""OrtStream equals Stream, in onnxruntime; the sample program needs only onnxruntime and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Model, Stream
from edge_rnn.errors import FileError, InputError
from edge_rnn_export import OrtStream, to_onnx
from edge_rnn_export.runtime.ort_stream import SAMPLE_CODE
from graphs import graph_of


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("lstm", 3, 7, 2, initial=True, activation="softmax")


@pytest.fixture
def graph(model: Model) -> bytes:
    return graph_of(model).SerializeToString()


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3)).astype(np.float32)


def test_the_same_as_a_stream(model: Model, graph: bytes) -> None:
    theirs, ours, xs = OrtStream(graph), Stream(model), samples(50)
    assert (theirs.input_size, theirs.output_size) == (3, 4)
    np.testing.assert_array_equal(theirs.state["lstm1.h"], model.initial_state["lstm1.h"])
    np.testing.assert_allclose(theirs.run(xs), ours.run(xs), atol=3e-6)
    for name, value in ours.state.items():
        np.testing.assert_allclose(theirs.state[name], value, atol=3e-6)


def test_state_is_a_thing_of_its_own(graph: bytes) -> None:
    stream, xs = OrtStream(graph), samples(21)
    first = stream.run(xs[:7])
    kept = stream.snapshot()
    rest = stream.run(xs[7:])
    stream.restore(kept)
    np.testing.assert_array_equal(stream.run(xs[7:]), rest)
    stream.reset()
    np.testing.assert_array_equal(stream.run(xs[:7]), first)


def test_what_is_refused(graph: bytes, model: Model, make_model: Callable[..., Model]) -> None:
    stream = OrtStream(graph)
    before = stream.snapshot()
    for call, message in (
        (lambda: stream.step(np.zeros(4)), r"shape \(4,\), expected \(3,\)"),
        (lambda: stream.step([0, np.nan, 0]), "not finite"),
        (lambda: stream.run(np.zeros(3)), r"expected \(time, 3\)"),
        (lambda: stream.restore({"lstm1.h": np.zeros(7, np.float32)}), "got the states"),
        (lambda: OrtStream(graph_of(model, "sequence").SerializeToString()), "expected a step graph"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    for name, value in stream.snapshot().items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(FileError, match="onnxruntime rejects"):
        OrtStream(b"no graph")


def test_sample_program(make_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, xs = make_model("gru", 3, 7), samples(30)
    monkeypatch.chdir(tmp_path)
    to_onnx(model, "model.onnx")
    names: dict[str, Any] = {}
    exec(SAMPLE_CODE, names)
    np.testing.assert_allclose([names["step"](x) for x in xs], Stream(model).run(xs), atol=3e-6)
