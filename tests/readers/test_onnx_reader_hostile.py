"""Damaged or hostile ONNX files give one of edge_rnn's errors, quickly and in little memory."""

from __future__ import annotations

import itertools
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Dense
from edge_rnn.model import Model
from edge_rnn_export import from_onnx
from graphs import graph_of

MAX_BYTES = 2**28
MAX_SECONDS = 30.0  # of what would take hours or not end; a busy machine is no reason to fail


def ours(form: Any = "step") -> bytes:
    rng = np.random.default_rng(0)
    gru = GRU(rng.uniform(-1, 1, (6, 2)), rng.uniform(-1, 1, (6, 2)), rng.uniform(-1, 1, 6), h0=[0.5, 0.25])
    lstm = LSTM(rng.uniform(-1, 1, (8, 2)), rng.uniform(-1, 1, (8, 2)), cell_clip=1)
    return graph_of(Model([gru, lstm, Dense(np.ones((2, 2)), activation="softmax")]), form).SerializeToString()


def theirs(batch_first: bool = True) -> onnx.ModelProto:
    """A graph of shapes, zeros, cells and a head as an exporter writes it."""
    rng = np.random.default_rng(1)
    numbers = {"W": (1, 6, 3), "R": (1, 6, 2), "B": (1, 12), "w": (2, 4), "b": (4,)}
    tensors = [numpy_helper.from_array(rng.uniform(-1, 1, s).astype(np.float32), k) for k, s in numbers.items()]
    tensors += [numpy_helper.from_array(np.array(v), k) for k, v in {"one": [1], "two": [2], "two_": 2}.items()]
    node = helper.make_node
    nodes = [
        node("Transpose", ["x"], ["t"], name="t", perm=[1, 0, 2] if batch_first else [0, 1, 2]),
        node("Shape", ["t"], ["s"], name="s"),
        node("Slice", ["s", "one", "two"], ["n"], name="n"),
        node("Concat", ["one", "n", "two"], ["z"], name="z", axis=0),
        node("ConstantOfShape", ["z"], ["h"], name="h", value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0])),
        node("GRU", ["t", "W", "R", "B", "", "h"], ["y", "last"], name="g", hidden_size=2, linear_before_reset=1),
        node("Squeeze", ["y", "one"], ["q"], name="q"),
        node("MatMul", ["q", "w"], ["m"], name="m"),
        node("Add", ["m", "b"], ["a"], name="a"),
        node("Softmax", ["a"], ["out"], name="o", axis=-1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, ["b", "t", 3])],
        [value("out", TensorProto.FLOAT, None), value("last", TensorProto.FLOAT, None)],
        [tensor for tensor in tensors if tensor.name != "two_"],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


GOOD = {"step": ours(), "sequence": ours("sequence"), "theirs": theirs().SerializeToString()}


