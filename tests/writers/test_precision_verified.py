"""Smaller formats in ONNX: faults are found, and the report states the effect of rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.numpy_helper import from_array, to_array

from edge_rnn import Model, quantize
from edge_rnn.errors import InputError, ModelError
from edge_rnn.layers import Dense
from edge_rnn.quantization import dequantize
from edge_rnn_export import OrtStream, to_onnx, to_ort, verify
from edge_rnn_export.exporting import onnx_file
from edge_rnn_export.verification.check import TOLERANCE
from graphs import graph_of
from onnx_precision import FORMS, OPERATORS, OWN, PRECISIONS, operators_of, stored

pytestmark = pytest.mark.sampled(1)


def tampered(model: Model, path: Path, tensor: str, change: Callable[[np.ndarray], np.ndarray], *target: Any) -> Path:
    proto = graph_of(model, *target)
    kept = stored(proto)[tensor]
    array = to_array(kept)
    kept.CopyFrom(from_array(change(array.copy()).astype(array.dtype), tensor))
    path.write_bytes(proto.SerializeToString())
    return path


def one_more(array: np.ndarray) -> np.ndarray:
    array.flat[3] += 1 if array.flat[3] < 255 else -1
    return array


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("cell", "tensor", "change"),
    [
        ("gru", "gru1.weight_ih.uint8", one_more),
        ("gru", "gru2.weight_hh.uint8", one_more),
        ("gru", "gru1.weight_hh.scale", lambda scale: scale * 1.002),
        ("gru", "gru2.bias_hh", lambda bias: bias + 2e-4),
        ("lstm", "lstm2.R", one_more),
        ("lstm", "lstm1.W.scale", lambda scale: scale[:, ::-1]),
        ("lstm", "dense3.weight.uint8", one_more),
    ],
)
def test_small_faults_are_found_in_spite_of_rounding(
    cell: str, tensor: str, change: Any, form: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    """One of 127 steps of one weight, far below the effect of rounding vectors over a run."""
    model = make_model(cell, 3, 12, 2)
    report = verify(model, tampered(model, tmp_path / "m.onnx", tensor, change, form, "int8"), steps=100)
    assert not report.passed
    assert report.reference_vs_stream <= TOLERANCE
    assert "FAILED" in str(report)


def test_a_loop_that_forgets_its_state_is_found(make_model: Callable[..., Model], tmp_path: Path) -> None:
    """Calls with one sample do not show the fault; calls with two samples do."""
    model = make_model("elman_tanh", 3, 12)
    proto = graph_of(model, "sequence", "int8")
    (scan,) = (node for node in proto.graph.node if node.op_type == "Scan")
    (body,) = (each.g for each in scan.attribute if each.name == "body")
    (product,) = (node for node in body.node if node.op_type == "DynamicQuantizeMatMul")
    outer = scan.input[0]
    product.input[0] = outer  # the state before the first step, in every step
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    report = verify(model, tmp_path / "m.onnx", steps=50)
    assert all(each.passed for each in report.deviations)
    assert not report.passed
    assert "Two samples in one call give another elman1.h and y than they should" in str(report)


@pytest.mark.slow
def test_ranges_that_a_graph_does_not_clip_to_are_reported(tmp_path: Path) -> None:
    plain = quantize(Model([Dense([[1.0, -0.5]])]), "w8a8")
    for given, told in ((None, False), (2.0, True)):
        (layer,) = plain.layers
        model = Model([replace(layer, weight=replace(layer.weight, input_range=given))])  # type: ignore[attr-defined]
        report = to_onnx(model, tmp_path / "m.onnx", steps=20)
        assert ("Note: The model has ranges to which Stream clips vectors" in str(report)) == told


@pytest.mark.slow
def test_effect_of_rounding_is_reported(make_model: Callable[..., Model], tmp_path: Path) -> None:
    model = make_model("lstm", 3, 24)
    report = to_onnx(model, tmp_path / "m.onnx", precision="int8")
    assert report.single_steps
    assert [row.name for row in report.rounding] == ["y", "lstm1.h", "lstm1.c"]
    for row in report.rounding:
        # 255 steps of the range: some thousandths; 16-bit vectors a hundredth of that; weights of 8 bits as much again.
        assert 5e-4 < row.onnx < 2e-2
        assert row.stream < row.onnx / 10
        assert row.total is not None
        assert row.total > row.stream
    assert report.drift_of_rounding == max(row.onnx for row in report.rounding)
    exact = to_onnx(model, tmp_path / "m.onnx", precision="int8-weights", steps=200)
    assert not exact.single_steps
    assert exact.drift_of_rounding < 1e-5
    own = to_onnx(quantize(model, "int8"), tmp_path / "m.onnx", steps=200)
    assert all(row.total is None for row in own.rounding)
    assert to_onnx(model, tmp_path / "m.onnx", steps=20).rounding == ()


def test_size_and_time_are_reported(make_model: Callable[..., Model], tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    report = to_onnx(make_model("gru", 2, 4), path, precision="int8", steps=20)
    assert report.cost is not None
    assert report.cost.nbytes == path.stat().st_size
    assert report.cost.ns > 0
    assert f"bytes  {report.cost.nbytes:,}, in float32 {report.cost.float32_nbytes:,}: " in str(report)
    slow, quick = (str(replace(report.cost, ns=ns, float32_ns=1000.0)) for ns in (2000.0, 500.0))
    assert "time   2.0 µs per step, in float32 1.0 µs: SLOWER on this machine, speed-up 0.50" in slow
    assert "in float32 1.0 µs: speed-up 2.00" in quick
    assert to_onnx(make_model("gru", 2, 4), path, steps=20).cost is None


@pytest.mark.parametrize(
    ("precision", "least"), [("float16", 1.9), ("int8", 3.7), ("int8-weights", 3.7), ("int4", 6.0)]
)
@pytest.mark.parametrize("operators", OPERATORS)
def test_files_are_smaller(precision: Any, operators: Any, least: float, make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 64, 256)
    small, whole = (graph_of(model, "step", each, operators).ByteSize() for each in (precision, "float32"))
    assert whole / small >= least


def test_float32_is_what_smaller_formats_stand_for(make_model: Callable[..., Model]) -> None:
    model = quantize(make_model("gru", 3, 8), "int8")
    ours = graph_of(model, "step", "float32")
    theirs = graph_of(dequantize(model))
    assert stored(ours) == stored(theirs)
    assert operators_of(ours) == operators_of(theirs) == {"GRU", "MatMul", "Add"}


@pytest.mark.parametrize(
    ("formats", "options", "message"),
    [
        (
            {},
            {"precision": "int2"},
            r"precision got 'int2', expected one of 'float32', 'float16', 'int8', 'int8-weights'",
        ),
        ({}, {"operators": "all"}, r"operators got 'all', expected one of 'onnxruntime'"),
        (
            {"gru1.weight_hh": "int4"},
            {"precision": "int8"},
            r"gru1\.weight_hh in the format int4 and the precision 'int8'",
        ),
        ({"gru1.weight_ih": "rank:1"}, {"precision": "float16"}, r"in the format rank and the precision 'float16'"),
    ],
)
def test_what_is_refused(
    formats: dict[str, str], options: dict[str, Any], message: str, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = make_model("gru", 3, 6)
    with pytest.raises(InputError, match=message):
        to_onnx(quantize(model, formats) if formats else model, tmp_path / "m.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dense1\.weight: float16 cannot hold the weight 1e\+05"):
        to_onnx(Model([Dense([[1e5]])]), tmp_path / "m.onnx", precision="float16")


def test_graph_of_another_precision_is_verified_as_what_it_is(make_model: Callable[..., Model], tmp_path: Path) -> None:
    """The file states its precision and its model."""
    model = make_model("gru", 3, 12)
    for precision in PRECISIONS:
        to_onnx(model, tmp_path / "m.onnx", precision=precision, steps=20)  # type: ignore[arg-type]
        report = verify(model, tmp_path / "m.onnx", steps=20)
        assert report.passed
        assert report.single_steps == (precision == "int8")
    assert not verify(quantize(model, "int4"), tmp_path / "m.onnx", steps=20).passed


@pytest.mark.parametrize("old", [None, b"what was there"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ModelError])
def test_no_file_appears_that_was_not_verified(
    old: bytes | None, error: type[BaseException], make_model: Callable[..., Model], tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "m.onnx"
    if old is not None:
        path.write_bytes(old)

    def interrupted(model: Model, aside: Path, **_: Any) -> None:
        assert aside.stat().st_size > 100
        raise error

    monkeypatch.setattr(onnx_file, "verify", interrupted)
    with pytest.raises(error):
        to_onnx(make_model("gru", 2, 4), path, precision="int8")
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([] if old is None else [old])


@pytest.mark.parametrize("precision", ["float16", "int8", "int4"])
@pytest.mark.parametrize("operators", OPERATORS)
def test_ort_files_and_streams(
    precision: Any, operators: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = make_model("lstm", 3, 8, initial=True)
    report = to_ort(model, tmp_path / "m.ort", precision=precision, operators=operators, steps=30)
    assert report.passed
    assert report.cost is not None
    assert report.cost.nbytes == (tmp_path / "m.ort").stat().st_size
    listed = (tmp_path / "m.required_operators.config").read_text(encoding="utf-8")
    if operators == "onnxruntime" and precision != "float16":
        assert f"{OWN};1;" in listed
        assert {"int8": "DynamicQuantizeLSTM", "int4": "MatMulNBits"}[precision] in listed
    to_onnx(model, tmp_path / "m.onnx", precision=precision, operators=operators, steps=30)
    xs = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    ours, theirs = OrtStream(tmp_path / "m.onnx"), OrtStream(tmp_path / "m.ort")
    np.testing.assert_allclose(ours.run(xs), theirs.run(xs), atol=3e-6)
    # Some hundredths: weights of 4 bits, and vectors of 8.
    np.testing.assert_allclose(ours.run(xs), OrtStream(graph_of(model).SerializeToString()).run(xs), atol=0.1)
