"""from_onnx on graphs put together by hand: what exporters write around recurrent nodes, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_rnn
from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, FileError, InputError, ModelError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Dense, Elman, Embedding, Standardize
from edge_rnn.model import Model
from edge_rnn_export import from_onnx
from edge_rnn_export.runtime.session import session
from edge_rnn_export.writers.onnx.graph import build_graph

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


@body
def two_cells_and_gemm(m: Maker) -> None:
    y = m.op("Reshape", rnn(m, rnn(m, kind="LSTM"), HIDDEN, "RNN"), [-1, HIDDEN])
    flat = m.op("Gemm", y, uniform(2, HIDDEN), uniform(2), transB=1, alpha=0.5, beta=2.0)
    m.op("Reshape", m.op("Sigmoid", flat), m.op("Concat", m.op("Slice", m.op("Shape", "x"), [0], [2]), [2], axis=0),
         out="y")  # fmt: skip


@body
def gemm_without_transposition(m: Maker) -> None:
    flat = m.op("Reshape", rnn(m), [-1, HIDDEN])
    flat = m.op("Gemm", flat, uniform(HIDDEN, 2), np.float32(0.25))
    m.op("Reshape", flat, m.op("Concat", m.op("Slice", m.op("Shape", "x"), [0], [2]), [-1], axis=0), out="y")


@body
def matrix_with_bias_on_the_left(m: Maker) -> None:
    m.op("Softmax", m.op("Add", uniform(2), m.op("MatMul", rnn(m), uniform(HIDDEN, 2))), axis=-1, out="y")


@body
def scaling_in_front(m: Maker) -> None:
    x = m.op("Div", m.op("Sub", "x", uniform(3)), np.float32([2.0, 0.5, -4.0]))
    m.op("Identity", rnn(m, x, kind="LSTM"), out="y")


@body
def scaling_by_products_and_sums(m: Maker) -> None:
    m.op("Mul", np.float32(3.0), m.op("Add", rnn(m, m.op("Mul", "x", uniform(3))), uniform(1, 1, HIDDEN)), out="y")


@body
def skip_connections(m: Maker) -> None:
    first = rnn(m)
    second = rnn(m, m.op("Concat", first, "x", axis=-1), HIDDEN + 3, kind="LSTM")
    m.op("Sum", first, second, m.op("Tanh", first), out="y")


@body
def sum_of_concatenations(m: Maker) -> None:
    a, b = rnn(m), rnn(m)
    m.op("Add", m.op("Concat", a, b, axis=2), m.op("Concat", b, a, axis=2), out="y")


@body
def permuted_channels(m: Maker) -> None:
    m.op("Identity", rnn(m, m.op("Gather", "x", [2, 0, 1], axis=2)), out="y")


@body
def some_channels(m: Maker) -> None:
    parts = m.op("Split", "x", [2, 1], outputs=2, axis=2)
    m.op("Concat", m.op("Slice", rnn(m, parts[0], 2), [1], [3], [2]), rnn(m, parts[1], 1), axis=2, out="y")


@body
def channels_first_and_back(m: Maker) -> None:
    """(time, batch, 3) as (batch, 3, time), normed and activated there, as 1-D networks do."""
    x = m.op("Transpose", "x", perm=[1, 2, 0])
    x = m.op("BatchNormalization", x, uniform(3), uniform(3), uniform(3), np.abs(uniform(3)), epsilon=1e-3)
    x = m.op("Transpose", m.op("LeakyRelu", x, alpha=0.3), perm=[2, 0, 1])
    m.op("Identity", rnn(m, x), out="y")


@body
def more_axes_and_fewer(m: Maker) -> None:
    y = m.op("Unsqueeze", m.op("Unsqueeze", rnn(m), [0]), [2])
    m.op("Squeeze", m.op("Relu", y), [0, 2], out="y")


@body
def states_of_zeros_by_shape(m: Maker) -> None:
    batch = m.op("Unsqueeze", m.op("Gather", m.op("Shape", "x"), 1), [0])
    shape = m.op("Concat", [1], batch, [HIDDEN], axis=0)
    zeros = m.op("ConstantOfShape", shape, value=numpy_helper.from_array(np.zeros(1, np.float32)))
    once = m.op("Where", m.op("Equal", shape, [-1, -1, -1]), [1, 1, 1], shape)
    m.op("Identity", rnn(m, kind="LSTM", start=(zeros, m.op("Expand", np.zeros((1, 1, HIDDEN)), once))), out="y")


@body
def trained_states(m: Maker) -> None:
    batch = m.op("Slice", m.op("Shape", "x"), [1], [2])
    ones = m.op("Concat", [1], batch, [1], axis=0)
    h = m.op("Expand", uniform(1, 1, HIDDEN), m.op("Concat", [1], batch, [HIDDEN], axis=0))
    m.op("Identity", rnn(m, kind="LSTM", start=(h, m.op("Tile", uniform(1, 1, HIDDEN), ones))), out="y")


@body
def lengths_that_are_the_whole(m: Maker) -> None:
    shape = m.op("Shape", "x")
    lens = m.op("Cast", m.op("Expand", m.op("Slice", shape, [0], [1]), m.op("Slice", shape, [1], [2])), to=6)
    m.op("Identity", rnn(m, lens=lens), out="y")


@body
def weights_in_double(m: Maker) -> None:
    """Cast where the node reads them, as files that were made small do."""
    arrays = [m.op("Cast", m.number(uniform(*shape), np.float16), to=1) for shape in [(1, 12, 3), (1, 12, HIDDEN)]]
    y = m.op("GRU", "x", *arrays, outputs=2, hidden_size=HIDDEN)[0]
    m.op("Dropout", m.op("Cast", m.op("Squeeze", y, [1]), to=1), np.float32(0.3), out="y")


@pytest.mark.parametrize(
    ("sizes", "order"),
    [((9, 1), "one sequence")]
    + [
        (sizes, f"{which} first") for sizes in [("open", "open"), (9, 2), (9, 1), (1, 3)] for which in ("time", "batch")
    ],
)
@pytest.mark.parametrize("name", BODIES)
def test_graph_is_read(name: str, sizes: tuple[Any, Any], order: str) -> None:
    """Equal to onnxruntime, with axes open or fixed, the batch first or second or not there."""
    steps, batch = ("t", "b") if sizes == ("open", "open") else sizes
    m = Maker(("input", {"time first": [steps, batch, 3], "batch first": [batch, steps, 3]}.get(order, [steps, 3])))
    if order == "one sequence":
        m.op("Unsqueeze", "input", [1], out="x")
    else:
        m.op("Transpose", "input", perm=[1, 0, 2] if order == "batch first" else [0, 1, 2], out="x")
    BODIES[name](m)
    proto = m.proto("y")
    model = from_onnx(proto)
    xs = samples(*((23, 3) if steps == "t" else sizes))
    given = {"time first": xs, "batch first": xs.swapaxes(0, 1)}.get(order, xs[:, 0])
    close(ort(proto, {"input": given}), expected(model, xs))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("way", ["state", "gather", "slice", "batch first slice"])
def test_last_step_alone(kind: str, way: str) -> None:
    m = Maker(("x", ["t", "b", 3]))
    if way == "state":
        last = m.op("Squeeze", m.cell(kind, "x")[1], [0])
    elif way == "gather":
        last = m.op("Gather", rnn(m, kind=kind), -1, axis=0)
    elif way == "slice":
        last = m.op("Squeeze", m.op("Slice", rnn(m, kind=kind), [-1], [2**63 - 1], [0]), [0])
    else:
        y = m.op("Transpose", rnn(m, kind=kind), perm=[1, 0, 2])
        last = m.op("Squeeze", m.op("Slice", y, [-1], [2**31 - 1], [1], [1]), [1])
    m.op("Gemm", last, uniform(HIDDEN, 2), uniform(2), out="y")
    proto, xs = m.proto("y"), samples(8, 3)
    model = from_onnx(proto)
    assert [layer.kind for layer in model.layers] == [{"RNN": "Elman"}.get(kind, kind), "Dense"]
    close(ort(proto, {"x": xs}), expected(model, xs)[-1])


def test_states_that_are_handed_in_and_out() -> None:
    """PyTorch's way: states of two layers in one input, and in one output."""
    m = Maker(("x", ["t", "b", 3]), ("h", [2, "b", HIDDEN]), ("c", [2, "b", HIDDEN]))
    y, last = "x", []
    for place, reads in enumerate((3, HIDDEN)):
        start = [m.op("Slice", state, [place], [place + 1], [0]) for state in "hc"]
        every, *states = m.cell("LSTM", y, reads, start=start)
        y = m.op("Squeeze", every, [1])
        last.append(states)
    for place, state in enumerate("hc"):
        m.op("Concat", *(states[place] for states in last), axis=0, out=f"{state}_out")
    m.op("Identity", y, out="y")
    proto, xs = m.proto("h_out", "y", "c_out"), samples(8, 2)
    model = from_onnx(proto)
    rng = np.random.default_rng(0)
    h, c = (rng.uniform(-1, 1, (2, 2, HIDDEN)).astype(np.float32) for _ in range(2))
    got = ort(proto, {"x": xs, "h": h, "c": c})
    names = [layer.name for layer in model.layers]
    for place in range(2):
        state = {f"{name}.h": h[layer, place] for layer, name in enumerate(names)}
        state |= {f"{name}.c": c[layer, place] for layer, name in enumerate(names)}
        close(got[:, place], reference.run(model, xs[:, place], state)[0])
    assert not any(value.any() for value in model.initial_state.values())


