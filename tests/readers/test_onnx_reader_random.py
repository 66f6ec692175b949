"""Random graphs: ``from_onnx`` agrees with onnxruntime, or refuses them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export.readers.onnx.check import compared
from edge_rnn_export.readers.onnx.reader import reading_of

TOLERANCE = 1e-5
Shape = tuple[int, ...]


class Graph:
    """Random operators, each on an existing value of a suitable shape."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.start: Shape = (draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        self.open = draw(st.booleans())
        self.values: list[tuple[str, Shape]] = [("x", self.start)]

    def number(self, array: Any) -> str:
        array = np.asarray(array)
        name = f"n{len(self.tensors)}"
        kind = np.float32 if array.dtype.kind == "f" else np.int64
        self.tensors.append(numpy_helper.from_array(array.astype(kind), name))
        return name

    def uniform(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(-1, 1, shape)

    def op(self, kind: str, inputs: list[Any], *shapes: Shape, **attributes: Any) -> None:
        names = [each if isinstance(each, str) else self.number(each) for each in inputs]
        outputs = [f"v{len(self.nodes)}_{place}" for place in range(len(shapes))]
        self.nodes.append(helper.make_node(kind, names, outputs, name=f"node{len(self.nodes)}", **attributes))
        self.values += zip(outputs, shapes, strict=True)

    def grow(self) -> None:
        draw = self.draw
        recent = self.values[-4:]
        name, shape = recent[draw(st.integers(0, len(recent) - 1))]
        kind = draw(st.sampled_from(["cell", "cell", "dense", "tanh", "transpose", "reshape", "squeeze", "unsqueeze",
                                     "slice", "gather", "concat", "add", "scale", "softmax", "split"]))  # fmt: skip
        axis = draw(st.integers(0, max(len(shape) - 1, 0)))
        size = shape[axis] if shape else 1
        if kind == "cell" and len(shape) == 3:
            self.cell(name, shape)
        elif kind == "dense" and len(shape) >= 2:
            out = draw(st.integers(1, 3))
            self.op("MatMul", [name, self.uniform(shape[-1], out)], (*shape[:-1], out))
        elif kind == "tanh":
            self.op(draw(st.sampled_from(["Tanh", "Relu", "Identity"])), [name], shape)
        elif kind == "transpose":
            perm = draw(st.permutations(range(len(shape))))
            self.op("Transpose", [name], tuple(shape[place] for place in perm), perm=perm)
        elif kind == "reshape" and shape:
            self.reshape(name, shape)
        elif kind == "squeeze" and size == 1 and len(shape) > 1:
            self.op("Squeeze", [name, [axis]], shape[:axis] + shape[axis + 1 :])
        elif kind == "unsqueeze" and len(shape) < 5:
            self.op("Unsqueeze", [name, [axis]], (*shape[:axis], 1, *shape[axis:]))
        elif kind == "slice" and size > 1:
            start = draw(st.integers(0, size - 1))
            self.op("Slice", [name, [start - size], [2**31 - 1], [axis]],
                    (*shape[:axis], size - start, *shape[axis + 1 :]))  # fmt: skip
        elif kind == "gather" and size:
            places = draw(st.lists(st.integers(-size, size - 1), min_size=1, max_size=4))
            self.op("Gather", [name, places], (*shape[:axis], len(places), *shape[axis + 1 :]), axis=axis)
        elif kind in ("concat", "add"):
            self.pair(kind, name, shape, axis)
        elif kind == "scale" and shape:
            self.op(draw(st.sampled_from(["Add", "Mul", "Sub", "Div"])), [name, self.uniform(shape[-1]) + 2], shape)
        elif kind == "softmax" and shape:
            self.op("Softmax", [name], shape, axis=axis)
        elif kind == "split" and size > 1:
            sizes = [1, size - 1]
            self.op("Split", [name, sizes], *((*shape[:axis], each, *shape[axis + 1 :]) for each in sizes), axis=axis)

    def cell(self, name: str, shape: Shape) -> None:
        kind, gates = self.draw(st.sampled_from([("RNN", 1), ("GRU", 3), ("LSTM", 4)]))
        steps, batch, reads = shape
        hidden = self.draw(st.integers(1, 3))
        arrays = [self.uniform(1, gates * hidden, reads), self.uniform(1, gates * hidden, hidden)]
        state = (1, batch, hidden)
        shapes = [(steps, 1, batch, hidden), state, *([state] if kind == "LSTM" else [])]
        self.op(kind, [name, *arrays, self.uniform(1, 2 * gates * hidden)], *shapes, hidden_size=hidden)
        self.op("Squeeze", [self.values[-len(shapes)][0], [1]], (steps, batch, hidden))

    def reshape(self, name: str, shape: Shape) -> None:
        count = int(np.prod(shape))
        cut = self.draw(st.integers(0, len(shape)))
        merged = (int(np.prod(shape[:cut])), int(np.prod(shape[cut:])))
        targets = [merged, (count,), (*merged, 1), shape[::-1]]
        targets += [self.start] if count == np.prod(self.start) else []
        target = self.draw(st.sampled_from(targets))
        self.op("Reshape", [name, [-1, *target[1:]]], target)

    def pair(self, kind: str, name: str, shape: Shape, axis: int) -> None:
        others = [(other, its) for other, its in self.values if len(its) == len(shape) and shape]
        if kind == "add":
            others = [(other, its) for other, its in others if its == shape]
        others = [(o, its) for o, its in others if its[:axis] + its[axis + 1 :] == shape[:axis] + shape[axis + 1 :]]
        if not others:
            return
        other, its = others[self.draw(st.integers(0, len(others) - 1))]
        if kind == "add":
            self.op("Add", [name, other], shape)
        else:
            self.op("Concat", [name, other], (*shape[:axis], size_of(shape, its, axis), *shape[axis + 1 :]), axis=axis)

    def proto(self) -> onnx.ModelProto:
        shape = ["t", "b", self.start[2]] if self.open else self.start
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        output = helper.make_tensor_value_info(self.values[-1][0], TensorProto.FLOAT, None)
        wanted, nodes = {self.values[-1][0]}, []
        for node in reversed(self.nodes):  # what leads to the last value alone
            if wanted.intersection(node.output):
                wanted.update(node.input)
                nodes.insert(0, node)
        graph = helper.make_graph(nodes, "random", [value], [output], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def size_of(one: Shape, other: Shape, axis: int) -> int:
    return one[axis] + other[axis]


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    graph = Graph(draw)
    for _ in range(draw(st.integers(1, 9))):
        graph.grow()
    return graph.proto()


@pytest.mark.parametrize(("examples", "of_each"), [(60, 3), pytest.param(600, 50, marks=pytest.mark.slow)])
def test_what_is_read_is_what_onnxruntime_computes(examples: int, of_each: int) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), phases=[Phase.generate], derandomize=True)
    @given(graphs())
    def check(proto: onnx.ModelProto) -> None:
        if not proto.graph.node:
            return
        try:
            reading = reading_of(proto, upto=proto.graph.output[0].name)
        except (UnsupportedError, FileError):
            seen["refused"] += 1
            return
        error, _ = compared(reading, proto.SerializeToString())
        seen["recurrent" if reading.model.initial_state else "read"] += 1
        assert error <= TOLERANCE, reading.model

    check()
    assert min(seen["recurrent"], seen["read"], seen["refused"]) >= of_each, seen  # each of them was tried
