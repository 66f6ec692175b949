"""Execution of untrusted graphs: only the part that was read, in a process with a time limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rnn.errors import FileError
from edge_rnn.layers import Dense, Elman
from edge_rnn.model import Model
from edge_rnn_export import verify
from edge_rnn_export.readers.by_file_name import import_file
from edge_rnn_export.readers.onnx.cut import cut_out, whole_file
from edge_rnn_export.runtime import limited
from edge_rnn_export.runtime.limited import LimitedGraph
from graphs import graph_of

RNG = np.random.default_rng(31)
MODEL = Model([Elman(RNG.normal(size=(5, 2)), RNG.normal(size=(5, 5)) / 4), Dense(RNG.normal(size=(3, 5)))])


def endless(reads: str, gives: str) -> onnx.NodeProto:
    """Loop of 2^50 iterations over one number."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Cos", ["value"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("pass", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["passes", "", reads], [gives], body=body)


def with_loop(into: str) -> onnx.ModelProto:
    """MODEL's graph, with the loop behind its output ``y``, under the name ``into``."""
    proto = graph_of(MODEL)
    graph = proto.graph
    graph.initializer.append(numpy_helper.from_array(np.array(2**50), "passes"))
    if into == "y":
        for node in graph.node:
            node.output[:] = ["inner" if name == "y" else name for name in node.output]
        graph.node.append(endless("inner", "y"))
    else:
        graph.node.append(endless("y", into))
        graph.output.append(helper.make_tensor_value_info(into, TensorProto.FLOAT, None))
        del proto.metadata_props[:]  # it is no graph of ours any more
    return proto


def test_import_of_a_part_runs_that_part_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(with_loop("unused").SerializeToString())
    found = import_file(path, upto="y")
    assert found.checked.startswith("onnxruntime over 8 random steps: ")
    assert float(found.checked.split(": ")[1].split()[0]) < 1e-5  # float32 against float64
    kept = onnx.load_from_string(cut_out(path, ["y"])).graph
    assert {node.op_type for node in kept.node}.isdisjoint({"Loop"})
    assert "passes" not in {tensor.name for tensor in kept.initializer}


def test_a_graph_without_end_is_ended_in_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(with_loop("y").SerializeToString())
    monkeypatch.setattr(limited, "SECONDS", 0.1)
    with pytest.raises(FileError, match=r"^onnxruntime took more than 0\.1\d* s of CPU time for it; it is damaged"):
        verify(MODEL, path, steps=3)


def test_memory_that_a_graph_takes_is_bounded() -> None:
    zeros = helper.make_node("ConstantOfShape", ["shape"], ["y"])
    shape = numpy_helper.from_array(np.array([2**20, 2**10]), "shape")
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([zeros], "zeros", [], outputs, [shape])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(FileError, match=r"onnxruntime"), LimitedGraph(proto.SerializeToString()) as loaded:
        loaded.run(["y"], {})


def external(proto: onnx.ModelProto, place: str) -> onnx.ModelProto:
    """The graph with its largest tensor in the file ``place``."""
    tensor = max(proto.graph.initializer, key=lambda each: len(each.raw_data))
    tensor.external_data.extend(
        onnx.StringStringEntryProto(key=key, value=str(value))
        for key, value in {"location": place, "offset": 0, "length": len(tensor.raw_data)}.items()
    )
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    return proto


def values(data: bytes) -> list[Any]:
    states = {name: array[None, None] for name, array in MODEL.initial_state.items()}
    with LimitedGraph(data) as loaded:
        return loaded.run(["y"], {"x": np.ones((1, 1, 2), np.float32), **states})


def test_numbers_beside_a_graph_become_part_of_it(tmp_path: Path) -> None:
    proto = graph_of(MODEL)
    largest = max(proto.graph.initializer, key=lambda each: len(each.raw_data)).raw_data
    expected = values(proto.SerializeToString())
    (tmp_path / "numbers").write_bytes(largest)
    (tmp_path / "net.onnx").write_bytes(external(proto, "numbers").SerializeToString())
    np.testing.assert_array_equal(values(whole_file(tmp_path / "net.onnx")), expected)
    np.testing.assert_array_equal(values(cut_out(tmp_path / "net.onnx", ["y"])), expected)


@pytest.mark.parametrize("place", ["../numbers", "/etc/hostname", "folder/../../numbers"])
def test_numbers_of_another_folder_are_not_read(tmp_path: Path, place: str) -> None:
    (tmp_path / "numbers").write_bytes(bytes(100))
    folder = tmp_path / "folder"
    folder.mkdir()
    data = external(graph_of(MODEL), place).SerializeToString()
    (folder / "net.onnx").write_bytes(data)
    with pytest.raises(FileError, match=r"expected the name of a file next to the model"):
        verify(MODEL, folder / "net.onnx")
    with pytest.raises(FileError, match=r"^onnxruntime rejects the graph"):
        LimitedGraph(data)
