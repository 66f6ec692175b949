"""verify finds graphs that do not compute what the model says, and to_onnx lets no such file appear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_rnn.errors import EdgeRnnError, FileError, InputError, ModelError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Dense, Elman, Layer, Standardize
from edge_rnn.model import Model
from edge_rnn_export import Report, to_onnx, verify
from edge_rnn_export.verification import comparison
from edge_rnn_export.verification.check import DRIFT_FACTOR, TOLERANCE, TOLERANCE_LIMIT
from edge_rnn_export.writers.onnx import graph
from edge_rnn_export.writers.onnx.metadata import METADATA_KEY, metadata
from graphs import graph_of

CELLS = ["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"]


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 3, 6, 2, head=2)


def tampered(model: Model, path: Path, tensor: str, by: float) -> Path:
    """The model's graph with one number of one weight moved."""
    proto = graph_of(model)
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


def graph_file(model: Model, path: Path, stated: Model | None = None) -> Path:
    """The model's graph, with what it says of itself taken from another model."""
    proto = graph_of(model)
    onnx.helper.set_model_props(proto, metadata(stated or model))
    path.write_bytes(proto.SerializeToString())
    return path


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
    """What is left of large terms is rounded by their size, in any float32 program."""
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


def test_file_of_another_model_fails_whatever_it_computes(model: Model, tmp_path: Path) -> None:
    renamed = Model([replace(layer, name=f"a{place}") for place, layer in enumerate(model.layers)])
    report = verify(model, graph_file(model, tmp_path / "model.onnx", stated=renamed), steps=5)
    assert all(each.passed for each in report.deviations)
    assert not report.passed
    assert "FAILED: The graph says that it was written for another model: its fingerprint is" in str(report)


def test_trained_initial_state_must_be_in_the_file(model: Model, tmp_path: Path) -> None:
    started = Model([replace(model.layers[0], h0=np.full(6, 0.9)), *model.layers[1:]])
    report = verify(started, graph_file(started, tmp_path / "model.onnx", stated=model), steps=5)
    assert not report.passed
    assert len(report.mismatches) == 2
    assert "begins with other initial states than the model" in report.mismatches[1]
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
    assert "Note: The graph does not say which initial states it is for; those of the model were taken." in str(report)


@dataclass(frozen=True, slots=True, eq=False)
class Negated(Layer):
    """A user's own kind of layer."""

    def output_size(self, input_sizes: Sequence[int]) -> int:
        return sum(input_sizes)


def test_own_kind_of_layer_is_refused(tmp_path: Path) -> None:
    lookalike = type("Dense", (Dense,), {"__slots__": ()})
    for layer in (Negated(), lookalike(np.eye(3))):
        with pytest.raises(UnsupportedError, match=rf"no ONNX form for {layer.kind} '.*'; expected one of Elman"):
            to_onnx(Model([layer], input_size=3), tmp_path / "model.onnx")
    other = graph_file(Model([Dense(np.eye(3))]), tmp_path / "other.onnx")
    with pytest.raises(UnsupportedError, match=r"Negated 'negated1'"):
        verify(Model([Negated()], input_size=3), other, steps=5)


@pytest.mark.parametrize("old", [None, b"what was there"])
def test_failed_verification_leaves_things_as_they_were(
    model: Model, old: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    if old is not None:
        path.write_bytes(old)
    other = Model([*model.layers[:-1], Dense(model.layers[-1].arrays["weight"] * 1.1, model.layers[-1].arrays["bias"])])
    wrong = graph_of(other)
    monkeypatch.setattr(graph, "build_graph", lambda *_: wrong)
    figures = r"\d\.\de[-+]\d\d"
    message = (
        rf"did not write .*model\.onnx: over 50 steps reference and Stream differ by {figures}, reference and "
        rf"onnxruntime by {figures}, Stream and onnxruntime by {figures}, with a tolerance of 1e-05 of .* Stream is "
        rf"off by {figures} and onnxruntime by {figures}, .* furthest off is 'y' at index \d\. .* fingerprint"
    )
    with pytest.raises(ModelError, match=message):
        to_onnx(model, path, steps=50)
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([] if old is None else [old])


def test_link_stays_a_link_to_the_new_file(model: Model, tmp_path: Path) -> None:
    (tmp_path / "real.onnx").write_bytes(b"old")
    (tmp_path / "current.onnx").symlink_to("real.onnx")
    to_onnx(model, tmp_path / "current.onnx", steps=5)
    assert (tmp_path / "current.onnx").is_symlink()
    assert verify(model, tmp_path / "real.onnx", steps=5).passed


def test_two_threads_may_export_to_one_name(make_model: Callable[..., Model], tmp_path: Path) -> None:
    models = [make_model("elman_tanh", 2, 3, seed=seed) for seed in (1, 2)]
    path = tmp_path / "model.onnx"
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda place: to_onnx(models[place % 2], path, steps=20), range(20)))
    assert all(report.passed for report in reports)
    assert [found.name for found in tmp_path.iterdir()] == ["model.onnx"]
    assert [verify(each, path, steps=20).passed for each in models].count(True) == 1


