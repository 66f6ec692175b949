"""Graphs that are refused, with the node and the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_rnn.errors import EdgeRnnError, FileError, ModelError, UnsupportedError
from edge_rnn.layers import LSTM, Elman
from edge_rnn.model import Model
from edge_rnn_export import from_onnx
from graphs import graph_of
from onnx_graphs import HIDDEN, Maker, rnn, uniform


def refusal(build: Callable[[Maker], Any], *inputs: tuple[str, list[Any]], outputs: tuple[str, ...] = ("y",)) -> str:
    m = Maker(*(inputs or (("x", ["t", "b", 3]),)))
    build(m)
    with pytest.raises(EdgeRnnError) as error:
        from_onnx(m.proto(*outputs))
    assert isinstance(error.value, UnsupportedError | FileError | ModelError)
    return str(error.value)


REFUSALS: dict[str, tuple[Callable[[Maker], Any], str]] = {
    "window": (
        lambda m: m.op("Gemm", m.op("Reshape", rnn(m), [1, -1]), uniform(60, 2), out="y"),
        "Gemm node '/gemm3': axis -1 of what it reads",
    ),
    "first steps": (lambda m: m.op("Slice", rnn(m), [0], [5], [0], out="y"), "from 0 to 5 by 1 of axis 0"),
    "last steps": (lambda m: m.op("Slice", rnn(m), [-50], [2**63 - 1], [0], out="y"), "from -50 to"),
    "first step": (lambda m: m.op("Gather", rnn(m), 0, axis=0, out="y"), "value 'y': it holds 5 of 15 steps"),
    "backwards": (lambda m: rnn(m, m.op("Slice", "x", [-1], [-(2**31)], [0], [-1])), "from -1 to"),
    "later steps": (lambda m: rnn(m, m.op("Slice", "x", [1], [2**31 - 1], [0])), "it takes 10 of 15 input samples"),
    "last step in a cell": (
        lambda m: rnn(m, m.cell("GRU", "x")[1], HIDDEN),
        "GRU node '/gru1': it takes other samples than the recurrent node before it, or takes them in another",
    ),
    "batch and time swapped": (
        lambda m: rnn(m, m.op("Transpose", rnn(m), perm=[1, 0, 2]), HIDDEN),
        "GRU node '/gru3': it takes other samples than the recurrent node before it, or takes them in another",
    ),
    "cell state": (lambda m: m.op("Tanh", m.cell("LSTM", "x")[2], out="y"), "node '/tanh1': it reads a cell state"),
    "decoder": (
        lambda m: rnn(m, start=(m.cell("GRU", "x")[1],)),
        "GRU node '/gru1': its initial_h is computed from samples",
    ),
    "states of a batch": (
        lambda m: rnn(m, start=(m.number(uniform(1, 5, HIDDEN)),)),
        "GRU node '/gru0': its initial_h differs from sequence to sequence of a batch",
    ),
    "states of another batch": (
        lambda m: rnn(m, start=(m.number(np.ones((1, 4, HIDDEN))),)),
        "its initial_h has shape (1, 4, 4), expected (1, 5, 4)",
    ),
    "numbers for each step": (lambda m: m.op("Add", rnn(m), uniform(3, 1, 1), out="y"), "constants differ between"),
    "padding": (lambda m: m.op("Concat", rnn(m), np.zeros((3, 5, 1)), axis=2, out="y"), "reads constants that are"),
    "repeated": (lambda m: m.op("Expand", rnn(m), [2, 1, 1, 1], out="y"), "Expand node '/expand2'"),
    "left product": (lambda m: m.op("MatMul", uniform(3, 3), "x", out="y"), "its first input is constant"),
    "wrong width": (lambda m: m.op("MatMul", rnn(m), uniform(5, 2), out="y"), "reads 4 values, expected 5"),
    "wrong gates": (
        lambda m: m.op("LSTM", "x", uniform(1, 12, 3), uniform(1, 12, 4), outputs=3, hidden_size=4),
        "LSTM node '/lstm0' has W of shape (1, 12, 3), expected (1, 16, 3)",
    ),
    "two directions": (lambda m: m.cell("GRU", "x", direction="bidirectional"), "GRU node '/gru0': its direction"),
    "reverse": (lambda m: m.cell("LSTM", "x", direction="reverse"), "a stream has seen no more than the samples"),
    "unknown attribute": (lambda m: m.cell("GRU", "x", zoneout=0.1), "GRU node '/gru0': it has zoneout"),
    "unknown activation": (lambda m: m.cell("RNN", "x", activations=["Gelu"]), "its activations are ['Gelu']"),
    "clip of zero": (lambda m: m.op("Identity", rnn(m, clip=0.0), out="y"), "GRU node '/gru0' is not a valid layer"),
    "part of the lengths": (lambda m: m.cell("GRU", "x", lens=m.number([4, 3, 4], np.int32)), "its sequence_lens are"),
    "softmax over time": (lambda m: m.op("Softmax", rnn(m), axis=0, out="y"), "node '/softmax2': it works along"),
    "unused node": (
        lambda m: (m.op("Tanh", rnn(m), out="y"), m.op("MatMul", "x", uniform(3, 2))),
        "the MatMul node '/matmul3' does not contribute to the output; choose one by upto=",
    ),
    "unused numbers": (
        lambda m: (m.op("Tanh", rnn(m), out="y"), m.number(uniform(3, 2))),
        "nothing reads the constant 'n4'",
    ),
    "training": (
        lambda m: m.op("Dropout", rnn(m), np.float32(0.5), m.number(True, np.bool_), out="y"),
        "Dropout node '/dropout2': it drops values in training",
    ),
    "no weights": (lambda m: m.op("Identity", "x", out="y"), "no layer between input and output"),
    "never given": (lambda m: m.op("Tanh", "nowhere", out="y"), "reads 'nowhere', which no node before it produces"),
    "constant output": (lambda m: m.op("Identity", uniform(2), out="y"), "or it is constant"),
    "whole numbers": (lambda m: m.op("Tanh", m.op("Cast", "x", to=7), out="y"), "it reads integers"),
    "rounded": (lambda m: m.op("Cast", m.op("Cast", "x", to=7), to=1, out="y"), "it casts samples to integers"),
    "not finite": (lambda m: m.op("MatMul", rnn(m), np.full((4, 1), np.inf), out="y"), "holds inf at (0, 0)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_with_the_node_and_the_reason(name: str) -> None:
    build, words = REFUSALS[name]

    def whole(m: Maker) -> None:
        build(m)
        if "y" not in {out for node in m.nodes for out in node.output}:
            m.op("Identity", m.nodes[-1].output[0], out="y")

    assert words in refusal(whole)


def test_two_inputs_of_samples_are_refused() -> None:
    told = refusal(
        lambda m: m.op("Concat", rnn(m), rnn(m, "z"), axis=2, out="y"), ("x", ["t", "b", 3]), ("z", ["t", "b", 3])
    )
    assert "GRU node '/gru2': it reads the graph's input 'z' as samples in addition to 'x'" in told


def test_unused_input_is_refused() -> None:
    told = refusal(lambda m: m.op("Identity", rnn(m), out="y"), ("x", ["t", "b", 3]), ("mask", ["t", "b"]))
    assert "nothing reads the input 'mask'" in told


def test_lengths_from_outside_are_refused() -> None:
    told = refusal(lambda m: m.op("Identity", rnn(m, lens="lens"), out="y"), ("x", ["t", "b", 3]), ("lens", ["b"]))
    assert "GRU node '/gru0': it takes sequence_lens as an input" in told


def test_two_outputs_are_refused_with_what_to_do() -> None:
    def two(m: Maker) -> None:
        m.op("Tanh", rnn(m), out="y")
        m.op("Relu", "y", out="z")

    assert "found the outputs 'y', 'z', expected one besides final states; name one by upto=" in refusal(
        two, outputs=("y", "z")
    )


def test_branches_that_depend_on_an_input_are_refused_with_what_to_do() -> None:
    branches = []
    for place in range(2):
        inner = Maker(("hidden", ["t", "b", 4]))
        inner.cell("LSTM", "hidden")
        branches.append(helper.make_graph(inner.nodes, f"branch{place}", [], []))
    told = refusal(
        lambda m: m.op("If", "rate", out="y", then_branch=branches[0], else_branch=branches[1]),
        ("x", ["t", "b", 3]),
        ("rate", [1]),
    )
    assert "If node '/if0': its condition depends on an input; give that input's value" in told


def test_our_own_scan_is_read_without_its_metadata() -> None:
    lstm = LSTM(uniform(16, 3), uniform(16, 2), weight_hr=uniform(2, 4))
    proto = graph_of(Model([lstm]), "sequence")
    del proto.metadata_props[:]
    (read,) = from_onnx(proto).layers
    assert isinstance(read, LSTM)
    for name in ("weight_ih", "weight_hh", "weight_hr"):
        np.testing.assert_allclose(getattr(read, name), getattr(lstm, name), rtol=0, atol=1e-7)


def test_functions_of_the_model_are_refused_with_what_to_do() -> None:
    m = Maker(("x", ["t", "b", 3]))
    m.op("Swish", rnn(m), out="y", domain="theirs")
    with pytest.raises(UnsupportedError, match=r"Swish node '/swish2': it is of the domain 'theirs'.*onnx\.inliner"):
        from_onnx(m.proto("y"))


def test_open_features_and_missing_shapes_are_refused() -> None:
    told = refusal(lambda m: m.op("Identity", rnn(m), out="y"), ("x", ["t", "b", "f"]))
    assert "GRU node '/gru0' reads 2 values per step, expected 3, from its weights" in told
    m = Maker(("x", ["t", "b", 3]))
    m.op("Identity", rnn(m), out="y")
    proto = m.proto("y")
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UnsupportedError, match=r"input 'x' has no shape"):
        from_onnx(proto)


@pytest.mark.parametrize("opset", [6, 99])
def test_unknown_operator_sets_are_refused(opset: int) -> None:
    m = Maker(("x", ["t", "b", 3]), opset=opset)
    m.op("Identity", rnn(m), out="y")
    with pytest.raises(UnsupportedError, match=rf"ONNX's operator set {opset}, expected 7 to"):
        from_onnx(m.proto("y"))


@pytest.mark.parametrize("package", ["onnx", "google.protobuf.message"])
def test_missing_package_is_named_with_the_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("edge_rnn_export.readers.onnx.", "edge_rnn_export.writers.onnx.")
    for name in [name for name in sys.modules if name.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnsupportedError, match=r"from_onnx needs .*: pip install 'edge-rnn\[export\]'"):
        from_onnx("model.onnx")


def test_import_of_a_part_and_of_states_that_cannot_be_compared(tmp_path: Path, capsys: Any) -> None:
    from edge_rnn.cli import main

    m = Maker(("x", ["t", "b", 3]), ("h", [1, "other", HIDDEN]))
    m.op("Identity", rnn(m, start=("h",)), out="y")
    m.op("Sin", "y", out="z")
    onnx.save(m.proto("z"), tmp_path / "m.onnx")
    assert main(["import", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.safetensors"), "--upto", "y"]) == 0
    assert "not compared the graph uses different names for the batch axis of its states" in capsys.readouterr().out


def test_an_unknown_keyword_is_no_damage_of_the_graph() -> None:
    graph = graph_of(Model([Elman([[1.0]], [[0.5]])]), "step")
    with pytest.raises(TypeError, match="unexpected keyword argument 'lables'"):
        from_onnx(graph, lables=("a",))  # type: ignore[call-arg]
