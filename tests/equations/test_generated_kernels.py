"""Kernels generated from equations, against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn import GRU, LSTM, Model, Stream, StreamBank, cell, quantize, reference
from edge_rnn.equations import concat, erf, log, sigmoid, split, tanh, total
from edge_rnn.equations.symbols import trace
from edge_rnn.errors import ModelError
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.kernels.lower.lowered import lower
from edge_rnn.layers import Layer
from edge_rnn.streams.planner import plan_for, plan_of
from known_cells import as_equation, gru, lstm
from normals import normal

pytestmark = pytest.mark.sampled(1)

Array = Any
ARM, X86 = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"
TARGETS = {
    "cortex-a53": Target(ARM, "cortex-a53", ""),
    "cortex-a76, dotprod": Target(ARM, "cortex-a76", "+dotprod"),
    "x86-64": Target(X86, "x86-64", ""),
    "haswell": Target(X86, "haswell", "+avx2,+fma,+f16c"),
    "cortex-m7": Target("thumbv7em-unknown-none-eabihf", "cortex-m7", ""),
}


def layer_of(kind: type[Layer], inputs: int, units: int, **options: Any) -> Any:
    gates = len(kind.gates)  # type: ignore[attr-defined]
    shapes = ((gates * units, inputs), (gates * units, units), (gates * units,), (gates * units,))
    return kind(*(normal(seed, *shape) for seed, shape in enumerate(shapes)), **options)


@pytest.mark.parametrize("reset_after", [True, False])
def test_cell_of_the_same_equation_has_the_kernels_of_the_layer(reset_after: bool) -> None:
    """The outputs agree too: an equation of a GRU gives the kernels of edge_rnn's GRU."""
    layer = layer_of(GRU, 4, 20, reset_after=reset_after)
    model, other = Model([layer]), Model([as_equation(layer)])
    assert plan_of(other).operations == plan_of(model).operations
    xs = normal(9, 50, 4)
    np.testing.assert_array_equal(Stream(other).run(xs), Stream(model).run(xs))


@pytest.mark.parametrize(
    "options",
    [
        {"peephole": normal(5, 39)},
        {"coupled": "input"},
        {"coupled": "forget", "peephole": normal(5, 39), "cell_clip": 0.4},
        {"weight_hr": normal(6, 5, 13), "weight_hh": normal(7, 52, 5)},
    ],
    ids=["peephole", "coupled input", "coupled forget", "projection"],
)
def test_lstm_of_any_options_has_the_kernels_of_the_layer(options: dict[str, Any]) -> None:
    arrays = {"weight_ih": normal(0, 52, 3), "weight_hh": normal(1, 52, 13), "bias_ih": normal(2, 52)}
    layer = LSTM(**(arrays | options))
    assert plan_of(Model([as_equation(layer)])).operations == plan_of(Model([layer])).operations


def bound(ys: Array) -> float:
    """Bound of some roundings of the largest value in float32."""
    return float(4e-6 * (1 + np.abs(ys).max()))


@pytest.mark.parametrize("board", TARGETS)
@pytest.mark.slow
def test_generated_kernels_compile_for_every_kind_of_cpu(board: str) -> None:
    @cell
    def all_sorts(p: Any, x: Any, h: Any) -> Any:
        a = p.w @ concat(x, h[0:3])
        h = sigmoid(a) * tanh(h / (abs(h) + 1.5)) + a / (1 + total(h * h)) ** 2 + erf(log(abs(a) + 1))
        return h[2:9], {"h": h}

    model = Model(
        [all_sorts(w=normal(0, 12, 6), h=12, input_size=3), as_equation(layer_of(GRU, 7, 12, reset_after=False))]
    )
    for name in plan_for(model, TARGETS[board]).operations:
        assert len(bytes(object_cache.compile_for(name, TARGETS[board]))) > 200


# ---- what comes out without arithmetic, and what lies in memory


def run_of(layer: Layer, xs: Array) -> Array:
    """Run a stream, and check its outputs against float64."""
    model = Model([layer], input_size=xs.shape[1])
    ys, _ = reference.run(model, xs)
    np.testing.assert_allclose(Stream(model).run(xs), ys, rtol=0, atol=bound(ys))
    return ys


