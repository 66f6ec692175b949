"""``edge-rnn demo`` with the host side: correct output, and the same steps in onnxruntime."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from edge_rnn import Model, Stream, data_path, load, reference
from edge_rnn.cli import main
from edge_rnn_export.demo import onnx_side

KEYS = {
    "frame_accuracy",
    "recording_accuracy",
    "steps",
    "step_ns_p50",
    "step_ns_p99",
    "onnxruntime_ns_p50",
    "onnx_max_abs_error",
    "weight_bytes",
    "state_bytes",
}


@pytest.fixture(scope="module")
def recording() -> dict[str, np.ndarray]:
    with np.load(data_path("smart_watch/recording.npz")) as arrays:
        return dict(arrays)


def network(cell: str) -> Model:
    return load(data_path(f"smart_watch/{cell}.safetensors"))


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman"])
@pytest.mark.sampled(1)
def test_json(cell: str, recording: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json", "--cell", cell]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found.keys() >= KEYS

    model = network(cell)
    outputs, _ = reference.run(model, recording["x"])
    # Where the two best are closer than float32 tells apart, either may have been given.
    best = np.sort(outputs, axis=1)
    undecided = int(np.count_nonzero(best[:, -1] - best[:, -2] < 1e-5))
    right = outputs.argmax(1) == recording["y"]
    assert abs(found["frame_accuracy"] - right.mean()) <= undecided / len(right)
    truths, majorities = [], []
    for part in np.unique(recording["recording"]):
        inside = recording["recording"] == part
        truths.append(recording["y"][inside][0])
        majorities.append(np.bincount(outputs.argmax(1)[inside]).argmax())
    assert found["recording_accuracy"] == np.mean(np.array(truths) == majorities)
    assert found["recordings"] == len(truths) == 40

    assert found["steps"] == len(right) == 4000
    assert (found["weight_bytes"], found["state_bytes"]) == tuple(Stream(model).memory)
    assert 0 < found["step_ns_p50"] <= found["step_ns_p99"]
    assert found["onnxruntime_ns_p50"] > 0
    assert 0 < found["onnx_max_abs_error"] <= found["onnx_tolerance"] <= 1e-4
    errors = [found[f"onnx_{pair}"] for pair in ("reference_vs_stream", "reference_vs_onnx", "stream_vs_onnx")]
    assert found["onnx_max_abs_error"] == max(errors)


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--samples", "300"]) == 0
    out = capsys.readouterr().out
    for text in ("3 of 3 recordings", "onnxruntime", "times our p50", "equivalent: maximum difference", "of weights"):
        assert text in out


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman"])
def test_bound_step_carries_the_state(cell: str, recording: dict[str, np.ndarray]) -> None:
    model, xs = network(cell), recording["x"][:400]
    side = onnx_side(model, xs)
    ys = np.array([side["step"](x).copy() for x in xs])
    np.testing.assert_allclose(ys, Stream(model).run(xs), rtol=0, atol=side["stream_vs_onnx"])


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_without_onnx_it_says_what_to_install(
    module: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "edge_rnn_export.writers.onnx.graph", raising=False)
    assert main(["demo", "--json", "--samples", "100"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["onnx_max_abs_error"] is None
    assert module in found["onnx_missing"]
    assert "pip install 'edge-rnn[export]'" in found["onnx_missing"]