@pytest.mark.parametrize("kind", GATES)
def test_step_graph_without_other_output_than_states(kind: str) -> None:
    """Of several last states it is that of the layer that no other one reads."""
    m = Maker(("x", [1, 1, 3]))
    first = m.cell(kind, "x")
    second = m.cell(kind, first[1], HIDDEN)
    proto, xs = m.proto(*first[1:], *second[1:]), samples(1, 1)
    close(ort(proto, {"x": xs}, second[1]), expected(from_onnx(proto), xs))


def test_embedding_of_whole_numbers() -> None:
    table = uniform(7, 3)
    m = Maker(opset=17)
    m.inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["b", "t"])]
    m.op("Transpose", m.op("Gather", m.number(table), "tokens", axis=0), perm=[1, 0, 2], out="x")
    BODIES["matrix_with_bias_on_the_left"](m)
    proto = m.proto("y")
    model = from_onnx(proto)
    assert isinstance(model.layers[0], Embedding)
    tokens = np.random.default_rng(0).integers(0, 7, (2, 9))
    close(ort(proto, {"tokens": tokens}), expected(model, tokens.T[..., None].astype(np.float32)))


@pytest.mark.parametrize(
    ("op", "attributes", "text"),
    [
        ("Tanh", {}, "tanh"), ("Sigmoid", {}, "sigmoid"), ("Relu", {}, "relu"), ("Softplus", {}, "softplus"),
        ("Softsign", {}, "softsign"), ("Elu", {}, "elu"), ("Elu", {"alpha": 0.3}, "elu:0.3"),
        ("LeakyRelu", {}, "leaky_relu"), ("LeakyRelu", {"alpha": 0.2}, "leaky_relu:0.2"),
        ("HardSigmoid", {}, "hard_sigmoid"), ("HardSigmoid", {"beta": 0.4}, "hard_sigmoid:0.2:0.4"),
        ("ThresholdedRelu", {"alpha": 0.1}, "thresholded_relu:0.1"), ("Softmax", {"axis": 2}, "softmax"),
    ],
)  # fmt: skip
def test_activations_of_heads(op: str, attributes: dict[str, Any], text: str) -> None:
    m = Maker(("x", ["t", "b", 3]))
    y = m.op("Add", m.op("MatMul", rnn(m), uniform(HIDDEN, 2)), uniform(2))
    m.op(op, y, out="y", **attributes)
    model, xs = from_onnx(m.proto("y")), samples(6, 2)
    assert model.layers[-1].options == {"activation": text}
    close(ort(m.proto("y"), {"x": xs}), expected(model, xs))


