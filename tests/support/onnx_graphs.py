"""Helpers of readers tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_rnn import reference
from edge_rnn.model import Model
from edge_rnn_export.runtime.session import session

# What onnxruntime rounds; as in the tests of the writer.
TOLERANCE = 3e-6
HIDDEN = 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
RNG = np.random.default_rng(11)


def uniform(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.7, 0.7, shape).astype(np.float32)


class Maker:
    """A graph under construction: operators by call, numbers as initializers."""

    def __init__(self, *inputs: tuple[str, list[Any]], opset: int = 17) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
        self.opset = opset

    def number(self, value: Any, dtype: Any = None) -> str:
        array = np.asarray(value)
        array = array.astype(dtype or (np.float32 if array.dtype.kind == "f" else np.int64))
        name = f"n{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: Any, outputs: int = 1, out: str = "", **attributes: Any) -> Any:
        names = [each if isinstance(each, str) else self.number(each) for each in inputs]
        gives = [f"v{len(self.nodes)}_{place}" for place in range(outputs)]
        if out:
            gives[0] = out
        self.nodes.append(helper.make_node(kind, names, gives, name=f"/{kind.lower()}{len(self.nodes)}", **attributes))
        return gives[0] if outputs == 1 else gives

    def cell(self, kind: str, x: str, reads: int = 3, **more: Any) -> list[str]:
        """A recurrent node with random weights; its outputs."""
        gates, start, weights = GATES[kind], more.pop("start", ()), more.pop("weights", np.float32)
        arrays = uniform(1, gates * HIDDEN, reads), uniform(1, gates * HIDDEN, HIDDEN), uniform(1, 2 * gates * HIDDEN)
        numbers = [self.number(array, weights) for array in arrays]
        lens = more.pop("lens", "")
        found: list[str] = self.op(
            kind, x, *numbers, lens, *start, outputs=3 if kind == "LSTM" else 2, hidden_size=HIDDEN, **more
        )
        return found

    def proto(self, *outputs: str) -> onnx.ModelProto:
        values = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, values, self.tensors)
        for value in graph.output:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def ort(proto: onnx.ModelProto, feeds: dict[str, np.ndarray], output: str = "y") -> np.ndarray:
    (found,) = session(proto.SerializeToString()).run([output], feeds)
    return np.asarray(found)


def samples(steps: int, batch: int, size: int = 3) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((steps, batch, size)).astype(np.float32)


def expected(model: Model, xs: np.ndarray) -> np.ndarray:
    """Outputs by the reference, ``(time, batch, O)``."""
    return np.stack([reference.run(model, xs[:, place])[0] for place in range(xs.shape[1])], 1)


def close(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max())


# Each builds a graph on x, (time, batch, 3), whose output y is (time, batch, something).
BODIES: dict[str, Callable[[Maker], Any]] = {}


def body(function: Callable[[Maker], Any]) -> Callable[[Maker], Any]:
    BODIES[function.__name__] = function
    return function


def rnn(m: Maker, x: str = "x", reads: int = 3, kind: str = "GRU", **more: Any) -> str:
    """A cell and the Squeeze behind it."""
    return str(m.op("Squeeze", m.cell(kind, x, reads, **more)[0], [1]))