def attempt(source: Any) -> Model | None:
    """Read a file within bounds of time and memory; None if one of edge_rnn's errors refuses it."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        return from_onnx(source)
    except EdgeRnnError as error:
        assert 10 < len(str(error)) < 3000
        return None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MAX_BYTES
        assert time.perf_counter() - started < MAX_SECONDS


@pytest.mark.parametrize("name", GOOD)
def test_whole_files_are_read(name: str) -> None:
    assert attempt(GOOD[name]) is not None


@pytest.mark.parametrize("name", GOOD)
def test_truncated_files_are_refused(name: str) -> None:
    data = GOOD[name]
    for length in range(len(data)):
        read = attempt(data[:length]) if length % 3 == 0 or length > len(data) - 40 else None
        # Protobuf has no end mark: a file cut between two fields is whole, and tells the same but for what is gone.
        assert read is None or read.fingerprint == from_onnx(without_metadata(data)).fingerprint


def without_metadata(data: bytes) -> onnx.ModelProto:
    proto = onnx.load_from_string(data)
    del proto.metadata_props[:]
    return proto


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(list(GOOD)), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_flipped_bytes_never_escape(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD[name])
    for place, value in changes:
        data[place % len(data)] = value
    attempt(bytes(data))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(GOOD)), st.integers(0, 10**6), st.integers(0, 64), st.binary(max_size=64))
def test_spliced_bytes_never_escape(name: str, place: int, gone: int, put: bytes) -> None:
    data = GOOD[name]
    place %= len(data)
    attempt(data[:place] + put + data[place + gone :])


@given(st.binary(max_size=300))
def test_noise_is_refused(data: bytes) -> None:
    assert attempt(data) is None


HUGE = [0, -1, 2**31, 2**62, -(2**63)]


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize("place", range(7))
def test_sizes_that_lie(place: int, size: int) -> None:
    """Each size of each tensor, and those that nodes compute with."""
    proto = theirs()
    tensor = proto.graph.initializer[place]
    tensor.dims[-1] = size
    assert attempt(proto.SerializeToString()) is None
    if tensor.data_type == TensorProto.INT64:
        tensor.CopyFrom(numpy_helper.from_array(np.array([size]), tensor.name))
        assert attempt(proto.SerializeToString()) is None


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("size", [*HUGE, 2**22, 2**40])
def test_inputs_that_claim_to_be_large(axis: int, size: int) -> None:
    proto = theirs()
    proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    assert attempt(proto.SerializeToString()) is None


@pytest.mark.parametrize("attribute", ["hidden_size", "linear_before_reset", "perm", "axis", "value"])
@pytest.mark.parametrize("kind", ["int", "float", "text", "list", "graph", "nothing"])
def test_attributes_of_another_type(attribute: str, kind: str) -> None:
    proto = theirs()
    for node in proto.graph.node:
        for entry in node.attribute:
            if entry.name == attribute:
                entry.Clear()
                wrong: dict[str, Any] = {"int": 2**62, "float": 1e30, "text": b"\xff\xfe", "list": [2**62, -7]}
                if kind in wrong:
                    entry.CopyFrom(helper.make_attribute(attribute, wrong[kind]))
                elif kind == "graph":
                    entry.CopyFrom(helper.make_attribute(attribute, helper.make_graph([], "g", [], [])))
                else:
                    entry.name = attribute
    read = attempt(proto.SerializeToString())
    assert read is None or (attribute, kind) == ("linear_before_reset", "int")


def grown(kind: str) -> onnx.ModelProto:
    """Small files that would become large, or take long."""
    proto = theirs()
    graph, node = proto.graph, helper.make_node
    large = numpy_helper.from_array(np.array([2**20, 2**20]), "large")
    if kind == "zeros":
        graph.initializer.append(large)
        graph.node.insert(0, node("ConstantOfShape", ["large"], ["zeros"]))
    elif kind == "expand":
        graph.initializer.append(large)
        graph.node.insert(0, node("Expand", ["one", "large"], ["wide"]))
    elif kind == "tile":
        graph.initializer.append(large)
        graph.initializer.append(numpy_helper.from_array(np.ones((1, 1)), "small"))
        graph.node.insert(0, node("Tile", ["small", "large"], ["wide"]))
    elif kind == "doubled":
        graph.node.extend(node("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], axis=0) for i in range(60))
        graph.node.insert(0, node("Identity", ["w"], ["d0"]))
    elif kind == "doubled signal":
        graph.node.extend(node("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], axis=2) for i in range(60))
        graph.node.insert(0, node("Identity", ["x"], ["d0"]))
    elif kind == "looked at again and again":
        graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**20
        graph.node.extend(node("Cast", ["x"], [f"c{i}"], to=1) for i in range(8000))
    elif kind == "many products":
        names = ["m", *(f"p{i}" for i in range(4000))]
        graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.float32), "eye"))
        graph.node.extend(node("MatMul", [a, "eye"], [b]) for a, b in itertools.pairwise(names))
        graph.output[0].name = names[-1]
        del graph.node[8:10]
    elif kind == "many nodes":
        graph.node.extend(node("Identity", ["x"], [f"i{i}"]) for i in range(20000))
    elif kind == "many inputs":
        graph.input.extend(helper.make_tensor_value_info(f"i{i}", TensorProto.FLOAT, [1]) for i in range(20000))
    elif kind == "many axes":
        graph.node.insert(0, node("Unsqueeze", ["x", "axes"], ["deep"]))
        graph.initializer.append(numpy_helper.from_array(np.arange(64), "axes"))
    elif kind == "a circle":
        graph.node[0].input[0] = "m"
    elif kind == "deep bodies":
        body = helper.make_graph([], "g", [], [])
        for _ in range(25):
            body = helper.make_graph([node("If", ["c"], ["o"], then_branch=body)], "g", [], [])
        graph.node.append(node("If", ["x"], ["o"], then_branch=body))
    return proto


@pytest.mark.parametrize(
    "kind",
    ["zeros", "expand", "tile", "doubled", "doubled signal", "looked at again and again", "many nodes", "many inputs",
     "many axes", "a circle", "deep bodies", "many products"],
)  # fmt: skip
@pytest.mark.sampled(2)
def test_small_files_do_not_become_large(kind: str) -> None:
    assert attempt(grown(kind).SerializeToString()) is None


def test_metadata_that_name_one_array_many_times() -> None:
    proto = onnx.load_from_string(ours())
    (entry,) = proto.metadata_props
    first = entry.value.index('{"kind"')
    record = entry.value[first : entry.value.index("}, {", first) + 1]
    entry.value = entry.value[:first] + f"{record}, " * 20000 + entry.value[first:]
    assert attempt(proto) is None


def external(folder: Path, **entries: Any) -> Path:
    """A file whose weights lie in another one."""
    proto = theirs()
    tensor = proto.graph.initializer[0]
    data = bytes(tensor.raw_data)
    (folder / "weights.bin").write_bytes(b"\0" * 8 + data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin", "offset": 8, "length": len(data)} | entries).items():
        tensor.external_data.add(key=key, value=str(value))
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


def test_external_data_beside_the_model_are_read(tmp_path: Path) -> None:
    assert from_onnx(external(tmp_path)).fingerprint == from_onnx(theirs()).fingerprint


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "../weights.bin"}, {"location": "/etc/passwd"}, {"location": "inside/../../weights.bin"},
        {"location": ""},
        {"location": "."}, {"location": ".."}, {"location": "inside"}, {"location": "absent.bin"}, {"location": "a\0b"},
        {"location": "link.bin"}, {"location": "pipe"}, {"location": "..\\weights.bin"}, {"offset": -1},
        {"offset": 2**60},
        {"offset": "1e9"}, {"length": 10**14}, {"length": 3}, {"offset": 9}, {"length": "x" * 10000},
    ],
    ids=str,
)  # fmt: skip
def test_external_data_elsewhere_are_not(entries: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "inside").mkdir(parents=True)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 1000)
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    os.mkfifo(folder / "pipe")
    with pytest.raises(FileError, match=r"tensor 'W'|absent\.bin|inside|pipe|weights\.bin"):
        from_onnx(external(folder, **entries))


def test_external_data_without_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"tensor 'W' is in the file 'weights.bin'.*pass the model's path"):
        from_onnx(external(tmp_path).read_bytes())


def test_one_external_file_claimed_by_many(tmp_path: Path) -> None:
    """A file shorter than its tensors in total counts each time that it is read."""
    path = external(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    (tmp_path / "large.bin").write_bytes(b"\0" * 2**22)
    for place in range(400):
        tensor = proto.graph.initializer.add(name=f"t{place}", data_type=TensorProto.FLOAT, dims=[2**20])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="large.bin")
        proto.graph.node.insert(0, helper.make_node("Identity", [tensor.name], [f"copy{place}"]))
    path.write_bytes(proto.SerializeToString())
    assert attempt(path) is None


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: None, lambda path: path.touch()])
def test_what_is_no_file_is_refused(make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / "m.onnx")
    with pytest.raises(FileError, match=r"m\.onnx"):
        from_onnx(tmp_path / "m.onnx")


def test_path_with_a_null_character_is_refused() -> None:
    with pytest.raises(FileError):
        from_onnx("a\0b.onnx")
