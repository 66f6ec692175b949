"""``from_onnx`` on hand-made graphs: nodes that exporters write around recurrent nodes, and refused graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn.layers import Embedding
from edge_rnn_export import from_onnx
from onnx_graphs import BODIES, GATES, HIDDEN, Maker, body, close, expected, ort, rnn, samples, uniform


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
    """Weights in another type, cast where the node reads them, as in compressed files."""
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
    """Equal to onnxruntime, with dynamic or fixed axes, and the batch first, second or missing."""
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
    """As in PyTorch: states of two layers in one input, and in one output."""
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
    """The output is the last state of the layer that no other layer reads."""
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
        with pytest.raises(UnsupportedError, match=r"Softmax node '/softmax2': it works along axis 1 of \(5, 1, 4\)"):
            from_onnx(m.proto("y"))


@pytest.mark.slow
def test_large_weights_are_read() -> None:
    m = Maker(("x", ["t", "b", 3]))
    arrays = [np.ones((1, 4096, reads), np.float32) for reads in (3, 1024)]
    for reads in arrays:
        x = m.nodes[-1].output[0] if m.nodes else "x"
        y = m.op("LSTM", x, reads, np.ones((1, 4096, 1024), np.float32), outputs=3, hidden_size=1024)[0]
        m.op("Squeeze", y, [1])
    assert from_onnx(m.proto(m.nodes[-1].output[0]).SerializeToString()).num_parameters == 4096 * (3 + 3 * 1024)
