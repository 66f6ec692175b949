"""Graphs of equations: traced, checked, printed, evaluated, bounded, and read from hostile files."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_rnn.equations import functions as eq
from edge_rnn.equations.bounds import intervals, state_intervals
from edge_rnn.equations.evaluation import evaluate
from edge_rnn.equations.graph import MOST_NODES, Builder, Graph
from edge_rnn.equations.json_form import from_json, to_json
from edge_rnn.equations.operations import OPERATIONS
from edge_rnn.equations.printing import as_latex, as_text
from edge_rnn.equations.symbols import trace
from edge_rnn.errors import ModelError
from random_equations import Program, programs

INFINITE = (-np.inf, np.inf)


def gru(p: Any, x: Any, h: Any) -> Any:
    x_r, x_z, x_n = eq.split(p.weight_ih @ x + p.bias_ih, 3)
    h_r, h_z, h_n = eq.split(p.weight_hh @ h, 3)
    r, z = eq.sigmoid(x_r + h_r), eq.sigmoid(x_z + h_z)
    n = eq.tanh(x_n + r * h_n)
    h = (1 - z) * n + z * h
    return h, {"h": h}


GRU = {"weight_ih": np.zeros((15, 3)), "weight_hh": np.zeros((15, 5)), "bias_ih": np.zeros(15)}


def recorded(program: Program) -> Graph:
    return trace(program.equation, program.parameters(), program.inputs, program.sizes())


def values_of(program: Program, columns: int = 0) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    random = np.random.default_rng(program.seed + 1)
    shape = (columns,) if columns else ()
    parameters = {name: np.asarray(value, np.float64) for name, value in program.parameters().items()}
    x = random.normal(size=(program.inputs, *shape))
    return parameters, x, {name: random.normal(size=(size, *shape)) for name, size in program.sizes().items()}


@given(programs())
def test_graph_computes_what_its_function_does_on_arrays(program: Program) -> None:
    parameters, x, states = values_of(program)
    y, new = evaluate(recorded(program), parameters, x, states)
    expected, after = program.equation(SimpleNamespace(**parameters), x, **states)
    np.testing.assert_array_equal(y, expected)
    for name in states:
        np.testing.assert_array_equal(new[name], after[name])


@given(programs())
def test_graph_computes_columns_as_it_computes_each(program: Program) -> None:
    parameters, x, states = values_of(program, columns=3)
    graph = recorded(program)
    ys, _ = evaluate(graph, parameters, x, states)
    for k in range(3):
        y, _ = evaluate(graph, parameters, x[:, k], {name: value[:, k] for name, value in states.items()})
        np.testing.assert_allclose(ys[:, k], y, rtol=1e-12, atol=1e-12)


@given(programs())
def test_graph_is_the_same_each_time_and_after_a_file(program: Program) -> None:
    graph, shapes = recorded(program), {name: np.shape(value) for name, value in program.parameters().items()}
    assert graph == recorded(program)
    assert hash(graph) == hash(recorded(program))
    assert from_json(json.loads(json.dumps(to_json(graph))), shapes) == graph


@given(programs())
def test_values_lie_within_their_intervals(program: Program) -> None:
    parameters, x, states = values_of(program)
    limits: dict[str, tuple[float, float]] = {}
    for name, value in parameters.items():
        sums = float(np.abs(value).sum(axis=-1).max())
        limits[name] = (-sums, sums) if value.ndim == 2 else (float(value.min()), float(value.max()))
    graph, within = recorded(program), (-4.0, 4.0)
    found = intervals(graph, within, dict.fromkeys(states, within), limits)
    y, new = evaluate(graph, parameters, np.clip(x, *within), {k: np.clip(v, *within) for k, v in states.items()})
    for values, place in ((y, graph.output), *((new[name], at) for name, at in graph.new_states.items())):
        low, high = found[place]
        slack = 1e-9 * (1 + np.abs(values).max())
        assert low - slack <= values.min()
        assert values.max() <= high + slack
    kept = state_intervals(graph, within, dict.fromkeys(states, (0.0, 0.0)), limits)
    assert all(-1 <= low <= high <= 1 for low, high in kept.values())  # see KEPT


@given(programs())
def test_printed_maths_names_every_state_and_has_as_many_brackets_open_as_closed(program: Program) -> None:
    graph = recorded(program)
    for text in (as_text(graph), as_latex(graph)):
        assert all(f"s{k}'" in text or f"\\mathrm{{s{k}}}'" in text for k in range(program.states))
        assert all(text.count(a) == text.count(b) for a, b in ("()", "{}"))


def test_product_behind_a_factor_is_in_brackets() -> None:
    def equation(p: Any, x: Any, h: Any) -> Any:
        h = (p.w @ x) * h + h * (p.w @ x) * (p.u @ h)
        return h, {"h": h}

    graph = trace(equation, {"w": np.zeros((2, 3)), "u": np.zeros((2, 2))}, 3, {"h": 2})
    assert as_text(graph) == "a = w @ x\nh' = a * h + h * a * (u @ h)\ny = h'"


def test_signs_and_single_values_print_as_one_writes_them() -> None:
    def equation(p: Any, x: Any, h: Any) -> Any:
        h = eq.exp(-h) * eq.total(x[2:3]) + p.w @ (-h)
        return h, {"h": h}

    graph = trace(equation, {"w": np.zeros((2, 2))}, 3, {"h": 2})
    assert as_text(graph) == "a = -h\nh' = exp(a) * x[2:3] + w @ a\ny = h'"


def test_mean_is_printed_as_such_unless_its_sum_is_used_elsewhere() -> None:
    graph = trace(lambda p, x: (x - eq.mean(x), {}), {}, 6, {})
    assert as_text(graph) == "y = x - mean(x)"
    assert r"x - \operatorname{mean}(x)" in as_latex(graph)
    graph = trace(lambda p, x: (eq.mean(abs(x)) * x + eq.total(abs(x)) * 0.25, {}), {}, 6, {})
    assert as_text(graph) == f"a = sum(|x|)\ny = a * {1 / 6!r} * x + a * 0.25"


def test_gru_prints_as_its_paper_has_it() -> None:
    graph = trace(gru, GRU, 3, {"h": 5})
    assert as_text(graph) == "\n".join(
        [
            "a = weight_ih @ x + bias_ih",
            "b = weight_hh @ h",
            "c = σ(a[5:10] + b[5:10])",
            "h' = (1 - c) * tanh(a[10:15] + σ(a[0:5] + b[0:5]) * b[10:15]) + c * h",
            "y = h'",
        ]
    )
    assert r"\mathrm{weight}_{ih} \, x" in as_latex(graph)


def test_state_of_a_gru_never_leaves_1_and_that_of_an_lstm_cell_may() -> None:
    graph = trace(gru, GRU, 3, {"h": 5})
    assert state_intervals(graph, INFINITE, {"h": (0.0, 0.0)}, {}) == {"h": (-1.0, 1.0)}
    assert state_intervals(graph, INFINITE, {"h": (-2.5, 0.0)}, {}) == {"h": (-2.5, 1.0)}

    def cell(p: Any, x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = eq.split(p.w @ x + p.u @ h, 4)
        c = eq.sigmoid(f) * c + eq.sigmoid(i) * eq.tanh(g)
        h = eq.sigmoid(o) * eq.tanh(c)
        return h, {"h": h, "c": c}

    graph = trace(cell, {"w": np.zeros((8, 3)), "u": np.zeros((8, 2))}, 3, {"h": 2, "c": 2})
    start = {"h": (0.0, 0.0), "c": (0.0, 0.0)}
    assert state_intervals(graph, INFINITE, start, {}) == {"h": (-1.0, 1.0), "c": INFINITE}


@pytest.mark.parametrize(("keep", "bound"), [(0.5, 1.0), (0.9, 1.0), (1.0, np.inf), (1.5, np.inf)])
def test_state_that_leaks_is_bounded_and_one_that_adds_up_is_not(keep: float, bound: float) -> None:
    def leaky(p: Any, x: Any, h: Any) -> Any:
        h = keep * h + (1 - keep if keep < 1 else 1) * eq.tanh(p.w @ x)
        return h, {"h": h}

    graph = trace(leaky, {"w": np.zeros((2, 3))}, 3, {"h": 2})
    assert state_intervals(graph, INFINITE, {"h": (0.0, 0.0)}, {}) == {"h": (-bound, bound)}


def test_equal_expressions_are_merged_and_unused_ones_removed() -> None:
    def equation(p: Any, x: Any, h: Any) -> Any:
        eq.exp(p.u @ h)
        h = (p.u @ h + p.w @ x) * (p.u @ h + p.w @ x)
        return h, {"h": h}

    graph = trace(equation, {"w": np.zeros((2, 3)), "u": np.zeros((2, 2))}, 3, {"h": 2})
    assert sorted(node.op for node in graph.nodes) == ["add", "input", "mul", "product", "product", "state"]
    assert graph.emitted == "h"
    assert {(name, node.op) for name, node in graph.products} == {("u", "state"), ("w", "input")}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda p, x, h: (p.w @ h, {"h": h}), "p.w @ h, .* w of 2 by 3 was multiplied with 2 values"),
        (lambda p, x, h: (h + x, {"h": h}), "add got 2 values and 3 values"),
        (lambda p, x, h: (p.w + x, {"h": h}), "the matrix w"),
        (lambda p, x, h: (h @ x, {"h": h}), "2 values left of @"),
        (lambda p, x, h: (np.ones((2, 3)) @ x, {"h": h}), "stands left of @; pass it as a parameter"),
        (lambda p, x, h: (h + np.ones(2), {"h": h}), "ndarray cannot be part of an equation; pass it as a parameter"),
        (lambda p, x, h: (np.sin(h), {"h": h}), "np.sin cannot be part"),
        (lambda p, x, h: (h if h > 0 else x, {"h": h}), "not supported"),
        (lambda p, x, h: (h if h else x, {"h": h}), "an if may test options"),
        (lambda p, x, h: (eq.split(h, 3)[0], {"h": h}), "2 values cannot be split into 3 parts"),
        (lambda p, x, h: (h[::2], {"h": h}), "a slice of a vector can"),
        (lambda p, x, h: (h[1:1], {"h": h}), "The slice 1:1 was taken of 2 values"),
        (lambda p, x, h: (h**3, {"h": h}), "\\*\\* 3 cannot be part"),
        (lambda p, x, h: (h * float("nan"), {"h": h}), "the number nan, expected a finite number"),
        (lambda p, x, h: (h, {}), "the state 'h' has no new value"),
        (lambda p, x, h: (h, {"h": x}), "the new state 'h' got 3 values, expected 2 values"),
        (lambda p, x, h: (h, {"h": h, "c": h}), "there is no state 'c'"),
        (lambda p, x, h: (eq.mean(h), {"h": h}), "the output is a single number"),
        (lambda p, x, h: h, "has to return its output and a dict of its new states"),
        (lambda p, x, h: (3, {"h": h}), "returned a value of type int as its output"),
        (lambda p, x, h: (sum(h), {"h": h}), "cannot be iterated over"),
    ],
)
def test_wrong_equation_is_refused_by_a_message_that_names_its_line(wrong: Any, message: str) -> None:
    parameters = {"w": np.zeros((2, 3)), "u": np.zeros((2, 2))}
    with pytest.raises((ModelError, TypeError), match=message) as caught:
        trace(wrong, parameters, 3, {"h": 2})
    if caught.type is ModelError:
        assert str(caught.value).startswith("<lambda>, line ")


def test_endless_equation_is_refused_once_it_is_too_large() -> None:
    def doubled(p: Any, x: Any, h: Any) -> Any:
        while True:
            h = h + 1.5 * h

    with pytest.raises(ModelError, match=f"doubled, line .* more than {MOST_NODES} operations"):
        trace(doubled, {}, 3, {"h": 2})


def test_sum_doubled_many_times_is_cheap() -> None:
    def doubled(p: Any, x: Any, h: Any) -> Any:
        h = p.w @ x
        for _ in range(400):
            h = h + h
        h = eq.tanh(h * 2.0**-400)
        return h, {"h": h}

    graph = trace(doubled, {"w": np.ones((2, 3))}, 3, {"h": 2})
    y, _ = evaluate(graph, {"w": np.ones((2, 3))}, np.full(3, 0.25), {"h": np.zeros(2)})
    np.testing.assert_array_equal(y, np.tanh([0.75, 0.75]))
    assert as_text(graph).count("\n") < 500
    assert state_intervals(graph, (-1, 1), {"h": (0.0, 0.0)}, {}) == {"h": (-1.0, 1.0)}


# ---- out of files

SHAPES = {"w": (6, 3), "u": (2, 2), "b": (2,), "s": ()}
GOOD = to_json(
    trace(
        lambda p, x, h: (eq.split(p.w @ x, 3)[1] + p.u @ h + p.b * p.s, {"h": eq.tanh(p.u @ h) * 0.5}),
        {"w": np.zeros((6, 3)), "u": np.zeros((2, 2)), "b": np.zeros(2), "s": 1.0},
        3,
        {"h": 2},
    )
)
ODD = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 40),
        st.just(10**30),
        st.floats(),
        st.sampled_from(["w", "u", "b", "s", "h", "__class__", "1); import os", *OPERATIONS]),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["h", "input", "nodes"]), inner),
    max_leaves=8,
)


def paths(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [at, *(path for key, child in children for path in paths(child, (*at, key)))]


PATHS = paths(GOOD)[1:]


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(PATHS), ODD), min_size=1, max_size=3))
def test_damaged_data_are_refused_or_make_a_graph_that_can_be_computed(damage: list[tuple[Any, Any]]) -> None:
    data = json.loads(json.dumps(GOOD))
    for path, value in damage:
        place = data
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
        except (KeyError, IndexError, TypeError):  # an earlier damage has taken the place away
            continue
    try:
        graph = from_json(data, SHAPES)
    except ModelError:
        return
    assert len(graph.nodes) <= MOST_NODES
    parameters = {name: np.ones(shape) for name, shape in SHAPES.items()}
    states = {name: np.ones(size) for name, size in graph.sizes}
    with np.errstate(all="ignore"):
        y, _ = evaluate(graph, parameters, np.ones(graph.input_size), states)
    assert y.shape == (graph.output_size,)
    assert as_text(graph)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([["input", []], ["add", [0, 1]]], "Node 1 .* earlier node"),
        ([["input", []], ["add", [0, -1]]], "Node 1 .* earlier node"),
        ([["input", []], ["add", [0, True]]], "Node 1 .* earlier node"),
        ([["input", []], ["os.system", [0]]], "the operation 'os.system', which does not exist"),
        ([["input", []], [["add"], [0]]], "which does not exist"),
        ([["input", []], ["__class__", [0]]], "which does not exist"),
        ([["parameter", [], "w"]], "w is a matrix of 6 by 3"),
        ([["parameter", [], "secret"]], "no parameter 'secret'"),
        ([["number", [], float("inf")]], "the number inf"),
        ([["number", [], "1); import os"]], "number got 0 arguments and"),
        ([["number", [], 10**400]], "number got 0 arguments and"),
        ([["input", []], ["part", [0], 0, 1 << 60]], "was taken of 3 values"),
        ([["input", [0]]], "earlier node"),
        ([["input", []], *[["concat", [k] * 512] for k in range(3)]], "vector of"),
        ([["input", []]] * 513, "list of 1 to 512"),
        ([], "list of 1 to 512"),
        ("add", "expected a list of 1 to 512"),
    ],
)
def test_hostile_data_are_refused(nodes: Any, message: str) -> None:
    data = {"version": 1, "input": 3, "nodes": nodes, "output": 0, "states": {}}
    with pytest.raises(ModelError, match=message):
        from_json(data, SHAPES)


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 65, "1); import os"])
def test_hostile_names_of_states_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="expected its length and a place"):
        from_json({**GOOD, "states": {name: [2, 0]}}, SHAPES)


def test_newer_version_is_refused_by_its_number() -> None:
    with pytest.raises(ModelError, match="version 2; this edge_rnn reads 1"):
        from_json({**GOOD, "version": 2}, SHAPES)


def test_every_operation_unit_by_unit_has_all_its_columns() -> None:
    for name, operation in OPERATIONS.items():
        if operation.rule == "units":
            assert operation.numpy is not None, name
            assert operation.interval is not None, name
            assert operation.kernel, name
            arguments = [f"<{k}>" for k in range(operation.arity or 0)]
            for pattern in (operation.kernel, operation.text, operation.latex or operation.text):
                assert all(argument in pattern.format(*arguments) for argument in arguments), name


def test_too_many_states_are_refused() -> None:
    with pytest.raises(ModelError, match="17 states, expected at most 16"):
        Builder(3, {f"s{k}": 2 for k in range(17)}, {})
