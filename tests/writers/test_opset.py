"""Graphs in each version of ONNX's operator set: valid, and with the same results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import checker

import edge_rnn
from edge_rnn import LSTM, Dense, Embedding, Model
from edge_rnn.cli import main
from edge_rnn.errors import InputTypeError
from edge_rnn_export import OrtStream, from_onnx, to_onnx, to_ort
from edge_rnn_export.writers.onnx.spec import OPSETS

pytestmark = pytest.mark.sampled(3)

RNG = np.random.default_rng(0)


def watch(cell: str) -> Model:
    return edge_rnn.load(edge_rnn.data_path(f"smart_watch/{cell}.safetensors"))


def writer_of_letters() -> Model:
    """Network with rare operators: Embedding, a cell composed of operators, softmax."""
    cell = LSTM(
        RNG.normal(size=(20, 3)), RNG.normal(size=(20, 5)), cell_clip=1.5, gate_activation="hard_sigmoid:0.2:0.5"
    )
    return Model(
        [Embedding(RNG.normal(size=(6, 3))), cell, Dense(RNG.normal(size=(6, 5)), activation="softmax")],
        vocabulary="abcdef",
    )


MODELS: dict[str, tuple[Callable[[], Model], dict[str, Any]]] = {
    "gru": (lambda: watch("gru"), {}),
    "lstm, a sequence": (lambda: watch("lstm"), {"form": "sequence"}),
    "elman in int8": (lambda: watch("elman"), {"precision": "int8", "operators": "standard"}),
    "letters, greedy": (writer_of_letters, {"head": "greedy"}),
}


def ran(path: Path) -> list[np.ndarray]:
    """Outputs of a graph in onnxruntime for fixed inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng, feeds = np.random.default_rng(1), {}
    for node in session.get_inputs():
        shape = [{"time": 9, "batch": 2}.get(size, size) for size in node.shape]
        is_symbol = node.type == "tensor(int64)"
        feeds[node.name] = rng.integers(0, 6, shape) if is_symbol else rng.normal(size=shape).astype(np.float32)
    return [np.asarray(value) for value in session.run(None, feeds)]


@pytest.mark.parametrize("opset", [18, 21, OPSETS[-1]])
@pytest.mark.parametrize("case", MODELS)
def test_graph_of_another_opset_is_valid_and_computes_the_same(case: str, opset: int, tmp_path: Path) -> None:
    make, options = MODELS[case]
    model = make()
    paths = {wanted: tmp_path / f"{wanted}.onnx" for wanted in (None, opset)}
    for wanted, path in paths.items():
        assert to_onnx(model, path, opset=wanted, steps=30, **options).passed
    found = {wanted: onnx.load(path) for wanted, path in paths.items()}
    checker.check_model(paths[opset], full_check=True)
    assert {each.domain: each.version for each in found[opset].opset_import} == {"": opset}
    assert {each.domain: each.version for each in found[None].opset_import} == {"": 17}
    first = onnx.helper.OP_SET_ID_VERSION_MAP["ai.onnx", opset]  # the IR that this operator set came with
    assert found[opset].ir_version == first
    assert found[opset].graph.SerializeToString() == found[None].graph.SerializeToString()
    for ours, others in zip(ran(paths[opset]), ran(paths[None]), strict=True):
        np.testing.assert_array_equal(ours, others)


@pytest.mark.parametrize("opset", OPSETS)
def test_graph_of_every_opset_is_read_back_and_run(opset: int, tmp_path: Path) -> None:
    model, path = watch("gru"), tmp_path / "m.onnx"
    to_onnx(model, path, opset=opset, steps=30)
    assert from_onnx(path).fingerprint == model.fingerprint
    xs = np.load(edge_rnn.data_path("smart_watch/recording.npz"))["x"][:50]
    np.testing.assert_allclose(OrtStream(path).run(xs), edge_rnn.Stream(model).run(xs), atol=1e-5)


@pytest.mark.parametrize("opset", [16, 25, 0, -17])
def test_opset_beyond_the_range_is_refused_with_it(opset: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"to_onnx opset got {opset}, expected a whole number from 17 to 24\."):
        to_onnx(watch("gru"), tmp_path / "m.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", ["18", 18.5, True, 18.0])
def test_opset_that_is_no_whole_number_is_a_type_error(opset: Any, tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match=r"opset got .*, expected a whole number from 17 to 24"):
        to_onnx(watch("gru"), tmp_path / "m.onnx", opset=opset)


@pytest.mark.slow
def test_weights_of_four_bits_take_the_first_opset_that_has_them(tmp_path: Path) -> None:
    target: dict[str, Any] = {"precision": "int4", "operators": "standard", "steps": 30}
    with pytest.raises(
        ValueError, match=r"opset got 20, expected 21 to 24: .*4-bit weights; leave opset out, or take operators="
    ):
        to_onnx(watch("gru"), tmp_path / "m.onnx", opset=20, **target)
    assert not list(tmp_path.iterdir())
    for opset, expected in ((None, 21), (22, 22)):
        assert to_onnx(watch("gru"), tmp_path / "m.onnx", opset=opset, **target).passed
        assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == expected
        checker.check_model(tmp_path / "m.onnx", full_check=True)
    assert to_onnx(watch("gru"), tmp_path / "m.onnx", opset=18, precision="int4", steps=30).passed


def test_command_line_and_ort_files_take_an_opset(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    network = str(edge_rnn.data_path("smart_watch/gru.safetensors"))
    assert main(["export", network, "-o", str(path), "--opset", "20", "--steps", "30"]) == 0
    assert onnx.load(path).opset_import[0].version == 20
    to_ort(watch("gru"), tmp_path / "m.ort", opset=22, steps=30)
    needed = (tmp_path / "m.required_operators.config").read_text(encoding="utf-8")
    assert "ai.onnx;22;GRU" in needed  # each operator with the set that last changed it
