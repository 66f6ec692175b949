"""Files that ``verify`` refuses or fails, and leftovers of ``to_onnx``."""

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
from edge_rnn_export import to_onnx, verify
from edge_rnn_export.verification import comparison
from edge_rnn_export.verification.check import DRIFT_FACTOR, TOLERANCE, TOLERANCE_LIMIT
from edge_rnn_export.writers.onnx import graph
from edge_rnn_export.writers.onnx.metadata import metadata
from graphs import graph_of
from verified_graphs import CELLS, graph_file, tampered

pytestmark = pytest.mark.sampled(2)


@dataclass(frozen=True, slots=True, eq=False)
class Negated(Layer):
    """User-defined kind of layer."""

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
        rf"onnxruntime by {figures}, Stream and onnxruntime by {figures}, with a tolerance of 1e-05 relative to .* "
        rf"Stream is off by {figures} and onnxruntime by {figures}, .* "
        r"largest error is in 'y' at index \d\. .* fingerprint"
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
    """A short recording is repeated, of a long one the first samples are used; without steps, all of them."""
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
    """Random recurrent weights with a gain far above 1: a last-digit difference grows to 1 in some dozen steps."""
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
    """Runs drift apart completely, but single steps are within the tolerance of any network."""
    model = on_the_edge(cell, 12.0 if cell != "elman" else 4.0)
    report = to_onnx(model, tmp_path / "model.onnx", form=form, steps=400)
    assert report.drift > 1e-3
    assert report.tolerance == DRIFT_FACTOR * report.drift
    assert report.step_tolerance <= TOLERANCE_LIMIT
    assert max(each.step_onnx for each in report.deviations) < 1e-5
    assert f"float32 itself drifts by {report.drift:.1e}" in str(report)


def wrong_ones(model: Model) -> dict[str, Model]:
    """Models that a reader or writer with a single mistake would make."""
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
@pytest.mark.sampled(1)
def test_a_wrong_graph_on_the_edge_of_chaos_is_refused(cell: str, tmp_path: Path) -> None:
    """Regardless of the drift of runs, and over few steps as over many."""
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
    """A sequence graph with a wrong loop, although each call with one sample is right."""
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
@pytest.mark.slow
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
