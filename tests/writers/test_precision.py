"""Graphs of smaller formats: what is stored is what the model holds, and onnxruntime computes what it should."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.numpy_helper import from_array, to_array
from onnx.reference import ReferenceEvaluator

from edge_rnn import Model, quantize, reference
from edge_rnn.errors import InputError, ModelError
from edge_rnn.formats import Float16, Int4, Int8
from edge_rnn.layers import GRU, INPUT, LSTM, Add, Dense, Elman, Embedding, Standardize
from edge_rnn.quantization import dequantize
from edge_rnn_export import OrtStream, to_onnx, to_ort, verify
from edge_rnn_export.exporting import onnx_file
from edge_rnn_export.runtime.session import session
from edge_rnn_export.verification.check import TOLERANCE
from edge_rnn_export.verification.rounded_reference import RoundedReference
from edge_rnn_export.writers.onnx.graph import build_graph
from edge_rnn_export.writers.onnx.precision import at_precision, rounded_vectors
from grids import thinned

CELLS = ["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"]
PRECISIONS = ["float32", "float16", "int8", "int8-weights", "int4"]
OPERATORS = ["onnxruntime", "standard"]
FORMS = ["step", "sequence"]
OWN = "com.microsoft"


def checked(model: Model, folder: Path, *target: Any, steps: int = 60, seed: int = 0) -> onnx.ModelProto:
    """The graph for a target, found to agree with the model."""
    proto = build_graph(model, *target)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    report = verify(model, folder / "model.onnx", steps=steps, seed=seed)
    assert report.passed, str(report)
    return proto


def stored(proto: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in proto.graph.initializer}


def operators_of(proto: onnx.ModelProto) -> set[str]:
    graphs = [proto.graph]
    for graph in graphs:
        graphs += [each.g for node in graph.node for each in node.attribute if each.HasField("g")]
    return {node.op_type for graph in graphs for node in graph.node}


# What the usual run takes of the grid: each precision with LSTM in steps, each other cell somewhere in sequences.
USUAL_IN_SEQUENCES = {
    ("lstm", "int8-weights"),
    ("gru", "int8"),
    ("gru", "float16"),
    ("gru_reset_before", "int4"),
    ("elman_tanh", "int8"),
    ("elman_relu", "float32"),
}


@pytest.mark.parametrize(
    ("cell", "precision", "operators", "form"),
    thinned(
        itertools.product(CELLS, PRECISIONS, OPERATORS, FORMS),
        lambda cell, precision, operators, form: (
            cell == "lstm" if form == "step" else (cell, precision) in USUAL_IN_SEQUENCES
        ),
    ),
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
    found = operators_of(build_graph(make_model(cell, 3, 8), form, precision, operators))
    assert expected <= found
    assert ("Scan" in found) == (form == "sequence" and not found & {"GRU", "LSTM", "DynamicQuantizeLSTM"})


@pytest.mark.parametrize("operators", OPERATORS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("format_", ["int8", "w8a8"])
def test_int8_holds_the_numbers_and_scales_of_the_model(
    format_: str, form: Any, operators: Any, make_model: Callable[..., Model]
) -> None:
    """Those that a recording chose, bit for bit; an LSTM operator has its gates in another order."""
    recording = np.random.default_rng(0).normal(size=(300, 3))
    for cell in ("gru", "lstm"):
        model = quantize(make_model(cell, 3, 8), format_, calibration=recording)
        layer, head = model.layers
        found = stored(build_graph(model, form, None, operators))
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
    found = stored(build_graph(half))
    matrix = half.layers[0].weight_hh  # type: ignore[attr-defined]
    assert isinstance(matrix, Float16)
    r, z, n = np.split(matrix.values, 3)
    assert to_array(found["gru1.R.float16"]).tobytes() == np.concatenate([z, r, n])[None].tobytes()
    small = quantize(plain, "int8")
    found = stored(build_graph(small, "step", "int8-weights"))
    matrix = small.layers[1].weight  # type: ignore[attr-defined]
    assert isinstance(matrix, Int8)
    assert np.array_equal(to_array(found["dense2.weight.int8"]).T, matrix.values)
    assert np.array_equal(to_array(found["dense2.weight.scale"])[0], matrix.scale)


@pytest.mark.parametrize("precision", ["float16", "int8", "int4"])
def test_precision_is_what_quantize_makes(precision: Any, make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 3, 8)
    ours, theirs = (
        stored(proto) for proto in (build_graph(model, "step", precision), build_graph(quantize(model, precision)))
    )
    assert ours == theirs


def test_matrices_that_have_the_format_keep_it(make_model: Callable[..., Model]) -> None:
    """w8a8 is int8 with vectors of 8 bits too, which is what the graph computes."""
    model = quantize(make_model("gru", 3, 8), {"gru1.weight_hh": "w8a8"})
    held = at_precision(model, "int8")
    assert held.layers[0].weight_hh is model.layers[0].weight_hh  # type: ignore[attr-defined]
    assert {layer: set(found) for layer, found in rounded_vectors(held, "int8").items()} == {
        "gru1": {"weight_ih", "weight_hh"},
        "dense2": {"weight"},
    }


@pytest.mark.parametrize(
    ("cell", "form", "operators"),
    thinned(
        itertools.product(["elman_tanh", "gru", "gru_reset_before", "lstm"], FORMS, OPERATORS),
        lambda *row: row in {("lstm", "step", "onnxruntime"), ("lstm", "sequence", "standard")},
    ),
)
def test_formats_side_by_side(
    cell: str, form: Any, operators: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    """Each matrix in another format: some of what is multiplied is rounded, some not; nothing is refused."""
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


WIDE = {"weight_ih": 0.6, "weight_hh": 0.4, "bias_ih": 0.3, "bias_hh": 0.3}


def lstm(reads: int, hidden: int, seed: int, **options: Any) -> LSTM:
    rng = np.random.default_rng(seed)
    projected = 5 if "weight_hr" in options else hidden
    shapes = {"weight_ih": (4 * hidden, reads), "weight_hh": (4 * hidden, projected)}
    shapes |= {"bias_ih": (4 * hidden,), "bias_hh": (4 * hidden,)}
    return LSTM(**{name: rng.uniform(-WIDE[name], WIDE[name], shape) for name, shape in shapes.items()}, **options)  # type: ignore[arg-type]


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
    thinned(
        [(*row, *way) for row in LSTM_OPTIONS for way in itertools.product(FORMS, OPERATORS)],
        lambda options, _, form, operators: (
            (form, operators) == ("step", "onnxruntime")
            and (options.keys() >= {"peephole", "coupled", "gate_clip"} or "projection_clip" in options)
        ),
    ),
)
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
    thinned(
        itertools.product(GRU_OPTIONS, FORMS, OPERATORS),
        lambda options, form, operators: (form, operators) == ("step", "onnxruntime") and "reset_after" in options,
    ),
    ids=str,
)
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
    """Each of a batch is a stream of its own, from a state of its own."""
    model = make_model("gru", 3, 7, 2)
    plain = dequantize(at_precision(model, precision))
    run = session(build_graph(model, form, precision).SerializeToString())
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
    run = ReferenceEvaluator(build_graph(model, "step", "int8", "standard"))
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
    """A range of nothing has the step 1; one too small for float32 counts as nothing, in onnxruntime too."""
    model = Model([Dense([[1.0, -0.5]])])
    run = session(build_graph(model, "step", "int8").SerializeToString())
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
    """All weights 127 and all values 255: a pair of them is beyond int16, in which processors without VNNI add."""
    size, gates = 16, len(kind.gates)
    ones = np.full((gates * size, size), 1 / (4 * size), np.float32)
    model = Model([kind(ones, np.zeros_like(ones)), Dense(np.full((2, size), 1.0, np.float32))])
    xs = np.full((1, 1, size), 8.0, np.float32)
    run = onnxruntime.InferenceSession(  # as a user makes it, without any option
        build_graph(model, form, "int8", operators).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    states = {name: np.zeros((1, 1, size), np.float32) for name in model.initial_state}
    (y,) = run.run(["y"], {"x": xs, **states})
    np.testing.assert_allclose(y[0], reference.run(model, xs[:, 0])[0], rtol=5e-3)  # half of 255 steps, twice


def tampered(model: Model, path: Path, tensor: str, change: Callable[[np.ndarray], np.ndarray], *target: Any) -> Path:
    proto = build_graph(model, *target)
    kept = stored(proto)[tensor]
    array = to_array(kept)
    kept.CopyFrom(from_array(change(array.copy()).astype(array.dtype), tensor))
    path.write_bytes(proto.SerializeToString())
    return path


def one_more(array: np.ndarray) -> np.ndarray:
    array.flat[3] += 1 if array.flat[3] < 255 else -1
    return array


@pytest.mark.parametrize("form", thinned(FORMS, lambda form: form == "step"))
@pytest.mark.parametrize(
    ("cell", "tensor", "change"),
    [
        ("gru", "gru1.weight_ih.uint8", one_more),
        ("gru", "gru2.weight_hh.uint8", one_more),
        ("gru", "gru1.weight_hh.scale", lambda scale: scale * 1.002),
        ("gru", "gru2.bias_hh", lambda bias: bias + 2e-4),
        ("lstm", "lstm2.R", one_more),
        ("lstm", "lstm1.W.scale", lambda scale: scale[:, ::-1]),
        ("lstm", "dense3.weight.uint8", one_more),
    ],
)
def test_small_faults_are_found_in_spite_of_rounding(
    cell: str, tensor: str, change: Any, form: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    """One of 127 steps of one weight, far below what rounding of vectors does over a run."""
    model = make_model(cell, 3, 12, 2)
    report = verify(model, tampered(model, tmp_path / "m.onnx", tensor, change, form, "int8"), steps=100)
    assert not report.passed
    assert report.reference_vs_stream <= TOLERANCE
    assert "FAILED" in str(report)


def test_a_loop_that_forgets_its_state_is_found(make_model: Callable[..., Model], tmp_path: Path) -> None:
    """Calls with one sample do not show it; those with two do."""
    model = make_model("elman_tanh", 3, 12)
    proto = build_graph(model, "sequence", "int8")
    (scan,) = (node for node in proto.graph.node if node.op_type == "Scan")
    (body,) = (each.g for each in scan.attribute if each.name == "body")
    (product,) = (node for node in body.node if node.op_type == "DynamicQuantizeMatMul")
    outer = scan.input[0]
    product.input[0] = outer  # the state before the first step, in every step
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    report = verify(model, tmp_path / "m.onnx", steps=50)
    assert all(each.passed for each in report.deviations)
    assert not report.passed
    assert "Two samples in one call give another elman1.h and y than they should" in str(report)


def test_ranges_that_a_graph_does_not_clip_to_are_told(tmp_path: Path) -> None:
    plain = quantize(Model([Dense([[1.0, -0.5]])]), "w8a8")
    for given, told in ((None, False), (2.0, True)):
        (layer,) = plain.layers
        model = Model([replace(layer, weight=replace(layer.weight, input_range=given))])  # type: ignore[attr-defined]
        report = to_onnx(model, tmp_path / "m.onnx", steps=20)
        assert ("Note: The model states ranges beyond which Stream clips vectors" in str(report)) == told


def test_what_rounding_does_is_told(make_model: Callable[..., Model], tmp_path: Path) -> None:
    model = make_model("lstm", 3, 24)
    report = to_onnx(model, tmp_path / "m.onnx", precision="int8")
    assert report.single_steps
    assert [row.name for row in report.rounding] == ["y", "lstm1.h", "lstm1.c"]
    for row in report.rounding:
        # 255 steps of the range: some thousandths; 16-bit vectors a hundredth of that; weights of 8 bits as much again.
        assert 5e-4 < row.onnx < 2e-2
        assert row.stream < row.onnx / 10
        assert row.total is not None
        assert row.total > row.stream
    assert report.drift_of_rounding == max(row.onnx for row in report.rounding)
    exact = to_onnx(model, tmp_path / "m.onnx", precision="int8-weights", steps=200)
    assert not exact.single_steps
    assert exact.drift_of_rounding < 1e-5
    own = to_onnx(quantize(model, "int8"), tmp_path / "m.onnx", steps=200)
    assert all(row.total is None for row in own.rounding)
    assert to_onnx(model, tmp_path / "m.onnx", steps=20).rounding == ()


def test_size_and_time_are_told(make_model: Callable[..., Model], tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    report = to_onnx(make_model("gru", 2, 4), path, precision="int8", steps=20)
    assert report.cost is not None
    assert report.cost.nbytes == path.stat().st_size
    assert report.cost.ns > 0
    assert f"bytes  {report.cost.nbytes:,}, in float32 {report.cost.float32_nbytes:,}: " in str(report)
    slow, quick = (str(replace(report.cost, ns=ns, float32_ns=1000.0)) for ns in (2000.0, 500.0))
    assert "time   2.0 µs a step, in float32 1.0 µs: SLOWER here, 0.50 times as quick" in slow
    assert "in float32 1.0 µs: 2.00 times as quick" in quick
    assert to_onnx(make_model("gru", 2, 4), path, steps=20).cost is None


@pytest.mark.parametrize(
    ("precision", "least"), [("float16", 1.9), ("int8", 3.7), ("int8-weights", 3.7), ("int4", 6.0)]
)
@pytest.mark.parametrize("operators", OPERATORS)
def test_files_are_smaller(precision: Any, operators: Any, least: float, make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 64, 256)
    small, whole = (build_graph(model, "step", each, operators).ByteSize() for each in (precision, "float32"))
    assert whole / small >= least


def test_float32_is_what_smaller_formats_stand_for(make_model: Callable[..., Model]) -> None:
    model = quantize(make_model("gru", 3, 8), "int8")
    ours = build_graph(model, "step", "float32")
    theirs = build_graph(dequantize(model))
    assert stored(ours) == stored(theirs)
    assert operators_of(ours) == operators_of(theirs) == {"GRU", "MatMul", "Add"}


@pytest.mark.parametrize(
    ("formats", "options", "message"),
    [
        (
            {},
            {"precision": "int2"},
            r"precision got 'int2', expected one of 'float32', 'float16', 'int8', 'int8-weights'",
        ),
        ({}, {"operators": "all"}, r"operators got 'all', expected one of 'onnxruntime'"),
        (
            {"gru1.weight_hh": "int4"},
            {"precision": "int8"},
            r"gru1\.weight_hh in the format int4 and the precision 'int8'",
        ),
        ({"gru1.weight_ih": "rank:1"}, {"precision": "float16"}, r"in the format rank and the precision 'float16'"),
    ],
)
def test_what_is_refused(
    formats: dict[str, str], options: dict[str, Any], message: str, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = make_model("gru", 3, 6)
    with pytest.raises(InputError, match=message):
        to_onnx(quantize(model, formats) if formats else model, tmp_path / "m.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dense1\.weight: float16 does not hold the weight 1e\+05"):
        to_onnx(Model([Dense([[1e5]])]), tmp_path / "m.onnx", precision="float16")


def test_graph_of_another_precision_is_verified_as_what_it_is(make_model: Callable[..., Model], tmp_path: Path) -> None:
    """The file says at which precision it was written, and for which model."""
    model = make_model("gru", 3, 12)
    for precision in PRECISIONS:
        to_onnx(model, tmp_path / "m.onnx", precision=precision, steps=20)  # type: ignore[arg-type]
        report = verify(model, tmp_path / "m.onnx", steps=20)
        assert report.passed
        assert report.single_steps == (precision == "int8")
    assert not verify(quantize(model, "int4"), tmp_path / "m.onnx", steps=20).passed


@pytest.mark.parametrize("old", [None, b"what was there"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ModelError])
def test_no_file_appears_that_was_not_verified(
    old: bytes | None, error: type[BaseException], make_model: Callable[..., Model], tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "m.onnx"
    if old is not None:
        path.write_bytes(old)

    def interrupted(model: Model, aside: Path, **_: Any) -> None:
        assert aside.stat().st_size > 100
        raise error

    monkeypatch.setattr(onnx_file, "verify", interrupted)
    with pytest.raises(error):
        to_onnx(make_model("gru", 2, 4), path, precision="int8")
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([] if old is None else [old])


@pytest.mark.parametrize("precision", ["float16", "int8", "int4"])
@pytest.mark.parametrize("operators", OPERATORS)
def test_ort_files_and_streams(
    precision: Any, operators: Any, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    model = make_model("lstm", 3, 8, initial=True)
    report = to_ort(model, tmp_path / "m.ort", precision=precision, operators=operators, steps=30)
    assert report.passed
    assert report.cost is not None
    assert report.cost.nbytes == (tmp_path / "m.ort").stat().st_size
    listed = (tmp_path / "m.required_operators.config").read_text(encoding="utf-8")
    if operators == "onnxruntime" and precision != "float16":
        assert f"{OWN};1;" in listed
        assert {"int8": "DynamicQuantizeLSTM", "int4": "MatMulNBits"}[precision] in listed
    to_onnx(model, tmp_path / "m.onnx", precision=precision, operators=operators, steps=30)
    xs = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    ours, theirs = OrtStream(tmp_path / "m.onnx"), OrtStream(tmp_path / "m.ort")
    np.testing.assert_allclose(ours.run(xs), theirs.run(xs), atol=3e-6)
    # Some hundredths: weights of 4 bits, and vectors of 8.
    np.testing.assert_allclose(ours.run(xs), OrtStream(build_graph(model).SerializeToString()).run(xs), atol=0.1)