@pytest.mark.parametrize(
    ("kind", "attributes", "options"),
    [
        ("LSTM", {"activations": ["HardSigmoid", "LeakyRelu", "ScaledTanh"],
                  "activation_alpha": [0.3, 0.1, 1.2], "activation_beta": [0.4, 0.7]},
         {"gate_activation": "hard_sigmoid:0.3:0.4", "cell_activation": "leaky_relu:0.1",
          "output_activation": "scaled_tanh:1.2:0.7"}),
        ("LSTM", {"activations": ["Sigmoid", "Elu", "Tanh"], "activation_alpha": [0.3]},
         {"cell_activation": "elu:0.3"}),
        ("LSTM", {"activations": ["Sigmoid", "Elu", "Tanh"]}, {"cell_activation": "elu"}),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Softsign"]},
         {"gate_activation": "hard_sigmoid", "output_activation": "softsign"}),
        ("LSTM", {"input_forget": 1, "clip": 0.2}, {"coupled": "forget", "gate_clip": 0.2}),
        ("GRU", {"linear_before_reset": 1}, {"reset_after": True}),
        ("GRU", {"linear_before_reset": 0, "clip": 0.5}, {"reset_after": False, "gate_clip": 0.5}),
        ("GRU",
         {"activations": ["hardsigmoid", "Affine"], "activation_alpha": [0.2, 0.5], "activation_beta": [0.5, 0.1]},
         {"reset_after": False, "gate_activation": "hard_sigmoid", "candidate_activation": "affine:0.5:0.1"}),
        ("RNN", {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]},
         {"activation": "none"}),
        ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.1]},
         {"activation": "thresholded_relu:0.1"}),
        # One for each activation, as some files have it: what is meant does not depend on how one reads it.
        ("LSTM", {"activations": ["LeakyRelu", "Tanh", "Tanh"], "activation_alpha": [0.1, 0.0, 0.0]},
         {"gate_activation": "leaky_relu:0.1"}),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"], "activation_alpha": [0.2, 0.0], "activation_beta": [0.5, 0.0]},
         {"reset_after": False, "gate_activation": "hard_sigmoid"}),
    ],
)  # fmt: skip
def test_options_of_cells(kind: str, attributes: dict[str, Any], options: dict[str, Any]) -> None:
    m = Maker(("x", ["t", "b", 3]))
    m.op("Identity", rnn(m, kind=kind, **attributes), out="y")
    model, xs = from_onnx(m.proto("y")), samples(6, 2)
    assert model.layers[0].options == options
    close(ort(m.proto("y"), {"x": xs}), expected(model, xs))


