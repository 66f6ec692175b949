"""verify finds graphs that do not compute what the model says, and to_onnx lets no such file appear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_rnn.errors import EdgeRnnError, FileError, InputError, ModelError, UnsupportedError
from edge_rnn.layers import Dense, Elman, Standardize
from edge_rnn.model import Model
from edge_rnn_export import Report, onnx_writer, to_onnx, verify
from edge_rnn_export.verify import TOLERANCE, TOLERANCE_LIMIT

CELLS = ["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"]


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 3, 6, 2, head=2)


def tampered(model: Model, path: Path, tensor: str, by: float) -> Path:
    """The model's graph with one number of one weight moved."""
    proto = onnx_writer.build_step_graph(model)
    for stored in proto.graph.initializer:
        if stored.name == tensor:
            array = onnx.numpy_helper.to_array(stored).copy()
            array.flat[0] += by
            stored.CopyFrom(onnx.numpy_helper.from_array(array, tensor))
            break
    else:
        pytest.fail(f"the graph has no {tensor}")
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("cell", CELLS)
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
    assert [line.split()[0] for line in lines[3:]] == names


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


@pytest.mark.parametrize("old", [None, b"what was there"])
def test_failed_verification_leaves_things_as_they_were(
    model: Model, old: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    if old is not None:
        path.write_bytes(old)
    other = Model([*model.layers[:-1], Dense(model.layers[-1].arrays["weight"] * 1.1, model.layers[-1].arrays["bias"])])
    wrong = onnx_writer.build_step_graph(other)
    monkeypatch.setattr(onnx_writer, "build_step_graph", lambda _: wrong)
    figures = r"\d\.\de[-+]\d\d"
    message = (
        rf"did not write .*model\.onnx: over 50 steps reference and Stream differ by {figures}, reference and "
        rf"onnxruntime by {figures}, Stream and onnxruntime by {figures}, with a tolerance of 1e-05"
    )
    with pytest.raises(ModelError, match=message):
        to_onnx(model, path, steps=50)
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([] if old is None else [old])


def test_recording_is_repeated_until_there_are_enough_steps(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    recording = np.random.default_rng(0).normal(size=(300, 3))
    assert to_onnx(model, path, xs=recording).steps == 1200
    assert verify(model, path, xs=recording, steps=7).steps == 300


def test_seed_decides_the_samples(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    reports = [to_onnx(model, path, steps=50, seed=seed) for seed in (0, 0, 1)]
    assert reports[0] == reports[1] != reports[2]


def test_samples_are_scaled_to_what_the_network_standardizes(tmp_path: Path) -> None:
    weight = np.eye(2, dtype=np.float32)
    model = Model([Standardize([1e4, -3e4], [100.0, 0.01]), Elman(weight, weight * 0.5), Dense(weight)])
    report = to_onnx(model, tmp_path / "model.onnx", steps=500)
    # Unscaled samples would leave every unit at -1 or 1, and no state would differ by anything.
    assert 0 < {each.name: each for each in report.deviations}["elman2.h"].reference_vs_onnx <= report.tolerance
    assert report.passed


def test_tolerance_grows_with_values_above_one(tmp_path: Path) -> None:
    model = Model([Elman([[1.0]], [[0.5]]), Dense([[1000.0], [-2000.0]])])
    report = to_onnx(model, tmp_path / "model.onnx", steps=200)
    deviations = {each.name: each for each in report.deviations}
    assert deviations["elman1.h"].tolerance == report.tolerance
    assert 500 < deviations["y"].peak < 2000
    assert deviations["y"].tolerance == pytest.approx(report.tolerance * deviations["y"].peak)


def test_network_that_amplifies_rounding_gets_a_wider_tolerance_within_its_limit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "model.onnx"
    # Random recurrent weights of gain 4 make the state chaotic: rounding alone moves it by as much as there is.
    chaotic = Model([Elman(rng.normal(size=(24, 1)) * 0.1, rng.normal(size=(24, 24)) * 4 / np.sqrt(24))])
    with pytest.raises(ModelError, match="Rounding the state to float32 alone moves the reference by"):
        to_onnx(chaotic, path)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(onnx_writer.build_step_graph(chaotic).SerializeToString())
    report = verify(chaotic, path)
    assert report.drift > 0.1
    assert report.tolerance == TOLERANCE_LIMIT
    assert not report.passed


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    model = Model([Elman([[1.0]], [[2.0]], activation="relu")])
    with pytest.raises(InputError, match=r"leave the range of float32 at step \d+ of these samples; hand a recording"):
        to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"steps got 0, expected 1 or more"),
        ({"xs": np.zeros((5, 2))}, r"xs got shape \(5, 2\), expected \(time, 3\)"),
        ({"xs": np.zeros((0, 3))}, r"xs got shape \(0, 3\)"),
        ({"xs": np.zeros(3)}, r"xs got shape \(3,\)"),
        ({"xs": [[1, 2, np.nan]]}, r"not finite"),
        ({"xs": [[1, 2, 1e39]]}, r"not finite"),
        ({"xs": [["a", "b", "c"]]}, r"not an array of numbers"),
        ({"xs": [[1, 2, 3], [4]]}, r"not an array of numbers"),
    ],
)
def test_wrong_arguments(options: dict[str, object], message: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        to_onnx(model, tmp_path / "model.onnx", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_graph_of_another_shape_is_refused(model: Model, make_model: Callable[..., Model], tmp_path: Path) -> None:
    to_onnx(make_model("gru", 3, 5, 2, head=2), tmp_path / "other.onnx", steps=5)
    with pytest.raises(
        InputError, match=r"other\.onnx has the inputs .*'gru1\.h': \(1, 1, 5\).*expected .*\(1, 1, 6\)"
    ):
        verify(model, tmp_path / "other.onnx")


@pytest.mark.parametrize("content", [None, b"", b"no protobuf at all"])
def test_file_that_is_no_graph_is_refused(model: Model, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"onnxruntime does not take .*broken\.onnx: "):
        verify(model, path)


@pytest.mark.parametrize("where", ["absent/model.onnx", "file/model.onnx", "."])
def test_place_that_cannot_be_written(model: Model, where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="cannot be written"):
        to_onnx(model, tmp_path / where, steps=5)
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_package_is_named(package: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    monkeypatch.delitem(__import__("sys").modules, "edge_rnn_export.onnx_writer")
    with pytest.raises(UnsupportedError, match=rf"{package}\b.*pip install 'edge-rnn\[export\]'"):
        to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_errors_are_of_one_tree() -> None:
    assert all(issubclass(kind, EdgeRnnError) for kind in (FileError, InputError, ModelError, UnsupportedError))