def test_delay_is_a_cell_without_arithmetic() -> None:
    @cell
    def delay(p: Any, x: Any, a: Any, b: Any) -> Any:
        return b, {"a": x, "b": a}

    xs = normal(0, 9, 3)
    ys = run_of(delay(input_size=3, a=3, b=3), xs)
    np.testing.assert_array_equal(ys, np.concatenate([np.zeros((2, 3)), xs[:-2]]).astype(np.float32))


@pytest.mark.slow
def test_output_may_be_a_parameter_and_a_state_the_input() -> None:
    @cell
    def fixed(p: Any, x: Any, h: Any) -> Any:
        return p.b, {"h": x}

    np.testing.assert_array_equal(run_of(fixed(b=np.arange(5.0), h=2), normal(0, 3, 2)), [np.arange(5.0)] * 3)


@pytest.mark.slow
def test_states_and_output_of_any_size_and_parts_that_no_gate_begins_at() -> None:
    @cell
    def odd(p: Any, x: Any, h: Any, c: Any) -> Any:
        joined = concat(x[1:3], h, c[2:5])
        a = tanh(p.w @ joined)
        return concat(a[1:6], h[0:2]), {"h": a[0:5], "c": sigmoid(p.v @ a)}

    run_of(odd(w=normal(0, 13, 10), v=normal(1, 7, 13), input_size=3, h=5, c=7), normal(2, 20, 3))


@pytest.mark.slow
def test_padding_does_not_divide_zero_by_zero() -> None:
    @cell
    def share(p: Any, x: Any, h: Any) -> Any:
        h = (p.w @ x + h) / p.s
        return h, {"h": h}

    run_of(share(w=normal(0, 5, 3), s=np.full(5, 2.0)), normal(1, 10, 3))


@pytest.mark.slow
def test_padding_that_stays_zero_is_not_masked() -> None:
    layer = layer_of(GRU, 3, 5, candidate_activation="softsign")
    (panel,) = lower(layer.graph, frozenset(("weight_ih", "weight_hh"))).steps
    assert "/" in panel.text
    assert "only_where" not in panel.text
    run_of(layer, normal(1, 30, 3))


@pytest.mark.parametrize("reset_after", [True, False])
def test_bias_belongs_to_a_matrix_if_nothing_else_reads_it(reset_after: bool) -> None:
    graph = layer_of(GRU, 3, 5, reset_after=reset_after).graph
    assert [graph.bias_of(name) for name in ("weight_ih", "weight_hh")] == ["bias_ih", "bias_hh"]

    @cell
    def shared(p: Any, x: Any, h: Any) -> Any:
        h = tanh(p.w @ x + p.b) * sigmoid(p.u @ h + p.b) + p.v @ x
        return h, {"h": h}

    graph = shared(w=normal(0, 6, 3), u=normal(1, 6, 6), v=normal(2, 6, 3), b=normal(3, 6)).graph
    assert [graph.bias_of(name) for name in ("w", "u", "v")] == [None] * 3


@pytest.mark.slow
def test_matrix_that_multiplies_a_parameter() -> None:
    @cell
    def constant(p: Any, x: Any, h: Any) -> Any:
        h = tanh(p.w @ p.b + p.u @ h + p.v @ x)
        return h, {"h": h}

    run_of(constant(w=normal(0, 9, 4), b=normal(1, 4), u=normal(2, 9, 9), v=normal(3, 9, 2)), normal(4, 10, 2))


@pytest.mark.slow
def test_sum_with_a_product_twice_is_not_one_accumulator() -> None:
    @cell
    def twice(p: Any, x: Any, h: Any) -> Any:
        a = p.w @ x
        h = tanh((a + h) + (a + p.b) + a)
        return h, {"h": h}

    run_of(twice(w=normal(0, 6, 3), b=normal(1, 6)), normal(2, 10, 3))


@pytest.mark.parametrize("format_", ["float32", "int8"])
@pytest.mark.slow
def test_sum_of_several_products_of_one_vector(format_: str) -> None:
    @cell
    def several(p: Any, x: Any, h: Any) -> Any:
        first, second, third = split(p.w @ x, 3)
        h = tanh(p.a @ x + p.b @ x + first + second + p.u @ h) + sigmoid(third)
        return h, {"h": h}

    layer = several(w=normal(0, 36, 3), a=normal(1, 12, 3), b=normal(2, 12, 3), u=normal(3, 12, 12))
    model, xs = quantize(Model([layer]), format_), normal(4, 10, 3)
    ys, _ = reference.run(model, xs)
    np.testing.assert_allclose(Stream(model).run(xs), ys, rtol=0, atol=bound(ys) if format_ == "float32" else 1e-3)


