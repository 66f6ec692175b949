"""Graphs in smaller formats: they store the model's values, and onnxruntime computes the right results."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.numpy_helper import to_array
from onnx.reference import ReferenceEvaluator

from edge_rnn import Model, quantize, reference
from edge_rnn.formats import Float16, Int4, Int8
from edge_rnn.layers import GRU, INPUT, LSTM, Add, Dense, Elman, Embedding, Standardize
from edge_rnn.quantization import dequantize
from edge_rnn_export import verify
from edge_rnn_export.runtime.session import session
from edge_rnn_export.verification.rounded_reference import RoundedReference
from edge_rnn_export.writers.onnx.precision import at_precision, rounded_vectors
from graphs import graph_of
from onnx_precision import FORMS, OPERATORS, OWN, PRECISIONS, lstm, operators_of, stored

pytestmark = pytest.mark.sampled(1)

CELLS = ["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"]
WAYS = [*zip(FORMS, OPERATORS, strict=True)], [*zip(FORMS, OPERATORS[::-1], strict=True)]
"""Both forms, each with other operators; one after the other has them the other way round."""


def checked(model: Model, folder: Path, *target: Any, steps: int = 60, seed: int = 0) -> onnx.ModelProto:
    """Build the graph for a target, and check that it agrees with the model."""
    proto = graph_of(model, *target)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    report = verify(model, folder / "model.onnx", steps=steps, seed=seed)
    assert report.passed, str(report)
    return proto


@pytest.mark.parametrize(
    ("cell", "precision", "operators", "form"),
    list(itertools.product(CELLS, PRECISIONS, OPERATORS, FORMS)),
)
def test_every_cell_and_target(
    cell: str, precision: Any, operators: Any, form: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = make_model(cell, 3, 13, 2, initial=True, activation="tanh")
    proto = checked(model, tmp_path, form, precision, operators)
    domains = {opset.domain: opset.version for opset in proto.opset_import}
    assert (OWN in domains) == (operators == "onnxruntime" and precision in ("int8", "int4"))
    assert domains[""] == (21 if (precision, operators) == ("int4", "standard") else 17)


@pytest.mark.parametrize(
    ("cell", "precision", "operators", "expected"),
    [
        ("lstm", "int8", "onnxruntime", {"DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}),
        ("lstm", "int4", "onnxruntime", {"MatMulNBits"}),
        ("gru", "int8", "onnxruntime", {"DynamicQuantizeMatMul"}),
        ("elman_tanh", "int8", "onnxruntime", {"DynamicQuantizeMatMul"}),
        ("gru", "int8", "standard", {"DynamicQuantizeLinear", "MatMulInteger"}),
        ("gru", "int8-weights", "onnxruntime", {"GRU", "Cast"}),
        ("gru", "float16", "standard", {"GRU", "Cast"}),
        ("lstm", "int4", "standard", {"LSTM", "Cast"}),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_operators(
    cell: str, precision: Any, operators: Any, expected: set[str], form: Any, make_model: Callable[..., Model]
) -> None:
    found = operators_of(graph_of(make_model(cell, 3, 8), form, precision, operators))
    assert expected <= found
    assert ("Scan" in found) == (form == "sequence" and not found & {"GRU", "LSTM", "DynamicQuantizeLSTM"})


@pytest.mark.parametrize("operators", OPERATORS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("format_", ["int8", "w8a8"])
def test_int8_holds_the_numbers_and_scales_of_the_model(
    format_: str, form: Any, operators: Any, make_model: Callable[..., Model]
) -> None:
    """Values chosen by calibration, bit for bit; an LSTM operator has its gates in another order."""
    recording = np.random.default_rng(0).normal(size=(300, 3))
    for cell in ("gru", "lstm"):
        model = quantize(make_model(cell, 3, 8), format_, calibration=recording)
        layer, head = model.layers
        found = stored(graph_of(model, form, None, operators))
        assert np.array_equal(to_array(found[f"{head.name}.weight.uint8"]).T, head.weight.values + np.int16(128))
        assert to_array(found[f"{head.name}.weight.scale"]).tobytes() == head.weight.scale.tobytes()
        for matrix, name in ((layer.weight_ih, "W"), (layer.weight_hh, "R")):
            if cell == "lstm" and operators == "onnxruntime":
                i, f, g, o = np.split(np.arange(32), 4)
                order = np.concatenate([i, o, f, g])
                values, scale, zero = (to_array(found[f"lstm1.{name}{end}"])[0] for end in ("", ".scale", ".zero"))
                assert zero.dtype == np.uint8
                assert (zero == 128).all()
            else:
                order, key = np.arange(len(matrix.values)), f"{layer.name}.weight_{'ih' if name == 'W' else 'hh'}"
                values, scale = (to_array(found[f"{key}.{end}"]) for end in ("uint8", "scale"))
                assert to_array(found[f"{key}.zero"]) == 128
            assert values.dtype == np.uint8
            assert np.array_equal(values.T, matrix.values[order] + np.int16(128))
            assert scale.tobytes() == matrix.scale[order].tobytes()


@pytest.mark.parametrize("columns", [3, 32, 33, 70])
@pytest.mark.parametrize("operators", OPERATORS)
@pytest.mark.slow
def test_int4_holds_the_numbers_and_scales_of_the_model(columns: int, operators: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(columns)
    model = quantize(Model([Dense(rng.normal(size=(5, columns)))]), "int4")
    (layer,) = model.layers
    assert isinstance(layer.weight, Int4)
    found = stored(checked(model, tmp_path, "step", None, operators))
    tensor = found["dense1.weight.int4"]
    raw = np.frombuffer(tensor.raw_data, np.uint8)
    nibbles = np.stack([raw & 15, raw >> 4], axis=-1).reshape(5, -1)[:, :columns].astype(np.int8)
    if operators == "standard":
        assert tensor.data_type == onnx.TensorProto.INT4
        nibbles = np.where(nibbles > 7, nibbles - 16, nibbles)
    else:
        nibbles = nibbles - 8
    assert np.array_equal(nibbles, layer.weight.values)
    assert to_array(found["dense1.weight.scale"]).tobytes() == layer.weight.scale.tobytes()


def test_float16_and_int8_weights_hold_the_numbers_of_the_model(make_model: Callable[..., Model]) -> None:
    plain = make_model("gru", 3, 8)
    half = quantize(plain, "float16")
    found = stored(graph_of(half))
    matrix = half.layers[0].weight_hh  # type: ignore[attr-defined]
    assert isinstance(matrix, Float16)
    r, z, n = np.split(matrix.values, 3)
    assert to_array(found["gru1.R.float16"]).tobytes() == np.concatenate([z, r, n])[None].tobytes()
    small = quantize(plain, "int8")
    found = stored(graph_of(small, "step", "int8-weights"))
    matrix = small.layers[1].weight  # type: ignore[attr-defined]
    assert isinstance(matrix, Int8)
    assert np.array_equal(to_array(found["dense2.weight.int8"]).T, matrix.values)
    assert np.array_equal(to_array(found["dense2.weight.scale"])[0], matrix.scale)


@pytest.mark.parametrize("precision", ["float16", "int8", "int4"])
def test_precision_is_what_quantize_makes(precision: Any, make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 3, 8)
    ours, theirs = (
        stored(proto) for proto in (graph_of(model, "step", precision), graph_of(quantize(model, precision)))
    )
    assert ours == theirs


def test_matrices_that_have_the_format_keep_it(make_model: Callable[..., Model]) -> None:
    """w8a8 is int8 with 8-bit vectors too, as the graph computes."""
    model = quantize(make_model("gru", 3, 8), {"gru1.weight_hh": "w8a8"})
    held = at_precision(model, "int8")
    assert held.layers[0].weight_hh is model.layers[0].weight_hh  # type: ignore[attr-defined]
    assert {layer: set(found) for layer, found in rounded_vectors(held, "int8").items()} == {
        "gru1": {"weight_ih", "weight_hh"},
        "dense2": {"weight"},
    }


@pytest.mark.parametrize(
    ("cell", "form", "operators"),
    [
        (cell, *way)
        for place, cell in enumerate(["elman_tanh", "gru", "gru_reset_before", "lstm"])
        for way in WAYS[place % 2]
    ],
)
@pytest.mark.slow
def test_formats_side_by_side(
    cell: str, form: Any, operators: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    """Each matrix has a different format: some vectors are rounded, some not, and nothing is refused."""
    model = make_model(cell, 9, 18, 3)
    first, second, third, head = (layer.name for layer in model.layers)
    formats = {
        f"{first}.weight_ih": "sparse:0.5",
        f"{first}.weight_hh": "int8",
        f"{second}.weight_ih": "int4",
        f"{second}.weight_hh": "rank:4",
        f"{third}.weight_ih": "float16",
        f"{third}.weight_hh": "sparse:0.5",
        head: "w8a8",
    }
    checked(quantize(model, formats), tmp_path, form, None, operators)


LSTM_OPTIONS: list[tuple[dict[str, Any], bool]] = [
    ({"peephole": np.linspace(-0.5, 0.5, 21)}, True),
    ({"coupled": "forget"}, True),
    ({"gate_clip": 0.4}, True),
    ({"gate_activation": "hard_sigmoid:0.16:0.5", "cell_activation": "softsign", "output_activation": "elu:0.3"}, True),
    ({"cell_activation": "scaled_tanh:1.2:0.7", "output_activation": "none"}, True),
    ({"peephole": np.linspace(-0.5, 0.5, 21), "coupled": "forget", "gate_clip": 0.5}, True),
    ({"h0": np.linspace(-0.9, 0.9, 7), "c0": np.linspace(1.5, -1.5, 7)}, True),
    ({"coupled": "input"}, False),
    ({"cell_clip": 0.2}, False),
    ({"weight_hr": np.linspace(-0.5, 0.5, 35).reshape(5, 7), "projection_clip": 0.1}, False),
]


@pytest.mark.parametrize(
    ("options", "is_operator", "form", "operators"),
    [(*row, *way) for place, row in enumerate(LSTM_OPTIONS) for way in WAYS[place % 2]],
)
@pytest.mark.slow
def test_options_of_an_lstm_of_8_bits(
    options: dict[str, Any], is_operator: bool, form: Any, operators: Any, tmp_path: Path
) -> None:
    layer = lstm(3, 7, 1, **options)
    model = Model([layer, Dense(np.linspace(-1, 1, 2 * layer.weight_hh.shape[1]).reshape(2, -1))])
    proto = checked(model, tmp_path, form, "int8", operators)
    assert ("DynamicQuantizeLSTM" in operators_of(proto)) == (is_operator and operators == "onnxruntime")


GRU_OPTIONS: list[dict[str, Any]] = [
    {"gate_activation": "hard_sigmoid", "candidate_activation": "leaky_relu:0.1"},
    {"gate_clip": 0.3, "reset_after": False},
    {"gate_clip": 0.3},
]


@pytest.mark.parametrize(
    ("options", "form", "operators"),
    [(options, *way) for place, options in enumerate(GRU_OPTIONS) for way in WAYS[place % 2]],
    ids=str,
)
@pytest.mark.slow
def test_options_of_a_gru_of_8_bits(options: dict[str, Any], form: Any, operators: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    layer = GRU(
        rng.uniform(-0.6, 0.6, (21, 3)), rng.uniform(-0.4, 0.4, (21, 7)), bias_hh=rng.normal(size=21), **options
    )
    checked(Model([layer]), tmp_path, form, "int8", operators)


@pytest.mark.parametrize("precision", ["int8", "int4", "float16"])
@pytest.mark.parametrize("form", FORMS)
def test_wiring_and_layers_without_states(precision: Any, form: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    model = Model(
        [
            Standardize([1.0, -2.0, 0.5], [2.0, 0.5, -1.0], name="scaled"),
            GRU(rng.uniform(-0.5, 0.5, (12, 3)), rng.uniform(-0.5, 0.5, (12, 4)), name="first"),
            Elman(rng.uniform(-0.5, 0.5, (5, 7)), rng.uniform(-0.4, 0.4, (5, 5)), inputs=("scaled", "first")),
            Dense(rng.uniform(-0.5, 0.5, (3, 12)), activation="tanh", inputs=("elman3", "first", INPUT), name="mix"),
            Dense(rng.uniform(-0.5, 0.5, (3, 3)), rng.normal(size=3), activation="softmax"),
            Add(inputs=(INPUT, "dense5", "scaled")),
        ]
    )
    checked(model, tmp_path, form, precision, steps=200)
    table = Model([Embedding(rng.normal(size=(9, 4))), lstm(4, 7, 3)])
    checked(table, tmp_path, form, precision)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["float16", "int8-weights", "int4"])
def test_batches_of_exact_vectors(precision: Any, form: Any, make_model: Callable[..., Model]) -> None:
    """Each item of a batch is a separate stream, from its own state."""
    model = make_model("gru", 3, 7, 2)
    plain = dequantize(at_precision(model, precision))
    run = session(graph_of(model, form, precision).SerializeToString())
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((1 if form == "step" else 20, 4, 3)).astype(np.float32)
    states = {name: rng.uniform(-1, 1, (1, 4, 7)).astype(np.float32) for name in model.initial_state}
    ys, *last = run.run(["y", *(f"{name}_out" for name in states)], {"x": xs, **states})
    for place in range(4):
        expected, end = reference.run(plain, xs[:, place], {name: value[0, place] for name, value in states.items()})
        np.testing.assert_allclose(ys[:, place], expected, atol=3e-6)
        for name, value in zip(states, last, strict=True):
            np.testing.assert_allclose(value[0, place], end[name], atol=3e-6)


@pytest.mark.parametrize("low", [-1.0, 0.0, 2.0])
def test_rounded_vectors_are_those_of_the_onnx_operators(low: float) -> None:
    """Oracle: onnx's own evaluator of DynamicQuantizeLinear and MatMulInteger."""
    rng = np.random.default_rng(1)
    model = Model([Dense(rng.normal(size=(5, 11)), rng.normal(size=5))])
    run = ReferenceEvaluator(graph_of(model, "step", "int8", "standard"))
    held = at_precision(model, "int8")
    plain = dequantize(held)
    rounding = RoundedReference(plain, rounded_vectors(held, "int8"))
    for _ in range(50):
        x = (low + rng.uniform(0, 2, 11)).astype(np.float32)
        ours, _, toss_up = rounding.steps(x[None], {})
        assert not toss_up
        (theirs,) = run.run(["y"], {"x": x[None, None]})
        np.testing.assert_allclose(ours[0], theirs[0, 0], atol=2e-6 * np.abs(x).max() * 11)
        assert np.abs(ours[0] - reference.step(plain, x, {})[0]).max() > 1e-4  # rounding is no small thing