def test_steps_hold_with_a_recording_too(model: Model, tmp_path: Path) -> None:
    """Fewer samples are repeated, of more the first are taken; without steps, all of a long one."""
    path = tmp_path / "model.onnx"
    recording = np.random.default_rng(0).normal(size=(1100, 3))
    assert to_onnx(model, path, xs=recording[:300]).steps == 1000
    assert verify(model, path, xs=recording[:30], steps=70).steps == 70
    assert verify(model, path, xs=recording).steps == 1100
    few = verify(model, path, xs=recording, steps=7)
    assert few.steps == few.along == 7
    assert few == verify(model, path, xs=recording[:7], steps=7)


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
    assert deviations["elman1.h"].tolerance == pytest.approx(report.tolerance)  # of a unit near 1
    assert 500 < deviations["y"].peak < 2000
    y = deviations["y"]
    assert y.tolerance == pytest.approx(report.tolerance * (1000.0, 2000.0)[y.channel])
    assert 0 < y.share <= 1


def on_the_edge(cell: str, gain: float, size: int = 24) -> Model:
    """Random recurrent weights of a gain far above 1: a difference in the last digit is one of 1 within some dozens."""
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * gain / np.sqrt(shape[-1])).astype(np.float32)

    head = Dense(rng.standard_normal((2, size)) / np.sqrt(size))
    if cell == "elman":
        return Model([Elman(some(size, 3), some(size, size), some(size)), head])
    kind, gates, options = {
        "lstm": (LSTM, 4, {}),
        "gru": (GRU, 3, {}),
        "gru before": (GRU, 3, {"reset_after": False}),
        "peepholes": (LSTM, 4, {"peephole": some(3 * size)}),
    }[cell]
    return Model([kind(some(gates * size, 3), some(gates * size, size), some(gates * size), **options), head])


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "gru before", "peepholes"])
def test_a_right_graph_on_the_edge_of_chaos_is_written(cell: str, form: Any, tmp_path: Path) -> None:
    """Runs drift apart by all that there is, single steps are within the tolerance of any network."""
    model = on_the_edge(cell, 12.0 if cell != "elman" else 4.0)
    report = to_onnx(model, tmp_path / "model.onnx", form=form, steps=400)
    assert report.drift > 1e-3
    assert report.tolerance == DRIFT_FACTOR * report.drift
    assert report.step_tolerance <= TOLERANCE_LIMIT
    assert max(each.step_onnx for each in report.deviations) < 1e-5
    assert f"float32 itself drifts by {report.drift:.1e}" in str(report)


def wrong_ones(model: Model) -> dict[str, Model]:
    """What a reader or writer would make of it that got one thing wrong."""
    cell, head = model.layers
    size = cell.weight_hh.shape[1]  # type: ignore[attr-defined]
    arrays = {name: array.copy() for name, array in cell.arrays.items()}
    parts = {name: array.reshape(-1, size, *array.shape[1:]) for name, array in arrays.items() if "weight" in name}
    found: dict[str, Model] = {}

    def other(name: str, **changes: Any) -> None:
        found[name] = Model([replace(cell, **changes), head])

    other("no bias", bias_ih=np.zeros_like(arrays["bias_ih"]))
    other("biases a little off", bias_ih=arrays["bias_ih"] + np.float32(1e-3))
    other("transposed", weight_hh=parts["weight_hh"].transpose(0, 2, 1).reshape(arrays["weight_hh"].shape))
    if len(parts["weight_hh"]) > 1:
        other("gate order", **{name: part[::-1].reshape(arrays[name].shape) for name, part in parts.items()})
        other("a gate's activation", gate_activation="hard_sigmoid")
    else:
        other("activation", activation="relu")
    if isinstance(cell, GRU):
        other("reset", reset_after=not cell.reset_after, bias_hh=np.full(3 * size, 0.0, np.float32))
    if isinstance(cell, LSTM) and cell.peephole is not None:
        other("peepholes", peephole=None)
    return found


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "gru before", "peepholes"])
def test_a_wrong_graph_on_the_edge_of_chaos_is_refused(cell: str, tmp_path: Path) -> None:
    """Whatever runs of such networks drift by, and over a few steps as over many."""
    model = on_the_edge(cell, 12.0 if cell != "elman" else 4.0)
    for name, other in wrong_ones(model).items():
        for form in ("step", "sequence"):
            proto = graph_of(other, form)  # type: ignore[arg-type]
            onnx.helper.set_model_props(proto, metadata(model))
            (tmp_path / "wrong.onnx").write_bytes(proto.SerializeToString())
            for steps in (30, 200):
                report = verify(model, tmp_path / "wrong.onnx", steps=steps)
                assert not report.mismatches or "in one call" in report.mismatches[0]
                assert not report.passed, (name, form, steps, str(report))
                assert not max(each.step_onnx for each in report.deviations) <= TOLERANCE
                assert max(each.step_stream for each in report.deviations) <= TOLERANCE