def test_one_alpha_for_each_activation_is_refused_where_it_could_mean_two_things() -> None:
    m = Maker(("x", ["t", "b", 3]))
    options = {"activations": ["Sigmoid", "LeakyRelu", "Tanh"], "activation_alpha": [0.0, 0.1, 0.0]}
    m.op("Identity", rnn(m, kind="LSTM", **options), out="y")
    with pytest.raises(UnsupportedError, match=r"LSTM node '/lstm0': its activation_alpha lists \[0.0, 0.1, 0.0\]"):
        from_onnx(m.proto("y"))


@pytest.mark.parametrize(("opset", "axis", "read"), [(12, 2, True), (12, 1, False), (17, 2, True), (17, -1, True)])
def test_softmax_of_older_operator_sets(opset: int, axis: int, read: bool) -> None:
    m = Maker(("x", [5, 1, 3]), opset=opset)
    y = m.op("Squeeze", m.cell("GRU", "x")[0], axes=[1]) if opset < 13 else rnn(m)
    m.op("Softmax", y, axis=axis, out="y")
    if read:
        close(ort(m.proto("y"), {"x": samples(5, 1)}), expected(from_onnx(m.proto("y")), samples(5, 1)))
    else:
        with pytest.raises(UnsupportedError, match=r"Softmax node '/softmax2': it goes along axis 1 of \(5, 1, 4\)"):
            from_onnx(m.proto("y"))


def test_large_weights_are_read() -> None:
    m = Maker(("x", ["t", "b", 3]))
    arrays = [np.ones((1, 4096, reads), np.float32) for reads in (3, 1024)]
    for reads in arrays:
        x = m.nodes[-1].output[0] if m.nodes else "x"
        y = m.op("LSTM", x, reads, np.ones((1, 4096, 1024), np.float32), outputs=3, hidden_size=1024)[0]
        m.op("Squeeze", y, [1])
    assert from_onnx(m.proto(m.nodes[-1].output[0]).SerializeToString()).num_parameters == 4096 * (3 + 3 * 1024)


def test_names_and_description() -> None:
    m = Maker(("x", ["t", "b", 3]))
    m.op("Identity", m.op("MatMul", rnn(m, rnn(m), HIDDEN), uniform(HIDDEN, 2)), out="y")
    for node, name in zip(m.nodes, ["/rnn/GRU", "s", "/rnn/GRU_1", "t", "head 1/fc/MatMul", "u"], strict=True):
        node.name = name
    model = from_onnx(
        m.proto("y"), name="a", labels=["l", "r"], sample_rate_hz=9, input_names=list("xyz"), input_units=["g"] * 3
    )
    assert [layer.name for layer in model.layers] == ["rnn", "rnn_2", "fc"]
    assert (model.name, model.labels, model.sample_rate_hz, model.input_units) == ("a", ("l", "r"), 9.0, ("g",) * 3)


