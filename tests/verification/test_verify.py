"""``verify`` finds graphs that do not compute the model, and ``to_onnx`` never writes such a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_rnn.layers import Dense, Elman
from edge_rnn.model import Model
from edge_rnn_export import Report, to_onnx, verify
from edge_rnn_export.verification.check import TOLERANCE
from edge_rnn_export.writers.onnx.metadata import METADATA_KEY
from graphs import graph_of
from verified_graphs import CELLS, graph_file, tampered


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.sampled(2)
def test_three_agree_over_a_thousand_steps(cell: str, make_model: Callable[..., Model], tmp_path: Path) -> None:
    report = to_onnx(make_model(cell, 4, 12, 2, initial=True), tmp_path / "model.onnx")
    assert isinstance(report, Report)
    assert (report.steps, report.passed, report.tolerance) == (1000, True, TOLERANCE)
    assert report.max_abs_error <= TOLERANCE
    assert report.max_abs_error == max(report.reference_vs_stream, report.reference_vs_onnx, report.stream_vs_onnx)
    # Float32 against float64 over a thousand steps is never exact; zeros would say that nothing was compared.
    assert min(report.reference_vs_stream, report.reference_vs_onnx) > 0
    assert report.drift > 0


def test_every_output_and_state_is_in_the_report(make_model: Callable[..., Model], tmp_path: Path) -> None:
    report = to_onnx(make_model("lstm", 2, 3, 2), tmp_path / "model.onnx", steps=20)
    names = ["y", "lstm1.h", "lstm1.c", "lstm2.h", "lstm2.c"]
    assert [each.name for each in report.deviations] == names
    lines = str(report).splitlines()
    assert lines[0] == "20 steps, largest absolute differences"
    assert [line.split()[0] for line in lines[3:8]] == names
    assert lines[8] == ""
    assert lines[9].startswith("single steps from the same states: Stream is off by ")
    assert lines[10].startswith("over 20 steps float32 itself drifts by ")


def test_file_is_written_under_its_name_alone(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    to_onnx(model, str(path), steps=10)
    assert [found.name for found in tmp_path.iterdir()] == ["model.onnx"]
    assert verify(model, path, steps=10).passed


@pytest.mark.parametrize("tensor", ["gru1.W", "gru1.R", "gru2.B", "dense3.weight", "dense3.bias"])
def test_tampered_graph_fails(model: Model, tensor: str, tmp_path: Path) -> None:
    report = verify(model, tampered(model, tmp_path / "model.onnx", tensor, by=0.01), steps=100)
    assert not report.passed
    assert report.reference_vs_stream <= TOLERANCE
    assert min(report.reference_vs_onnx, report.stream_vs_onnx) > TOLERANCE
    assert "FAILED" in str(report)


def test_not_a_number_does_not_pass(model: Model, tmp_path: Path) -> None:
    report = verify(model, tampered(model, tmp_path / "model.onnx", "dense3.bias", by=np.nan), steps=10)
    assert not report.passed
    assert np.isnan(report.max_abs_error)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e6])
@pytest.mark.parametrize("activation", ["none", "tanh"])
def test_small_outputs_are_held_to_their_own_size(
    scale: float, activation: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    body = make_model("gru", 3, 6).layers[:1]
    weight = scale * np.random.default_rng(1).normal(size=(2, 6))
    model, other = (Model([*body, Dense(w, activation=activation)]) for w in (weight, -weight))
    assert verify(model, graph_file(model, tmp_path / "right.onnx"), steps=100).passed
    report = verify(model, graph_file(other, tmp_path / "wrong.onnx", stated=model), steps=100)
    assert not report.passed
    assert not report.mismatches
    assert {each.name: each.passed for each in report.deviations} == {"y": False, "gru1.h": True}


def test_large_channel_does_not_hide_a_small_one(make_model: Callable[..., Model], tmp_path: Path) -> None:
    body = make_model("gru", 3, 6).layers[:1]
    weight = np.random.default_rng(1).normal(size=(2, 6)) * [[1e5], [0.1]]
    model, other = (Model([*body, Dense(weight * [[1.0], [sign]])]) for sign in (1, -1))
    assert verify(model, graph_file(model, tmp_path / "right.onnx"), steps=100).passed
    report = verify(model, graph_file(other, tmp_path / "wrong.onnx", stated=model), steps=100)
    assert [(each.name, each.channel) for each in report.deviations if not each.passed] == [("y", 1)]
    assert "FAILED at index 1" in str(report)


def test_small_units_are_held_to_their_own_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight_ih, weight_hh = 1e-5 * rng.normal(size=(4, 2)), 0.2 * rng.normal(size=(4, 4))
    model, other = (Model([Elman(sign * weight_ih, weight_hh)]) for sign in (1, -1))
    assert verify(model, graph_file(model, tmp_path / "right.onnx"), steps=100).passed
    assert not verify(model, graph_file(other, tmp_path / "wrong.onnx", stated=model), steps=100).passed


def test_sum_that_cancels_passes(make_model: Callable[..., Model], tmp_path: Path) -> None:
    """The difference of large terms has their rounding error, in any float32 program."""
    model = Model([Dense([[1.0, -1.0]], [1e-3])])
    xs = np.repeat(np.random.default_rng(0).normal(1e4, 1e3, (100, 1)), 2, axis=1)
    assert verify(model, graph_file(model, tmp_path / "model.onnx"), xs=xs, steps=100).passed


@pytest.mark.parametrize(("activation", "bias"), [("sigmoid", -5.0), ("softmax", -15.0)])
def test_rare_class_is_held_to_its_own_size(
    activation: Any, bias: float, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    body = make_model("gru", 3, 6).layers[:1]
    weight = 0.1 * np.random.default_rng(1).normal(size=(2, 6))
    model, other = (Model([*body, Dense(w, [0.0, bias], activation=activation)]) for w in (weight, -weight))
    assert verify(model, graph_file(model, tmp_path / "right.onnx"), steps=100).passed
    report = verify(model, graph_file(other, tmp_path / "wrong.onnx", stated=model), steps=100)
    assert not {each.name: each for each in report.deviations}["y"].passed


def test_file_of_another_model_fails_even_if_it_computes_the_same(model: Model, tmp_path: Path) -> None:
    renamed = Model([replace(layer, name=f"a{place}") for place, layer in enumerate(model.layers)])
    report = verify(model, graph_file(model, tmp_path / "model.onnx", stated=renamed), steps=5)
    assert all(each.passed for each in report.deviations)
    assert not report.passed
    assert "FAILED: The graph was written for another model according to its metadata: its" in str(report)


def test_trained_initial_state_must_be_in_the_file(model: Model, tmp_path: Path) -> None:
    started = Model([replace(model.layers[0], h0=np.full(6, 0.9)), *model.layers[1:]])
    report = verify(started, graph_file(started, tmp_path / "model.onnx", stated=model), steps=5)
    assert not report.passed
    assert len(report.mismatches) == 2
    assert "differ from the model's" in report.mismatches[1]
    assert verify(started, graph_file(started, tmp_path / "model.onnx"), steps=5).passed


@pytest.mark.parametrize("text", ["[" * 100_000, "no JSON", "[]", '{"format": 2}'])
def test_metadata_of_another_format_fails(text: str, model: Model, tmp_path: Path) -> None:
    proto = graph_of(model)
    onnx.helper.set_model_props(proto, {METADATA_KEY: text})
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    (told,) = verify(model, tmp_path / "model.onnx", steps=5).mismatches
    assert told.startswith("The graph has metadata of the format ")


def test_graph_without_metadata_is_noted(model: Model, tmp_path: Path) -> None:
    proto = graph_of(model)
    del proto.metadata_props[:]
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    report = verify(model, tmp_path / "model.onnx", steps=5)
    assert report.passed
    assert "Note: The graph does not state its initial states; those of the model were used." in str(report)
