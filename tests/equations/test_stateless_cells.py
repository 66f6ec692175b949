"""Layers without states that are equations: functions, graphs made by hand, and cells that only delay."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import doors
import edge_rnn_export
from edge_rnn import GRU, Dense, Model, Stream, cell, load, quantize, reference, save
from edge_rnn.equations import clip, concat, log_softmax, mean, sigmoid, softmax, split, sqrt, tanh, total, variance
from edge_rnn.equations.graph import Builder
from edge_rnn.errors import InputError, ModelError
from edge_rnn.layers import Cell
from edge_rnn.quantization import calibrate
from edge_rnn.streams.planner import plan_of
from error_bounds import bounded_steps
from normals import normal

pytestmark = pytest.mark.sampled(2)


@cell
def layer_norm(p: Any, x: Any) -> Any:
    return (x - mean(x)) / sqrt(variance(x) + 1e-5) * p.scale + p.shift, {}


@cell
def rms_norm(p: Any, x: Any) -> Any:
    return x / sqrt(mean(x**2) + p.epsilon) * p.scale, {}


@cell
def glu(p: Any, x: Any) -> Any:
    a, b = split(x, 2)
    return a * sigmoid(b), {}


@cell
def gated(p: Any, x: Any) -> Any:
    a, b = split(p.w @ x + p.b, 2)
    return tanh(p.v @ (a * sigmoid(b))), {}


@cell
def shares(p: Any, x: Any) -> Any:
    return softmax(x), {}


@cell
def logits(p: Any, x: Any) -> Any:
    return log_softmax(p.w @ x), {}


@cell
def clipped(p: Any, x: Any) -> Any:
    return clip(x, p.limit), {}


@cell
def middle(p: Any, x: Any) -> Any:
    return x[2:5], {}


@cell
def constant(p: Any, x: Any) -> Any:
    return p.b, {}


@cell
def delay(p: Any, x: Any, d: Any) -> Any:
    return concat(x, d), {"d": x}


@cell
def summed(p: Any, x: Any, s: Any) -> Any:
    s = clip(0.5 * s + x, 4.0)
    return s / (1 + total(abs(s))), {"s": s}


def by_hand() -> Cell:
    """Parts of an input, a product, a number, a reduction and a concatenation, without a function."""
    builder = Builder(6, {}, {"w": (4, 3), "gain": ()})
    x = builder.input()
    left, right = builder.part(x, 0, 3), builder.part(x, 3, 3)
    product = builder.apply("add", builder.product("w", left), builder.number(2.0))
    scaled = builder.apply("mul", builder.apply("total", right), builder.part(x, 1, 2))
    gain = builder.apply("mul", builder.part(right, 1, 1), builder.parameter("gain"))
    graph = builder.graph(builder.concat(product, scaled, right, gain), {})
    return Cell(equation=graph, parameters={"w": normal(0, 4, 3), "gain": 0.5}, starts={})


LAYERS: dict[str, Callable[[], Cell]] = {
    "glu": lambda: glu(input_size=6),
    "layer norm": lambda: layer_norm(scale=1 + normal(0, 6), shift=normal(1, 6)),
    "gated": lambda: gated(w=normal(0, 14, 6), b=normal(1, 14), v=normal(2, 5, 7)),
    "rms norm": lambda: rms_norm(scale=1 + normal(0, 6), epsilon=1e-5),
    "softmax": lambda: shares(input_size=6),
    "log softmax": lambda: logits(w=normal(3, 5, 6)),
    "clip": lambda: clipped(limit=0.75, input_size=6),
    "part": lambda: middle(input_size=6),
    "constant": lambda: constant(b=normal(1, 4), input_size=6),
    "delay": lambda: delay(input_size=6, d=6),
    "output that is no state": lambda: summed(input_size=6),
    "by hand": by_hand,
}
STATELESS = [name for name in LAYERS if name not in ("delay", "output that is no state")]
XS = (2 * normal(9, 12, 6) * np.sqrt(6)).astype(np.float32)


def steps_of(layer: Cell) -> Any:
    steps = list(bounded_steps(layer, XS))
    assert all((error < 1e-4 * (1 + np.abs(y).max())).all() for y, error, _, _ in steps)
    return steps


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", LAYERS)
def test_streams_and_banks_agree_with_float64(name: str) -> None:
    layer = LAYERS[name]()
    doors.streams_and_banks(layer, XS, steps_of(layer))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", STATELESS)
def test_nothing_is_kept_from_step_to_step(name: str) -> None:
    model = Model([LAYERS[name]()])
    assert model.initial_state == {}
    ys = Stream(model).run(XS)
    stream = Stream(model)
    np.testing.assert_array_equal(stream.run(XS[::-1]), ys[::-1])
    assert stream.state == {}
    kept = stream.snapshot()
    other = Stream(model)
    other.restore(kept)
    np.testing.assert_array_equal(other.run(XS), ys)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LAYERS)
def test_file_holds_the_layer_without_its_function(name: str, tmp_path: Path) -> None:
    model, path = Model([LAYERS[name]()]), tmp_path / "m.safetensors"
    save(model, path)
    again = load(path)
    assert again.fingerprint == model.fingerprint == pickle.loads(pickle.dumps(model)).fingerprint
    assert repr(again.layers) == repr(model.layers)
    ys, _ = reference.run(model, XS)
    np.testing.assert_array_equal(reference.run(again, XS)[0], ys)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["gated", "by hand"])
@pytest.mark.parametrize("format_", ["int8", "w8a8", "int4", "float16", "sparse:0.5"])
def test_matrices_inside_are_quantized(name: str, format_: str) -> None:
    model = quantize(Model([LAYERS[name]().replaced(name="cell1")]), format_)
    (layer,) = model.layers
    assert isinstance(layer, Cell)
    assert set(layer.formats) == set(layer.matrices)
    steps = list(bounded_steps(layer, XS))
    assert all(error.max() < 0.2 for _, error, _, _ in steps)
    doors.follows(Stream(model), XS, steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gated", "by hand"])
def test_calibration_covers_vectors_that_the_step_computes(name: str) -> None:
    layer = LAYERS[name]().replaced(name="cell1")
    meets = calibrate(Model([layer]), XS).meets
    if name == "gated":
        a, b = np.split(layer.w @ XS.T.astype(float) + layer.b[:, None], 2)
        np.testing.assert_allclose(meets["cell1.v"].mean, (a / (1 + np.exp(-b))).mean(axis=1), atol=1e-5)
    else:
        np.testing.assert_allclose(meets["cell1.w"].mean, XS[:, :3].mean(axis=0), atol=1e-6)
    quantize(Model([layer]), "int8", calibration=XS)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("form", ["step", "sequence"])
def test_onnx_graph_agrees(name: str, form: Any, tmp_path: Path) -> None:
    model, path = Model([LAYERS[name]()]), tmp_path / "m.onnx"
    edge_rnn_export.to_onnx(model, path, form=form, steps=40)  # raises where onnxruntime disagrees
    assert edge_rnn_export.from_onnx(path).fingerprint == model.fingerprint


@pytest.mark.parametrize("name", STATELESS)
def test_onnx_graph_of_a_sequence_has_no_loop_without_states(name: str, tmp_path: Path) -> None:
    nodes = {}
    for form in ("step", "sequence"):
        edge_rnn_export.to_onnx(Model([LAYERS[name]()]), tmp_path / "m.onnx", form=form, steps=20)
        nodes[form] = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert nodes["sequence"] == nodes["step"]


@pytest.mark.parametrize("precision", ["int8", "float16", "int8-weights", "int4"])
@pytest.mark.parametrize("operators", ["onnxruntime", "standard"])
@pytest.mark.slow
def test_onnx_graph_of_every_precision_agrees(precision: Any, operators: Any, tmp_path: Path) -> None:
    """A normalization stands before rounded matrices, whose vectors are then known up to rounding alone."""
    norm = LAYERS["layer norm"]().replaced(name="norm")
    model = Model([norm, LAYERS["gated"]().replaced(name="gated"), Dense(normal(5, 2, 5))])
    edge_rnn_export.to_onnx(model, tmp_path / "m.onnx", precision=precision, operators=operators, steps=60)


@cell
def names_of_outputs(p: Any, x: Any) -> Any:
    return x * p.y + p.y_out, {}


@cell
def names_of_a_loop(p: Any, v: Any, x: Any, y: Any, at1: Any, axis: Any) -> Any:
    new = tanh(p.w * v + 0.5 * x + y * at1 - axis)
    return 2 * new, {"x": new, "y": v, "at1": x, "axis": y}


@pytest.mark.parametrize(
    "layer",
    [names_of_outputs(y=normal(0, 3), y_out=normal(1, 3)), names_of_a_loop(w=normal(0, 3), x=3, y=3, at1=3, axis=3)],
    ids=["parameters", "states"],
)
@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.sampled(1)
def test_names_of_a_graphs_own_values_are_names_like_others(layer: Cell, form: Any, tmp_path: Path) -> None:
    edge_rnn_export.to_onnx(Model([layer, Dense(normal(2, 2, 3))]), tmp_path / "m.onnx", form=form, steps=20)


@pytest.mark.needs("linker:here")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["layer norm", "gated", "log softmax", "delay", "output that is no state", "by hand"])
def test_library_agrees(name: str, tmp_path: Path) -> None:
    layer = LAYERS[name]()
    doors.library(layer, XS, steps_of(layer), tmp_path)


@pytest.mark.slow
def test_several_inputs_are_read_as_one_vector() -> None:
    model = Model([Dense(normal(0, 3, 3), name="first"), by_hand().replaced(name="joined", inputs=("first", "input"))])
    xs = XS[:, :3]
    np.testing.assert_allclose(Stream(model).run(xs), reference.run(model, xs)[0], rtol=0, atol=1e-5)


# ---- overflow that a part does not show


@cell
def differing(p: Any, x: Any, h: Any) -> Any:
    """A unit whose input is above 1e19 becomes NaN: the difference of two infinities."""
    h = tanh(x * x - x * x * p.a + 0.5 * h)
    return h, {"h": h}


@cell
def differing_inside(p: Any, x: Any, h: Any) -> Any:
    h = tanh(x * x - x * x * p.a + 0.5 * h)
    return h[0:2], {"h": h}


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [differing_inside(a=np.ones(6))],
        lambda: [differing(a=np.ones(6)), middle(input_size=6)],
        lambda: [differing(a=np.ones(6)), clipped(limit=0.5, input_size=6), middle(input_size=6)],
    ],
    ids=["own part", "part in a later layer", "part behind a clip"],
)
@pytest.mark.slow
def test_state_that_becomes_nan_is_refused_also_if_the_output_does_not_show_it(layers: Any) -> None:
    model = Model(layers())
    stream = Stream(model)
    stream.step(np.ones(6))
    before = {name: value.copy() for name, value in stream.state.items()}
    with pytest.raises(InputError, match="overflow"):
        stream.step([1, 1, 1, 1, 1, 1e30])
    for name, value in stream.state.items():
        np.testing.assert_array_equal(value, before[name])


def test_states_are_checked_only_where_the_output_may_hide_a_nan() -> None:
    gru = GRU(normal(0, 18, 6), normal(1, 18, 6))
    hiding = {name for name in STATELESS if plan_of(Model([gru, LAYERS[name]()])).checks_states}
    assert hiding == {"part", "constant"}


# ---- what is refused


def test_length_of_the_input_follows_from_vectors_that_are_added() -> None:
    assert layer_norm(scale=np.ones(7), shift=np.zeros(7)).input_size == 7
    assert repr(layer_norm) == "<cell layer_norm, states none>"
    with pytest.raises(ModelError, match=r"the length of a vector is needed.*input_size=3"):
        glu()
    with pytest.raises(ModelError, match=r"the length of the input is unknown; give it, as in .*input_size=3"):
        shares()
    with pytest.raises(ModelError, match="add got 7 values and 6 values"):
        layer_norm(scale=np.ones(7), shift=np.zeros(6))


def test_numbers_that_no_float32_holds_are_refused() -> None:
    for value in (np.nan, np.inf, 1e39):
        with pytest.raises(ModelError, match=r"limit holds .* expected finite float32 values"):
            clipped(limit=value, input_size=3)
    layer = by_hand()
    assert Cell(layer.equation, {"w": layer.w, "gain": np.float32(2)}, {}).gain == 2.0
    with pytest.raises(ModelError, match="got no gain, which its equation reads"):
        Cell(layer.equation, {"w": layer.w}, {})
    with pytest.raises(ModelError, match="multiplied with 3 values"):
        Cell(layer.equation, {"w": np.ones((4, 2)), "gain": 1.0}, {})


def test_function_without_a_name_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Cell got the function '<lambda>', expected a name; define the function wi"):
        cell(lambda p, x: (x, {}))(input_size=3)


def test_time_since_the_last_sample_needs_no_state() -> None:
    @cell
    def rate(p: Any, x: Any, *, elapsed: Any) -> Any:
        return x / elapsed, {}

    model = Model([rate(input_size=3)])
    np.testing.assert_array_equal(reference.step(model, [1.0, 6.0, 2.0], {})[0], [0.5, 3.0])
    assert rate(input_size=2, elapsed=0.5).input_size == 2


def test_states_of_a_function_without_states_are_refused() -> None:
    @cell
    def odd(p: Any, x: Any) -> Any:
        return x, {"h": x}

    with pytest.raises(ModelError, match=r"odd, line .*there is no state 'h', expected none"):
        odd(input_size=3)