def test_a_path_bytes_and_a_proto_are_the_same(tmp_path: Path) -> None:
    m = Maker(("x", ["t", "b", 3]))
    m.op("Identity", rnn(m), out="y")
    proto = m.proto("y")
    onnx.save(proto, tmp_path / "m.onnx")
    sources: list[Any] = [tmp_path / "m.onnx", str(tmp_path / "m.onnx"), proto.SerializeToString(), proto]
    assert len({from_onnx(source).fingerprint for source in sources}) == 1
    with pytest.raises(InputError, match=r"from_onnx got int, expected a path, a file's bytes or a ModelProto"):
        from_onnx(3)


def test_upto_reads_a_part() -> None:
    m = Maker(("x", ["t", "b", 3]))
    hidden = rnn(m)
    m.op("Erf", m.op("MatMul", hidden, uniform(HIDDEN, 2)), out="y")
    m.op("Tanh", hidden, out="z")
    with pytest.raises(UnsupportedError, match=r"Erf node '/erf3': it is not one of Add"):
        from_onnx(m.proto("y", "z"))
    model, xs = from_onnx(m.proto("y", "z"), upto="z"), samples(6, 2)
    close(ort(m.proto("y", "z"), {"x": xs}, "z"), expected(model, xs))
    assert [layer.kind for layer in from_onnx(m.proto("y"), upto=m.nodes[2].output[0]).layers] == ["GRU", "Dense"]
    with pytest.raises(InputError, match=r"upto names 'nothing', which no node gives; expected one of 'v0_0'"):
        from_onnx(m.proto("y"), upto="nothing")


def test_part_of_our_own_graph() -> None:
    model = Model([GRU(uniform(12, 3), uniform(12, 4)), Dense(uniform(2, 4))])
    read = from_onnx(build_graph(model), upto="gru1.h_out")
    assert [layer.kind for layer in read.layers] == ["GRU"]
    assert np.array_equal(read.layers[0].arrays["weight_ih"], model.layers[0].arrays["weight_ih"])


def test_generic_reading_of_our_own_graphs() -> None:
    """Without metadata they are like those of others: the same layers under the names of nodes."""
    cells = [LSTM(uniform(16, 3), uniform(16, 4), uniform(16)), Elman(uniform(4, 4), uniform(4, 4), activation="relu")]
    scaled = Standardize([1.0, 2.0, 3.0], [2.0, 0.5, 1.0])
    model = Model([scaled, *cells, Dense(uniform(2, 4), uniform(2), activation="softmax")])
    for form in ("step", "sequence"):
        proto = build_graph(model, form)  # type: ignore[arg-type]
        del proto.metadata_props[:]
        read = from_onnx(proto)
        for got, wanted in zip(read.layers, model.layers, strict=True):
            assert (got.kind, got.options) == (wanted.kind, wanted.options)
            for key, array in wanted.arrays.items():
                assert np.array_equal(getattr(got, key), array)


def test_import_compares_with_onnxruntime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edge_rnn.cli import main

    m = Maker(("x", ["b", "t", 3]), ("h", [1, "b", HIDDEN]))
    m.op("Transpose", "x", perm=[1, 0, 2], out="seq")
    m.op("Identity", rnn(m, "seq", start=("h",)), out="y")
    onnx.save(m.proto("y"), tmp_path / "theirs.onnx")
    layers = [LSTM(uniform(16, 3), uniform(16, 4), cell_clip=0.5), Dense(uniform(2, 4))]
    model = Model(layers, name="ours", labels=["l", "r"], sample_rate_hz=10)
    onnx.save(build_graph(model, "sequence"), tmp_path / "whole.onnx")
    onnx.save(build_graph(model), tmp_path / "step.onnx")
    for name, steps in (("theirs", 88), ("whole", 160), ("step", 8)):
        output = tmp_path / f"{name}.safetensors"
        assert main(["import", str(tmp_path / f"{name}.onnx"), "-o", str(output)]) == 0
        told, compared, written = capsys.readouterr().out.splitlines()
        assert told.startswith("read         ONNX: <Model ")
        assert not compared.startswith("not"), compared
        words = compared.split(f"compared     with onnxruntime over {steps} random steps: ")[1]
        assert float(words.removesuffix(" off at most")) < TOLERANCE
        assert written.startswith(f"written      {output}")
        edge_rnn.load(output)
    read = edge_rnn.load(tmp_path / "whole.safetensors")
    assert read.fingerprint == model.fingerprint
    assert (read.name, read.labels, read.sample_rate_hz) == ("ours", ("l", "r"), 10.0)


