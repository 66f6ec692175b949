"""ONNX step graphs: their contents, and their outputs in onnxruntime against the reference."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest

from edge_rnn import reference
from edge_rnn.activation import ACTIVATIONS
from edge_rnn.errors import UnsupportedError
from edge_rnn.layers import GRU, INPUT, LSTM, Add, Dense, Elman, Embedding, Layer, Standardize
from edge_rnn.model import Model
from edge_rnn_export.runtime.session import session
from graphs import graph_of

CELLS = ["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"]
STEPS = 200
# onnxruntime rounds to float32 in every operator; what networks with ordinary weights are held to everywhere.
TOLERANCE = 3e-6


def graph_error(model: Model, steps: int = STEPS) -> float:
    """Largest difference of outputs and states from the reference, relative to values above 1, state carried."""
    run = session(graph_of(model).SerializeToString())
    names = list(model.initial_state)
    state = {name: value[None, None] for name, value in model.initial_state.items()}
    exact = reference.initial_state(model)
    worst = 0.0
    for x in np.random.default_rng(5).standard_normal((steps, model.input_size)).astype(np.float32):
        y, *values = run.run(["y", *(f"{name}_out" for name in names)], {"x": x[None, None], **state})
        state = dict(zip(names, values, strict=True))
        expected, exact = reference.step(model, x, exact)
        assert y.shape == (1, 1, model.output_size)
        for got, wanted in [(y, expected), *((state[name], exact[name]) for name in names)]:
            worst = max(worst, float(np.abs(got[0, 0] - wanted).max() / max(1.0, np.abs(wanted).max())))
    return worst


@pytest.mark.parametrize(
    ("cell", "layers", "bias", "initial"),
    list(itertools.product(CELLS, [1, 3], [True, False], [True, False])),
)
@pytest.mark.sampled(6)
def test_cells_and_their_options(
    cell: str, layers: int, bias: bool, initial: bool, make_model: Callable[..., Model]
) -> None:
    assert graph_error(make_model(cell, 3, 7, layers, bias=bias, initial=initial)) <= TOLERANCE


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("input_size", "hidden_size"), [(1, 1), (1, 8), (13, 33), (40, 128)])
@pytest.mark.sampled(5)
def test_sizes(cell: str, input_size: int, hidden_size: int, make_model: Callable[..., Model]) -> None:
    assert graph_error(make_model(cell, input_size, hidden_size, head=2), steps=60) <= TOLERANCE


@pytest.mark.parametrize("only", ["bias_ih", "bias_hh"])
@pytest.mark.parametrize("cls", [Elman, GRU, LSTM])
def test_one_bias_of_two(cls: type[Any], only: str) -> None:
    rng = np.random.default_rng(3)
    rows = 4 * len(cls.gates)
    cell = cls(rng.uniform(-1, 1, (rows, 2)), rng.uniform(-0.5, 0.5, (rows, 4)), **{only: rng.uniform(-1, 1, rows)})
    assert graph_error(Model([cell])) <= TOLERANCE


@pytest.mark.parametrize("activation", Dense.ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.sampled(4)
def test_dense(activation: str, bias: bool) -> None:
    rng = np.random.default_rng(4)
    layers = [
        Dense(rng.normal(size=(5, 3)), rng.normal(size=5) if bias else None, activation=activation),  # type: ignore[arg-type]
        Dense(rng.normal(size=(2, 5)) / 2),
    ]
    assert graph_error(Model(layers)) <= TOLERANCE
    assert graph_error(Model(layers[:1])) <= TOLERANCE


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layer_at_the_end_gives_y(cell: str, make_model: Callable[..., Model]) -> None:
    assert graph_error(make_model(cell, 2, 5, 2, head=0)) <= TOLERANCE


def test_skips_concatenation_and_scaling() -> None:
    rng = np.random.default_rng(6)

    def gru(reads: int, hidden: int, **options: Any) -> GRU:
        shapes = [(3 * hidden, reads), (3 * hidden, hidden), (3 * hidden,), (3 * hidden,)]
        return GRU(*(rng.uniform(-0.5, 0.5, shape) for shape in shapes), **options)

    model = Model(
        [
            Standardize([1.0, -2.0, 0.5], [2.0, 0.5, -1.0], name="scaled"),
            gru(3, 4, name="first"),
            gru(7, 5, name="second", inputs=("scaled", "first"), h0=rng.uniform(-1, 1, 5)),
            Dense(rng.uniform(-0.5, 0.5, (3, 12)), activation="tanh", inputs=("second", "first", INPUT), name="mix"),
            Add(inputs=(INPUT, "mix", "scaled")),
        ]
    )
    assert graph_error(model) <= TOLERANCE
    assert {node.op_type for node in graph_of(model).graph.node} == {
        "Sub", "Div", "GRU", "Concat", "MatMul", "Tanh", "Sum",
    }  # fmt: skip


def test_names_shapes_and_versions(make_model: Callable[..., Model]) -> None:
    proto = graph_of(make_model("lstm", 3, 4, 2, head=2))

    def shapes(values: Any) -> dict[str, list[int | str]]:
        return {value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim] for value in values}

    states = ["lstm1.h", "lstm1.c", "lstm2.h", "lstm2.c"]
    assert shapes(proto.graph.input) == {"x": [1, "batch", 3]} | {name: [1, "batch", 4] for name in states}
    assert shapes(proto.graph.output) == {"y": [1, "batch", 2]} | {f"{name}_out": [1, "batch", 4] for name in states}
    whole = graph_of(make_model("lstm", 3, 4, 2, head=2), "sequence")
    assert shapes(whole.graph.input)["x"] == ["time", "batch", 3]
    assert shapes(whole.graph.output)["y"] == ["time", "batch", 2]
    assert [node.op_type for node in proto.graph.node] == ["LSTM", "LSTM", "MatMul", "Add"]
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 17)]
    assert proto.ir_version == 8
    assert proto.producer_name == "edge_rnn"


@pytest.mark.parametrize(
    ("cell", "operator", "attributes"),
    [
        ("elman_tanh", "RNN", {"hidden_size": 4, "activations": [b"Tanh"]}),
        ("elman_relu", "RNN", {"hidden_size": 4, "activations": [b"Relu"]}),
        ("gru", "GRU", {"hidden_size": 4, "linear_before_reset": 1}),
        ("gru_reset_before", "GRU", {"hidden_size": 4, "linear_before_reset": 0}),
        ("lstm", "LSTM", {"hidden_size": 4}),
    ],
)
def test_attributes(cell: str, operator: str, attributes: dict[str, Any], make_model: Callable[..., Model]) -> None:
    node = graph_of(make_model(cell, 3, 4)).graph.node[0]
    assert node.op_type == operator
    assert {given.name: onnx.helper.get_attribute_value(given) for given in node.attribute} == attributes


def test_gates_stand_in_onnx_order() -> None:
    def weights(cls: type[Any]) -> list[float]:
        gates = np.repeat(np.arange(len(cls.gates)), 2).astype(np.float32)
        proto = graph_of(Model([cls(np.tile(gates[:, None], 3), np.tile(gates[:, None], 2))]))
        arrays = {array.name.partition(".")[2]: onnx.numpy_helper.to_array(array) for array in proto.graph.initializer}
        assert np.array_equal(arrays["W"][0, :, 0], arrays["R"][0, :, 0])
        assert "B" not in arrays
        return arrays["W"][0, ::2, 0].tolist()

    assert weights(LSTM) == [0, 3, 1, 2]  # i o f g out of i f g o
    assert weights(GRU) == [1, 0, 2]  # z r n out of r z n


def test_metadata_has_what_a_deployment_needs(make_model: Callable[..., Model]) -> None:
    model = make_model(
        "gru", 2, 3, head=2, initial=True,
        name="wrist", labels=("rest", "move"), sample_rate_hz=10, input_names=("ax", "ay"), input_units=("g", "g"),
    )  # fmt: skip
    properties = session(graph_of(model).SerializeToString()).get_modelmeta().custom_metadata_map
    told = json.loads(properties["edge_rnn"])
    assert told.pop("version")
    start = told.pop("initial_state")
    assert list(start) == ["gru1.h"]
    assert np.array_equal(np.float32(start["gru1.h"]), model.initial_state["gru1.h"])
    assert told == {
        "format": 1, "form": "step", "precision": None, "head": "model", "vocabulary": [],
        "fingerprint": model.fingerprint, "name": "wrist", "labels": ["rest", "move"],
        "sample_rate_hz": 10.0, "input_names": ["ax", "ay"], "input_units": ["g", "g"], "input_size": 2,
        "layers": [
            {"kind": "GRU", "name": "gru1", "inputs": [], "options": {"reset_after": True},
             "arrays": ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "h0"]},
            {"kind": "Dense", "name": "dense2", "inputs": [], "options": {"activation": "none"},
             "arrays": ["weight", "bias"]},
        ],
    }  # fmt: skip


def test_states_that_start_at_zero_are_not_in_the_metadata(make_model: Callable[..., Model]) -> None:
    (entry,) = graph_of(make_model("lstm", 2, 3)).metadata_props
    assert json.loads(entry.value)["initial_state"] == {}


def test_equal_models_give_equal_bytes(make_model: Callable[..., Model]) -> None:
    first, second = (graph_of(make_model("gru", 2, 3)).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@dataclass(frozen=True, slots=True, eq=False)
class Twice(Layer):
    """Kind of layer without an ONNX form."""

    def output_size(self, input_sizes: Any) -> int:
        return int(sum(input_sizes))


def test_layer_without_an_onnx_form_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"no ONNX form for Twice 'twice1'; expected one of Elman, LSTM, GRU"):
        graph_of(Model([Twice()], input_size=2))


def weights(gates: int, inputs: int, hidden: int) -> dict[str, Any]:
    rng = np.random.default_rng([gates, inputs, hidden])

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-0.3, 0.3, shape).astype(np.float32)

    shapes = {
        "weight_ih": (gates * hidden, inputs),
        "weight_hh": (gates * hidden, hidden),
        "bias_ih": (gates * hidden,),
    }
    return {name: uniform(*shape) for name, shape in shapes.items()} | {"bias_hh": uniform(gates * hidden)}


OPTIONS: list[tuple[str, Layer]] = [
    ("peephole", LSTM(**weights(4, 3, 7), peephole=np.linspace(-0.5, 0.5, 21))),
    ("forget coupled", LSTM(**weights(4, 3, 7), coupled="forget")),
    ("gate clip", LSTM(**weights(4, 3, 7), gate_clip=0.2)),
    ("hard sigmoid", LSTM(**weights(4, 3, 7), gate_activation="hard_sigmoid:0.16:0.5", cell_activation="softsign")),
    ("two parameters", LSTM(**weights(4, 3, 7), cell_activation="scaled_tanh:1.2:0.7", output_activation="elu:0.3")),
    ("gru", GRU(**weights(3, 3, 7), gate_activation="hard_sigmoid", candidate_activation="leaky_relu:0.1")),
    ("gru clip", GRU(**weights(3, 3, 7), gate_clip=0.3, reset_after=False)),
    *((f"elman {name}", Elman(**weights(1, 3, 7), activation=name)) for name in ACTIVATIONS),
    ("elman clip", Elman(**weights(1, 3, 7), gate_clip=0.1)),
]


@pytest.mark.parametrize("layer", [row[1] for row in OPTIONS], ids=[row[0] for row in OPTIONS])
@pytest.mark.sampled(8)
def test_options_of_cells(layer: Layer) -> None:
    assert graph_error(Model([layer, Dense(np.ones((2, 7)) / 7)])) <= TOLERANCE


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "leaky_relu:0.2", "affine:0.5:0.25", "scaled_tanh:2:0.5"])
def test_activations_of_dense(activation: str) -> None:
    assert graph_error(Model([Dense(weights(1, 3, 7)["weight_ih"], activation=activation)])) <= TOLERANCE


def test_embedding() -> None:
    table = weights(1, 4, 9)["weight_ih"]
    assert graph_error(Model([Embedding(table), GRU(**weights(3, 4, 7))])) <= TOLERANCE


DECOMPOSED: list[dict[str, Any]] = [
    {"weight_hr": np.linspace(-0.3, 0.3, 49).reshape(7, 7)},
    {"weight_hr": np.linspace(-0.3, 0.3, 49).reshape(7, 7), "projection_clip": 0.1},
    {"cell_clip": 0.2},
    {"coupled": "input", "peephole": np.linspace(-0.5, 0.5, 21)},
    {"coupled": "forget", "cell_clip": 0.3, "gate_clip": 0.5, "gate_activation": "hard_sigmoid"},
    {"cell_clip": 0.5, "cell_activation": "scaled_tanh:1.2:0.7", "output_activation": "none"},
]


@pytest.mark.parametrize("options", DECOMPOSED, ids=str)
@pytest.mark.sampled(2)
def test_options_that_the_operator_lacks(options: dict[str, Any]) -> None:
    """Step by step, and as sequences in a batch, in which each stream has its own state."""
    model = Model([LSTM(**weights(4, 3, 7), **options), LSTM(**weights(4, 7, 7), **options), Dense(np.ones((2, 7)))])
    assert graph_error(model) <= TOLERANCE
    run = session(graph_of(model, "sequence").SerializeToString())
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((20, 3, 3)).astype(np.float32)
    states = {name: rng.uniform(-1, 1, (1, 3, 7)).astype(np.float32) for name in model.initial_state}
    ys, *last = run.run(["y", *(f"{name}_out" for name in states)], {"x": xs, **states})
    for place in range(3):
        own = {name: value[0, place] for name, value in states.items()}
        expected, end = reference.run(model, xs[:, place], own)
        np.testing.assert_allclose(ys[:, place], expected, atol=TOLERANCE)
        for name, value in zip(states, last, strict=True):
            np.testing.assert_allclose(value[0, place], end[name], atol=TOLERANCE)


@pytest.mark.parametrize("cell", CELLS)
def test_batches_of_sequences(cell: str, make_model: Callable[..., Model]) -> None:
    """Each item of a batch is a separate stream, from its own state."""
    model = make_model(cell, 3, 7, 2, activation="softmax")
    run = session(graph_of(model, "sequence").SerializeToString())
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((20, 4, 3)).astype(np.float32)
    states = {name: rng.uniform(-1, 1, (1, 4, 7)).astype(np.float32) for name in model.initial_state}
    outputs = ["y", *(f"{name}_out" for name in states)]
    ys, *last = run.run(outputs, {"x": xs, **states})
    for place in range(4):
        own = {name: value[0, place] for name, value in states.items()}
        expected, end = reference.run(model, xs[:, place], own)
        np.testing.assert_allclose(ys[:, place], expected, atol=TOLERANCE)
        for name, value in zip(states, last, strict=True):
            np.testing.assert_allclose(value[0, place], end[name], atol=TOLERANCE)
