"""Cells as layers: in files, also hostile ones, snapshots, calibration and ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edge_rnn_export
from edge_rnn import GRU, Dense, Model, Stream, cell, load, quantize, reference, save
from edge_rnn.equations import concat, mean, sigmoid, tanh, total
from edge_rnn.errors import InputError, ModelError, StateError, UnsupportedError
from edge_rnn.layers import Cell
from edge_rnn.quantization import calibrate
from known_cells import as_equation
from normals import normal

pytestmark = pytest.mark.sampled(2)


@cell
def mgu(p: Any, x: Any, h: Any) -> Any:
    f = sigmoid(p.w_f @ x + p.u_f @ h + p.b_f)
    h = (1 - f) * h + f * tanh(p.w_h @ x + p.u_h @ (f * h) * p.gain)
    return h, {"h": h}


@cell
def all_sorts(p: Any, x: Any, h: Any, c: Any) -> Any:
    a = tanh(p.w @ concat(x[1:3], h, c[2:5]))
    new = a[0:5] / mean(abs(a))
    return concat(a[1:6], h[0:2], p.b * total(h * h), p.b), {"h": new, "c": p.b + sigmoid(p.v @ a)}


def make_mgu(**more: Any) -> Cell:
    weights = {"w_f": normal(0, 12, 3), "u_f": normal(1, 12, 12), "b_f": normal(2, 12)}
    return mgu(**weights, w_h=normal(3, 12, 3), u_h=normal(4, 12, 12), gain=0.7, **more)


def make_all_sorts() -> Cell:
    return all_sorts(w=normal(0, 13, 10), v=normal(1, 7, 13), b=normal(2, 7), input_size=3, h=5, c=7)


MODELS = {
    "mgu": lambda: Model([make_mgu(name="rnn"), Dense(normal(5, 2, 12), name="head")]),
    "mgu that begins elsewhere": lambda: Model([make_mgu(h=np.linspace(-1, 1, 12))]),
    "all sorts": lambda: Model([make_all_sorts()]),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.sampled(1)
def test_file_holds_the_cell_without_its_function(name: str, tmp_path: Path) -> None:
    model, path, xs = MODELS[name](), tmp_path / "m.safetensors", normal(9, 20, 3)
    save(model, path)
    again = load(path)
    assert again.fingerprint == model.fingerprint
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(Stream(again).run(xs), Stream(model).run(xs))
    again_saved = tmp_path / "again.safetensors"
    save(again, again_saved)
    assert again_saved.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "format_",
    ["float16", "int8", "w8a8", "int4", "sparse:0.25", "rank:2"],
)
@pytest.mark.slow
def test_quantized_cell_is_near_and_goes_through_a_file(format_: str, tmp_path: Path) -> None:
    model, xs = MODELS["mgu"](), normal(9, 200, 3)
    formats = {"rnn.w_f": "float32", "rnn.w_h": "float32", "rnn.u_f": format_, "rnn.u_h": format_}
    small = quantize(model, formats, calibration=xs)
    ys = Stream(small).run(xs)
    own, _ = reference.run(small, xs)
    np.testing.assert_allclose(ys, own, rtol=0, atol=0.05 if format_ == "w8a8" else 2e-3)
    save(small, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.fingerprint == small.fingerprint
    np.testing.assert_array_equal(Stream(again).run(xs), ys)


def test_calibration_of_a_cell_equals_that_of_a_recurrent_layer() -> None:
    gru = GRU(normal(0, 36, 3), normal(1, 36, 12), normal(2, 36), name="g")
    xs = normal(9, 300, 3)
    by_hand, by_equation = (calibrate(Model([layer]), xs).meets for layer in (gru, as_equation(gru)))
    assert by_hand.keys() == by_equation.keys()
    for name, meets in by_hand.items():
        np.testing.assert_allclose(by_equation[name].mean, meets.mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(by_equation[name].moving, meets.moving, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_calibration_covers_vectors_that_the_step_computes() -> None:
    model, xs = Model([make_mgu(name="rnn")]), normal(9, 50, 3)
    meets = calibrate(model, xs).meets["rnn.u_h"]
    seen, state = [], reference.initial_state(model)
    layer = model.layers[0]
    for x in xs:
        h = state["rnn.h"]
        f = 1 / (1 + np.exp(-(layer.w_f @ x.astype(float) + layer.u_f @ h + layer.b_f)))  # type: ignore[attr-defined]
        seen.append(f * h)
        _, state = reference.step(model, x, state)
    np.testing.assert_allclose(meets.mean, np.mean(seen, axis=0), atol=1e-6)


@pytest.mark.slow
def test_snapshot_continues_where_it_was_taken() -> None:
    model, xs = MODELS["all sorts"](), normal(9, 20, 3)
    stream = Stream(model)
    stream.run(xs[:11])
    kept = stream.snapshot()
    ys = stream.run(xs[11:])
    other = Stream(model)
    other.restore(kept)
    np.testing.assert_array_equal(other.run(xs[11:]), ys)


@pytest.mark.slow
def test_state_that_integers_would_cut_off_is_refused() -> None:
    model = quantize(Model([make_mgu(name="rnn")]), "int8")
    stream = Stream(model)
    stream.set_state({"rnn.h": np.full(12, 1.0)})
    with pytest.raises(StateError, match="expected at most 1, where an integer matrix clips it"):
        stream.set_state({"rnn.h": np.full(12, 1.5)})


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_onnx_graph_agrees(name: str, form: Any, tmp_path: Path) -> None:
    model, path = MODELS[name](), tmp_path / "m.onnx"
    edge_rnn_export.to_onnx(model, path, form=form, steps=60)  # raises where onnxruntime disagrees
    again = edge_rnn_export.from_onnx(path)
    assert again.fingerprint == model.fingerprint


@pytest.mark.parametrize("precision", ["float16", "int8", "int8-weights", "int4"])
@pytest.mark.parametrize("operators", ["onnxruntime", "standard"])
@pytest.mark.slow
def test_onnx_graph_of_every_precision_agrees(precision: Any, operators: Any, tmp_path: Path) -> None:
    edge_rnn_export.to_onnx(MODELS["mgu"](), tmp_path / "m.onnx", precision=precision, operators=operators, steps=60)


@pytest.mark.slow
def test_onnx_graph_of_the_newest_opset_agrees(tmp_path: Path) -> None:
    @cell
    def soft(p: Any, x: Any, h: Any) -> Any:
        from edge_rnn.equations import softmax

        h = softmax(p.w @ x + p.u @ h)
        return h, {"h": h}

    model = Model([soft(w=normal(0, 6, 2), u=normal(1, 6, 6))])
    for opset in (17, 22):
        edge_rnn_export.to_onnx(model, tmp_path / "m.onnx", steps=40, opset=opset)


# ---- hostile files

OPTIONS = make_mgu().options
ARRAYS = {**make_mgu().arrays}
JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 70), st.floats(), st.sampled_from(["w_f", "h", "add", "x" * 70])
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["h", "gain", "nodes"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [at, *(path for key, child in inner for path in places(child, (*at, key)))]


PLACES = places(OPTIONS)[1:]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), JUNK)
def test_damaged_options_are_refused_or_make_a_cell_that_can_be_computed(path: Any, value: Any) -> None:
    options = json.loads(json.dumps(OPTIONS))
    place = options
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        layer = Cell.of_options(options, ARRAYS)
    except ModelError:
        return
    model = Model([layer])
    y, _ = reference.step(model, np.ones(model.input_size), reference.initial_state(model))
    assert y.shape == (model.output_size,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o, a: a.pop("w_f"), "no parameter 'w_f'"),
        (lambda o, a: a.update(w_f=np.zeros((12, 4))), "multiplied with 3 values"),
        (lambda o, a: a.update(more=np.zeros(3)), "has more, which its equation does not read"),
        (lambda o, a: a.update({"start.q": np.zeros(3)}), "an initial value of an unknown state, q"),
        (lambda o, a: a.update({"start.h": np.zeros(3)}), "h got shape"),
        (lambda o, a: o.update(function="os.system"), "expected a name"),
        (lambda o, a: o["numbers"].update(gain=float("nan")), "expected finite numbers"),
        (lambda o, a: o["numbers"].update(w_f=1.0), "as a number and as an array"),
        (lambda o, a: o.update(more=1), "unknown or missing options"),
    ],
)
def test_options_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    options, arrays = json.loads(json.dumps(OPTIONS)), dict(ARRAYS)
    change(options, arrays)
    with pytest.raises(ModelError, match=message):
        Cell.of_options(options, arrays)


def test_file_that_claims_vectors_without_end_is_refused(tmp_path: Path) -> None:
    @cell
    def long(p: Any, x: Any, h: Any) -> Any:
        wide = x
        for _ in range(10):
            wide = concat(wide, wide)
        for _ in range(20):
            wide = wide * 1.5 + wide
        return tanh(wide)[0:2] + h, {"h": h}

    with pytest.raises(InputError, match="layers that read and write"):
        save(Model([long(input_size=900, h=2)], input_size=900), tmp_path / "m.safetensors")


def test_parameters_with_reserved_names_are_refused() -> None:
    @cell
    def clash(p: Any, x: Any, h: Any) -> Any:
        h = p.graph * h
        return h, {"h": h}

    with pytest.raises(ModelError, match="a parameter called graph"):
        clash(graph=np.ones(3), input_size=3)


@pytest.mark.slow
def test_names_that_a_graph_might_use_itself_are_parameters_like_others(tmp_path: Path) -> None:
    @cell
    def odd(p: Any, v3: Any, number0: Any, out: Any) -> Any:
        a = tanh(p.x @ v3 + p.zero * number0 + p.step * 0.5 * out + p.units)
        return a, {"number0": a, "out": total(a) * p.one}

    arrays = {name: normal(k, 4) for k, name in enumerate(("zero", "step", "units", "one"))}
    model = Model([Dense(normal(5, 3, 2), name="d"), odd(x=normal(6, 4, 5), **arrays, inputs=("d", "input"))])
    for form in ("step", "sequence"):
        edge_rnn_export.to_onnx(model, tmp_path / "m.onnx", form=form, steps=40)


def test_state_whose_new_value_would_be_called_as_another_is_refused(tmp_path: Path) -> None:
    @cell
    def clash(p: Any, x: Any, h: Any, h_out: Any) -> Any:
        return x + h, {"h": x + h_out, "h_out": h}

    with pytest.raises(UnsupportedError, match="has the state h and h_out"):
        edge_rnn_export.to_onnx(Model([clash(input_size=3)]), tmp_path / "m.onnx")


def test_state_and_parameter_of_one_name_are_refused() -> None:
    options, arrays = json.loads(json.dumps(OPTIONS).replace('"h"', '"b_f"')), dict(ARRAYS)
    with pytest.raises(ModelError, match="a state and a parameter called b_f"):
        Cell.of_options(options, arrays)