def test_deep_and_doubled_equations_are_lowered_quickly_without_recursion() -> None:
    @cell
    def deep(p: Any, x: Any, h: Any) -> Any:
        a = p.w @ x + p.u @ h
        for _ in range(200):
            a = a + a * 0.01
        h = sigmoid(tanh(a) + 0.5)
        return h, {"h": h}

    layer = deep(w=normal(0, 6, 3), u=normal(1, 6, 6))
    assert len(lower(layer.graph, frozenset()).steps) == 1


# ---- names, texts, places


def test_equal_cells_of_any_size_and_name_have_equal_kernels() -> None:
    first, second = (plan_of(Model([as_equation(layer_of(LSTM, *size))])) for size in ((1, 8), (6, 32)))
    assert first.operations == second.operations
    projected = LSTM(normal(0, 52, 3), normal(1, 52, 5), weight_hr=normal(2, 5, 13))
    assert plan_of(Model([as_equation(projected)])).operations[0] == first.operations[0]


def test_kernels_text_holds_words_of_the_table_and_numbers_alone() -> None:
    names = {"weight_ih": np.zeros((4, 2)), "weight_hh": np.zeros((4, 1)), "secret_name": np.zeros(1)}

    def equation(p: Any, x: Any, odd_state: Any) -> Any:
        a = p.weight_ih @ x + p.weight_hh @ odd_state
        new = tanh(a[0:1] * p.secret_name) + 0.1 * odd_state
        return new, {"odd_state": new}

    (panel,) = lower(trace(equation, names, 2, {"odd_state": 1}), frozenset()).steps
    text = panel.text  # type: ignore[union-attr]
    assert not any(name in text for name in (*names, "odd_state"))
    assert "0.1" in text


@pytest.mark.slow
def test_records_are_as_long_as_the_model_needs() -> None:
    @cell
    def many(p: Any, x: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        old = (a, b, c, d, e, f)
        new = [tanh(p.w @ x + 0.5 * each) for each in old]
        return sum(new[1:], new[0]), dict(zip("abcdef", new, strict=True))

    layer = many(w=normal(0, 6, 3))
    assert plan_of(Model([layer])).records.shape[2] == 24
    assert plan_of(Model([as_equation(layer_of(LSTM, 3, 5))])).records.shape[2] == 16
    run_of(layer, normal(1, 10, 3))
    ys = StreamBank(Model([layer]), 3).step(np.tile(normal(1, 1, 3), (3, 1)))
    np.testing.assert_array_equal(ys, np.tile(Stream(Model([layer])).step(normal(1, 1, 3)[0]), (3, 1)))


def test_planner_finds_a_vector_that_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = as_equation(layer_of(GRU, 3, 5))
    monkeypatch.setattr(type(layer), "initial_state", property(lambda self: {"h": np.zeros(4, np.float32)}))
    with pytest.raises(AssertionError):
        plan_for(Model([layer]), object_cache.host())


def test_generated_name_is_a_hash_and_carries_its_text() -> None:
    (name,) = plan_of(Model([as_equation(layer_of(GRU, 3, 5))])).operations
    assert isinstance(name, Generated)
    assert name == Generated.of(name.text, name.gates, name.formats)
    assert name.grouped(4) == f"{name}_x4"
    assert Generated.of(name.text + " ", name.gates, name.formats) != name


def test_cell_says_what_does_not_fit() -> None:
    arrays = {"weight_ih": normal(0, 15, 3), "bias_ih": normal(1, 15), "bias_hh": None, "reset_after": True}
    with pytest.raises(ModelError, match=r"gru, line .*weight_hh of 15 by 5 was multiplied with 4 values"):
        gru(weight_hh=normal(2, 15, 5), h=4, **arrays)
    with pytest.raises(ModelError, match="gru h got shape"):
        gru(weight_hh=normal(2, 15, 5), h=np.zeros((2, 2)), **arrays)
    with pytest.raises(ModelError, match="expected a function of parameters, input, states"):
        cell(lambda p: p)
    layer = gru(weight_hh=normal(2, 15, 5), name="g", **arrays)
    with pytest.raises(ModelError, match="gru 'g' reads 4 values, expected 3"):
        Model([layer], input_size=4)
    with pytest.raises(ModelError, match="has no weight, expected one of"):
        layer.replaced(weight=1)
    assert lstm.states == ("h", "c")