def test_vanishing_and_equal_values() -> None:
    """An empty range has the step 1; one too small for float32 counts as empty, in onnxruntime too."""
    model = Model([Dense([[1.0, -0.5]])])
    run = session(graph_of(model, "step", "int8").SerializeToString())
    held = at_precision(model, "int8")
    rounding = RoundedReference(dequantize(held), rounded_vectors(held, "int8"))
    for x in ([0, 0], [1e-43, 0], [1e-45, -1e-45], [3, 3], [-3, -3]):
        sample = np.array(x, np.float32)
        ours, _, _ = rounding.steps(sample[None], {})
        theirs = run.run(["y"], {"x": sample[None, None]})[0][0]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("operators", OPERATORS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_the_largest_products_do_not_overflow(kind: Any, form: Any, operators: Any) -> None:
    """Weights of 127 and values of 255: pairs of products overflow int16, in which CPUs without VNNI add."""
    size, gates = 16, len(kind.gates)
    ones = np.full((gates * size, size), 1 / (4 * size), np.float32)
    model = Model([kind(ones, np.zeros_like(ones)), Dense(np.full((2, size), 1.0, np.float32))])
    xs = np.full((1, 1, size), 8.0, np.float32)
    run = onnxruntime.InferenceSession(  # as a user makes it, without any option
        graph_of(model, form, "int8", operators).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    states = {name: np.zeros((1, 1, size), np.float32) for name in model.initial_state}
    (y,) = run.run(["y"], {"x": xs, **states})
    np.testing.assert_allclose(y[0], reference.run(model, xs[:, 0])[0], rtol=5e-3)  # half of 255 steps, twice