def test_calls_with_many_samples_are_held_to_what_the_graph_gives_one_by_one(tmp_path: Path) -> None:
    """A graph of sequences whose loop is wrong, though each call with one sample is right."""
    model = on_the_edge("lstm", 12.0)
    proto = graph_of(model, "sequence")
    (cell,) = (node for node in proto.graph.node if node.op_type == "LSTM")
    backwards = onnx.helper.make_attribute("direction", "reverse")
    kept = [each for each in cell.attribute if each.name != "direction"]
    del cell.attribute[:]
    cell.attribute.extend([*kept, backwards])
    (tmp_path / "wrong.onnx").write_bytes(proto.SerializeToString())
    report = verify(model, tmp_path / "wrong.onnx", steps=100)
    assert all(each.passed for each in report.deviations)
    assert "Two samples in one call give another lstm1.c and lstm1.h and y than they should." in report.mismatches
    assert not report.passed


def test_large_networks_are_compared_in_single_steps_to_the_end(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "_ALONG_WORK", 0)
    monkeypatch.setattr(comparison, "_LEAST_ALONG", 20)
    path = tmp_path / "model.onnx"
    xs = np.random.default_rng(0).normal(size=(300, 3))
    report = to_onnx(model, path, xs=xs, steps=300)
    assert (report.steps, report.along) == (300, 20)
    assert "Note: Runs were compared over the first 20 steps, single steps over all 300." in str(report)
    xs[:200] = 0  # what is wrong shows on samples that differ from zero alone
    tampered(model, path, "gru1.W", by=0.01)
    report = verify(model, path, xs=xs, steps=300)
    assert not report.passed
    assert report.reference_vs_onnx <= TOLERANCE


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    model = Model([Elman([[1.0]], [[2.0]], activation="relu")])
    with pytest.raises(InputError, match=r"overflow float32 at step \d+ of these samples; pass a recording"):
        to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"steps got 0, expected a whole number from 1"),
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
        InputError, match=r"other\.onnx has the inputs .*'gru1\.h': \(1, 'batch', 5\).*expected .*\(1, 1, 6\)"
    ):
        verify(model, tmp_path / "other.onnx")


@pytest.mark.parametrize("content", [None, b"", b"no protobuf at all"])
def test_file_that_is_no_graph_is_refused(model: Model, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"broken\.onnx(: cannot be read| is not a whole ONNX file): "):
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
    monkeypatch.delitem(__import__("sys").modules, "edge_rnn_export.writers.onnx.graph")
    with pytest.raises(UnsupportedError, match=rf"{package}\b.*pip install 'edge-rnn\[export\]'"):
        to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_errors_are_of_one_tree() -> None:
    assert all(issubclass(kind, EdgeRnnError) for kind in (FileError, InputError, ModelError, UnsupportedError))


@pytest.mark.parametrize("cell", CELLS)
def test_sequences_agree_too(cell: str, make_model: Callable[..., Model], tmp_path: Path) -> None:
    model = make_model(cell, 4, 12, 2, initial=True)
    report = to_onnx(model, tmp_path / "whole.onnx", form="sequence", steps=300)
    assert report.passed
    assert report.max_abs_error <= TOLERANCE
    assert verify(model, tmp_path / "whole.onnx", steps=100, seed=3).passed


def test_a_sequence_that_forgets_its_state_is_found(model: Model, tmp_path: Path) -> None:
    """The second layer begins each call from zero."""
    proto = graph_of(model, "sequence")
    node = next(node for node in proto.graph.node if node.name == "gru2")
    node.input[5] = ""
    proto.graph.node.append(onnx.helper.make_node("Identity", ["gru2.h"], ["unused"]))
    path = tmp_path / "forgets.onnx"
    path.write_bytes(proto.SerializeToString())
    assert not verify(model, path, steps=50).passed


def test_form_is_one_of_two(model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="form got 'steps', expected one of 'step', 'sequence'"):
        to_onnx(model, tmp_path / "m.onnx", form="steps")  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize(
    "options",
    [{"weight_hr": np.full((3, 7), 0.2)}, {"cell_clip": 0.3, "peephole": np.full(21, 0.1)}, {"coupled": "input"}],
    ids=str,
)
def test_options_that_are_put_together_agree(options: dict[str, Any], form: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outputs = 3 if "weight_hr" in options else 7
    arrays = [rng.uniform(-0.3, 0.3, shape) for shape in ((28, 2), (28, outputs), (28,), (28,))]
    report = to_onnx(Model([LSTM(*arrays, **options), Dense(np.ones((2, outputs)))]), tmp_path / "m.onnx", form=form)
    assert report.passed


@pytest.mark.parametrize(("name", "value"), [("steps", 1.5), ("seed", -1), ("steps", True), ("seed", 2**64)])
def test_steps_and_seeds_of_another_kind_are_refused_in_words(
    name: str, value: Any, tmp_path: Path, make_model: Callable[..., Model]
) -> None:
    model = make_model("gru", 2, 3)
    to_onnx(model, tmp_path / "a.onnx", steps=1)
    with pytest.raises(InputError, match=f"verify {name} got "):
        verify(model, tmp_path / "a.onnx", **{name: value})