def test_import_says_so_where_onnxruntime_does_not_run_the_graph(tmp_path: Path, capsys: Any) -> None:
    from edge_rnn.cli import main

    m = Maker(("x", [2, 5, 3]))
    every = m.cell("GRU", "x", layout=1)[0]
    m.op("Squeeze", every, [2], out="y")
    onnx.save(m.proto("y"), tmp_path / "m.onnx")
    assert main(["import", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.safetensors")]) == 0
    assert "not compared onnxruntime does not take" in capsys.readouterr().out


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
    "later steps": (lambda m: rnn(m, m.op("Slice", "x", [1], [2**31 - 1], [0])), "it takes 10 of 15 samples"),
    "last step in a cell": (
        lambda m: rnn(m, m.cell("GRU", "x")[1], HIDDEN),
        "GRU node '/gru1': it takes other samples, or in another order",
    ),
    "batch and time swapped": (
        lambda m: rnn(m, m.op("Transpose", rnn(m), perm=[1, 0, 2]), HIDDEN),
        "GRU node '/gru3': it takes other samples, or in another order",
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
    "gates by hand": (
        lambda m: m.op("Mul", m.op("Sigmoid", rnn(m)), "x", out="y"),
        "Mul node '/mul3': it computes with two signals",
    ),
    "one minus": (lambda m: m.op("Sub", np.float32(1.0), rnn(m), out="y"), "numbers on its left"),
    "numbers for each step": (lambda m: m.op("Add", rnn(m), uniform(3, 1, 1), out="y"), "Add node '/add2': it has"),
    "padding": (lambda m: m.op("Concat", rnn(m), np.zeros((3, 5, 1)), axis=2, out="y"), "puts numbers beside"),
    "repeated": (lambda m: m.op("Expand", rnn(m), [2, 1, 1, 1], out="y"), "Expand node '/expand2'"),
    "left product": (lambda m: m.op("MatMul", uniform(3, 3), "x", out="y"), "its first input is numbers"),
    "wrong width": (lambda m: m.op("MatMul", rnn(m), uniform(5, 2), out="y"), "reads 4 values, expected 5"),
    "wrong gates": (
        lambda m: m.op("LSTM", "x", uniform(1, 12, 3), uniform(1, 12, 4), outputs=3, hidden_size=4),
        "LSTM node '/lstm0' has W of shape (1, 12, 3), expected (1, 16, 3)",
    ),
    "two directions": (lambda m: m.cell("GRU", "x", direction="bidirectional"), "GRU node '/gru0': its direction"),
    "reverse": (lambda m: m.cell("LSTM", "x", direction="reverse"), "a stream has seen no more than the samples"),
    "unknown attribute": (lambda m: m.cell("GRU", "x", zoneout=0.1), "GRU node '/gru0': it has zoneout"),
    "unknown activation": (lambda m: m.cell("RNN", "x", activations=["Gelu"]), "its activations are ['Gelu']"),
    "clip of zero": (lambda m: m.op("Identity", rnn(m, clip=0.0), out="y"), "GRU node '/gru0' became no layer"),
    "part of the lengths": (lambda m: m.cell("GRU", "x", lens=m.number([4, 3, 4], np.int32)), "its sequence_lens are"),
    "softmax over time": (lambda m: m.op("Softmax", rnn(m), axis=0, out="y"), "node '/softmax2': it goes along"),
    "unused node": (
        lambda m: (m.op("Tanh", rnn(m), out="y"), m.op("MatMul", "x", uniform(3, 2))),
        "the MatMul node '/matmul3' does not lead to the output; choose one by upto=",
    ),
    "unused numbers": (
        lambda m: (m.op("Tanh", rnn(m), out="y"), m.number(uniform(3, 2))),
        "nothing reads the initializer 'n4'",
    ),
    "training": (
        lambda m: m.op("Dropout", rnn(m), np.float32(0.5), m.number(True, np.bool_), out="y"),
        "Dropout node '/dropout2': it drops values while training",
    ),
    "no weights": (lambda m: m.op("Identity", "x", out="y"), "no layer between input and output"),
    "never given": (lambda m: m.op("Tanh", "nowhere", out="y"), "reads 'nowhere', which nothing before it gives"),
    "constant output": (lambda m: m.op("Identity", uniform(2), out="y"), "or it is always the same"),
    "whole numbers": (lambda m: m.op("Tanh", m.op("Cast", "x", to=7), out="y"), "it reads whole numbers"),
    "rounded": (lambda m: m.op("Cast", m.op("Cast", "x", to=7), to=1, out="y"), "it makes whole numbers of samples"),
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
    assert "GRU node '/gru2': it reads the graph's input 'z' as samples beside 'x'" in told


def test_unused_input_is_refused() -> None:
    told = refusal(lambda m: m.op("Identity", rnn(m), out="y"), ("x", ["t", "b", 3]), ("mask", ["t", "b"]))
    assert "nothing reads the input 'mask'" in told


def test_lengths_from_outside_are_refused() -> None:
    told = refusal(lambda m: m.op("Identity", rnn(m, lens="lens"), out="y"), ("x", ["t", "b", 3]), ("lens", ["b"]))
    assert "GRU node '/gru0': it takes sequence_lens from outside" in told


def test_two_outputs_are_refused_with_what_to_do() -> None:
    def two(m: Maker) -> None:
        m.op("Tanh", rnn(m), out="y")
        m.op("Relu", "y", out="z")

    assert "found the outputs 'y', 'z', expected one beside last states; name one by upto=" in refusal(
        two, outputs=("y", "z")
    )


@pytest.mark.parametrize("kind", ["If", "Loop", "Scan"])
@pytest.mark.parametrize("deep", [False, True])
def test_recurrent_nodes_in_control_flow_are_named(kind: str, deep: bool) -> None:
    inner = Maker(("x", ["t", "b", 3]))
    inner.cell("LSTM", "x")
    inner.nodes[0].name = "hidden away"
    nodes = inner.nodes
    if deep:
        nodes = [helper.make_node("If", ["c"], ["o"], then_branch=helper.make_graph(nodes, "g", [], []))]
    body = helper.make_graph(nodes, "body", [], [])
    m = Maker(("x", ["t", "b", 3]))
    m.op(kind, rnn(m), out="y", **{"then_branch" if kind == "If" else "body": body})
    with pytest.raises(
        UnsupportedError, match=rf"{kind} node '/{kind.lower()}2': the LSTM node 'hidden away' stands in"
    ):
        from_onnx(m.proto("y"))


def test_our_own_scan_is_refused_without_its_metadata() -> None:
    proto = build_graph(Model([LSTM(uniform(16, 3), uniform(16, 4), cell_clip=0.5)]), "sequence")
    del proto.metadata_props[:]
    with pytest.raises(UnsupportedError, match=r"Scan node 'lstm1': control flow is not read; a loop over steps"):
        from_onnx(proto)


def test_functions_of_the_model_are_refused_with_what_to_do() -> None:
    m = Maker(("x", ["t", "b", 3]))
    m.op("Swish", rnn(m), out="y", domain="theirs")
    with pytest.raises(UnsupportedError, match=r"Swish node '/swish2': it is of the domain 'theirs'.*onnx\.inliner"):
        from_onnx(m.proto("y"))


def test_open_features_and_missing_shapes_are_refused() -> None:
    told = refusal(lambda m: m.op("Identity", rnn(m), out="y"), ("x", ["t", "b", "f"]))
    assert "GRU node '/gru0' reads 2 values a step, expected 3, as its weights say" in told
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
    m.op("Erf", "y", out="z")
    onnx.save(m.proto("z"), tmp_path / "m.onnx")
    assert main(["import", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.safetensors"), "--upto", "y"]) == 0
    assert "not compared the graph names the batch of its states otherwise" in capsys.readouterr().out


def test_an_unknown_keyword_is_no_damage_of_the_graph() -> None:
    graph = build_graph(Model([Elman([[1.0]], [[0.5]])]), "step")
    with pytest.raises(TypeError, match="unexpected keyword argument 'lables'"):
        from_onnx(graph, lables=("a",))  # type: ignore[call-arg]
