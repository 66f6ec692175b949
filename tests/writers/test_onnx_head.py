"""Scores, probabilities and best symbols of exported graphs: correct, or found to be wrong."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest

from edge_rnn import GRU, LSTM, Dense, Embedding, Model, Stream, data_path, load, reference
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.sampling import decode, generate
from edge_rnn_export import OrtStream, from_onnx, to_onnx, to_ort, verify
from edge_rnn_export.readers.by_file_name import import_file
from edge_rnn_export.runtime.session import session
from edge_rnn_export.writers.onnx.head import GREEDY_CODE, HEADS
from edge_rnn_export.writers.onnx.metadata import METADATA_KEY
from graphs import graph_of

pytestmark = pytest.mark.sampled(1)

LETTERS = "abcdefg"
# onnxruntime rounds to float32 in every operator; what networks with ordinary weights are held to everywhere.
TOLERANCE = 3e-6


def writer(reads: str = "one-hot", activation: str = "none", initial: bool = False) -> Model:
    """Network that generates seven letters; with this seed it does not end in an endless repetition of one."""
    rng = np.random.default_rng(38)
    size, hidden = len(LETTERS), 9
    inputs = size if reads == "one-hot" else 4
    table = [Embedding(rng.normal(size=(size, inputs)))] if reads == "table" else []
    start = {"h0": rng.uniform(-1, 1, hidden), "c0": rng.uniform(-1, 1, hidden)} if initial else {}
    cell = LSTM(rng.normal(size=(4 * hidden, inputs)), 0.5 * rng.normal(size=(4 * hidden, hidden)), **start)
    head = Dense(2 * rng.normal(size=(size, hidden)), 0.3 * rng.normal(size=size), activation=activation)
    return Model([*table, cell, head], vocabulary=LETTERS, name="letters")


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("own", ["none", "softmax"])
def test_scores_and_probabilities(own: str, form: Literal["step", "sequence"], tmp_path: Path) -> None:
    model, path = writer(activation=own), tmp_path / "model.onnx"
    xs = np.random.default_rng(0).standard_normal((40, len(LETTERS))).astype(np.float32)
    bare = replace(model.layers[-1], activation="none")  # type: ignore[call-arg]
    scores, _ = reference.run(replace(model, layers=(*model.layers[:-1], bare)), xs)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    for head, wanted in (("logits", scores), ("probabilities", shares)):
        report = to_onnx(model, path, form=form, head=head, steps=50)  # type: ignore[arg-type]
        assert report.passed
        assert verify(model, path, steps=50).passed
        changed = (head == "logits") == (own == "softmax")
        assert [note.split(";")[0].split(",")[0] for note in report.notes] == (
            [f"The graph's y contains {'scores' if head == 'logits' else 'probabilities'}"] if changed else []
        )
        state = {name: value[None, None] for name, value in model.initial_state.items()}
        if form == "sequence":
            got = session(path).run(["y"], {"x": xs[:, None], **state})[0][:, 0]
        else:
            got = OrtStream(path).run(xs)
        assert np.abs(got - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize(
    ("reads", "activation", "initial"),
    list(itertools.product(["one-hot", "table"], ["none", "softmax"], [False, True])),
)
def test_greedy_program_writes_what_generate_writes(
    reads: str, activation: str, initial: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = writer(reads, activation, initial)
    monkeypatch.chdir(tmp_path)
    assert to_onnx(model, "model.onnx", head="greedy").passed
    names: dict[str, Any] = {}
    exec(GREEDY_CODE, names)
    written = generate(Stream(model), "gab", max_length=300, temperature=0)
    text = decode(model, written.symbols)
    assert names["write"]("gab", 300) == text
    assert len(set(text)) > 2  # no text that any network would write


@pytest.mark.parametrize("network", ["elman", "gru", "lstm"])
def test_greedy_program_writes_strings_of_the_shipped_networks(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(data_path(f"reber/{network}.safetensors"))
    monkeypatch.chdir(tmp_path)
    to_onnx(model, "model.onnx", head="greedy")
    for prompt in ("BT", "BP", "BTBP", "BPBTS"):
        names: dict[str, Any] = {}
        exec(GREEDY_CODE, names)
        written = generate(Stream(model), prompt, max_length=60, temperature=0, stop=("TE", "PE"))
        assert names["write"](prompt, 60, ("TE", "PE")) == decode(model, written.symbols)


def test_a_prompt_in_one_call_of_a_greedy_sequence(tmp_path: Path) -> None:
    model, path = writer("table", "softmax"), tmp_path / "model.onnx"
    assert to_onnx(model, path, form="sequence", head="greedy").passed
    loaded = session(path)
    (symbol, *states), outputs = loaded.get_inputs(), loaded.get_outputs()
    assert (symbol.name, symbol.type, symbol.shape) == ("symbol", "tensor(int64)", ["time", "batch"])
    assert [node.name for node in outputs][:2] == ["next_symbol", "y"]
    prompts = np.array([[6, 0, 1], [2, 2, 5]]).T  # a batch of two
    feeds = {node.name: np.zeros((1, 2, node.shape[2]), np.float32) for node in states}
    best, y = loaded.run(["next_symbol", "y"], {"symbol": prompts, **feeds})
    for place, prompt in enumerate(prompts.T):
        ys = Stream(model).run(prompt[:, None].astype(np.float32))
        np.testing.assert_allclose(y[:, place], ys, atol=TOLERANCE)
        np.testing.assert_array_equal(best[:, place], ys.argmax(axis=1))


def test_of_equal_outputs_the_first_is_chosen(tmp_path: Path) -> None:
    model = Model([Dense(np.zeros((4, 4)), [0, 1, 1, 0])], vocabulary="abcd")
    assert to_onnx(model, tmp_path / "model.onnx", head="greedy").passed
    (best,) = session(tmp_path / "model.onnx").run(["next_symbol"], {"symbol": np.array([[3]])})
    assert best.tolist() == [[1]]
    assert generate(Stream(model), "d", max_length=1, temperature=0).symbols.tolist() == [1]


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("reads", ["one-hot", "table"])
def test_graphs_are_read_again(reads: str, head: Any, form: Literal["step", "sequence"], tmp_path: Path) -> None:
    model, path = writer(reads, "softmax", initial=True), tmp_path / "model.onnx"
    to_onnx(model, path, form=form, head=head, steps=20)
    found = import_file(path)
    wanted = "none" if head == "logits" else "softmax"
    assert found.checked.startswith("onnxruntime")
    assert found.model.layers[-1].options == {"activation": wanted}
    assert found.model.vocabulary == tuple(LETTERS)
    assert from_onnx(path).fingerprint == found.model.fingerprint
    assert (found.model.fingerprint == model.fingerprint) == (head != "logits")


def test_graphs_of_before_there_were_heads_are_read(tmp_path: Path) -> None:
    model = replace(writer(), vocabulary=())
    proto = graph_of(model)
    (entry,) = [each for each in proto.metadata_props if each.key == METADATA_KEY]
    entry.value = entry.value.replace('"head": "model", ', "").replace('"vocabulary": [], ', "")
    assert "head" not in entry.value and "vocabulary" not in entry.value  # noqa: PT018
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    assert verify(model, tmp_path / "model.onnx", steps=20).passed
    assert from_onnx(tmp_path / "model.onnx").fingerprint == model.fingerprint


def tampered(model: Model, path: Path, head: Any, change: Callable[[onnx.ModelProto], None]) -> Path:
    proto = graph_of(model, head=head)
    change(proto)
    path.write_bytes(proto.SerializeToString())
    return path


def test_a_graph_that_chooses_otherwise_is_found_out(tmp_path: Path) -> None:
    def worst(proto: onnx.ModelProto) -> None:
        (node,) = [node for node in proto.graph.node if node.op_type == "ArgMax"]
        node.op_type = "ArgMin"

    report = verify(writer(), tampered(writer(), tmp_path / "model.onnx", "greedy", worst))
    assert not report.passed
    assert all(each.passed for each in report.deviations)
    assert report.mismatches == ("The graph's next_symbol is not the index of the largest of its outputs y.",)


def test_a_graph_that_reads_symbols_wrongly_is_found_out(tmp_path: Path) -> None:
    def swapped(proto: onnx.ModelProto) -> None:
        (values,) = [each for each in proto.graph.initializer if each.name == "symbol.values"]
        values.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 0], np.float32), values.name))

    report = verify(writer(), tampered(writer(), tmp_path / "model.onnx", "greedy", swapped))
    assert not report.passed


def test_a_graph_that_lies_about_its_head_is_found_out(tmp_path: Path) -> None:
    model = writer(activation="softmax")

    def lying(proto: onnx.ModelProto) -> None:
        (entry,) = [each for each in proto.metadata_props if each.key == METADATA_KEY]
        entry.value = entry.value.replace('"head": "model"', '"head": "logits"')

    report = verify(model, tampered(model, tmp_path / "model.onnx", "model", lying))
    assert not report.deviations[0].passed
    assert len(report.mismatches) == 1
    assert "another model" in report.mismatches[0]
    with pytest.raises(UnsupportedError, match="verify got the head 'logits'"):
        verify(writer(activation="tanh"), tmp_path / "model.onnx")


def test_recorded_samples_of_a_greedy_graph_have_to_be_symbols(tmp_path: Path) -> None:
    one_hot, table = writer(), writer("table")
    path = tmp_path / "model.onnx"
    to_onnx(one_hot, path, head="greedy", xs=np.eye(7)[[1, 5, 5]], steps=10)
    with pytest.raises(InputError, match=r"at row 1, expected samples that stand for symbols"):
        verify(one_hot, path, xs=np.array([np.eye(7)[0], np.full(7, 0.1)]))
    to_onnx(table, path, head="greedy", xs=[[0], [6]], steps=10)
    with pytest.raises(InputError, match=r"at row 0, expected samples"):
        verify(table, path, xs=[[7.0]])


def test_what_has_no_such_output(tmp_path: Path, make_model: Callable[..., Model]) -> None:
    path = tmp_path / "model.onnx"
    for model, head, error, message in (
        (writer(), "scores", InputError, "head got 'scores', expected one of 'model', 'logits'"),
        (Model([GRU(np.zeros((24, 7)), np.zeros((24, 8)))]), "logits", UnsupportedError, "ends with GRU"),
        (make_model("gru", 3, 5, head=2), "greedy", UnsupportedError, "reads 3 symbols and outputs 2"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            to_onnx(model, path, head=head)  # type: ignore[arg-type]
    assert not path.exists()


def test_ort_files_too(tmp_path: Path) -> None:
    report = to_ort(writer(), tmp_path / "model.ort", head="greedy", steps=50)
    assert report.passed
    start = {name: np.zeros((1, 1, 9), np.float32) for name in ("lstm1.h", "lstm1.c")}
    (best,) = session(tmp_path / "model.ort").run(["next_symbol"], {"symbol": np.array([[2]]), **start})
    assert best.tolist() == [[int(generate(Stream(writer()), "c", max_length=1, temperature=0).symbols[0])]]
    assert "ArgMax" in (tmp_path / "model.required_operators.config").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("precision", ["float16", "int8", "int8-weights", "int4"])
@pytest.mark.slow
def test_smaller_formats_with_any_head(precision: Any, form: Literal["step", "sequence"], tmp_path: Path) -> None:
    model, path = writer(activation="softmax"), tmp_path / "model.onnx"
    for head in ("greedy", "logits"):
        report = to_onnx(model, path, form=form, precision=precision, head=head, steps=60)  # type: ignore[arg-type]
        assert report.passed
        assert report.cost is not None
        assert verify(model, path, steps=60).passed
        assert not verify(writer(activation="softmax", initial=True), path, steps=60).passed


def test_a_greedy_graph_is_no_ort_stream(tmp_path: Path) -> None:
    to_onnx(writer(), tmp_path / "model.onnx", head="greedy", steps=20)
    with pytest.raises(InputError, match="OrtStream got a graph with the inputs"):
        OrtStream(tmp_path / "model.onnx")
