"""The float64 reference: cells, layers and runs, against papers, PyTorch and hand-made examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import needs
from edge_rnn import reference
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Add, Dense, Elman, Embedding, Layer, Standardize
from edge_rnn.model import Model

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "torch_cells.npz"
CELLS = ("elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm")
MakeModel = Callable[..., Model]

# Both sides compute in float64 and differ in the order of their sums and in tanh and exp: a few 1e-16 per step, which
# these cells do not amplify.
EXACT = 1e-12
# One or two operations of scalar mathematics.
SCALAR = 4e-16


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# Each cell by scalar mathematics, from the equations in the papers, unit by unit.


def scalar_elman(layer: Elman, x: list[float], h: list[float]) -> list[float]:
    w, u, b, d = (layer.arrays[name].tolist() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    rows = range(len(h))
    a = [b[j] + d[j] + sum(w[j][k] * x[k] for k in range(len(x))) + sum(u[j][k] * h[k] for k in rows) for j in rows]
    return [math.tanh(v) if layer.activation == "tanh" else max(v, 0.0) for v in a]


def scalar_gru(layer: GRU, x: list[float], h: list[float]) -> list[float]:
    w, u, b, d = (layer.arrays[name].tolist() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    n = len(h)

    def fed(row: int) -> float:
        return b[row] + sum(w[row][k] * x[k] for k in range(len(x)))

    def back(row: int, state: list[float]) -> float:
        return sum(u[row][k] * state[k] for k in range(n))

    r = [sigmoid(fed(j) + back(j, h) + d[j]) for j in range(n)]
    z = [sigmoid(fed(n + j) + back(n + j, h) + d[n + j]) for j in range(n)]
    if layer.reset_after:
        new = [math.tanh(fed(2 * n + j) + r[j] * (back(2 * n + j, h) + d[2 * n + j])) for j in range(n)]
    else:
        gated = [r[k] * h[k] for k in range(n)]
        new = [math.tanh(fed(2 * n + j) + back(2 * n + j, gated) + d[2 * n + j]) for j in range(n)]
    return [(1 - z[j]) * new[j] + z[j] * h[j] for j in range(n)]


def scalar_lstm(layer: LSTM, x: list[float], h: list[float], c: list[float]) -> tuple[list[float], list[float]]:
    w, u, b, d = (layer.arrays[name].tolist() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    n = len(h)

    def gate(place: int, unit: int) -> float:
        row = place * n + unit
        return b[row] + d[row] + sum(w[row][k] * x[k] for k in range(len(x))) + sum(u[row][k] * h[k] for k in range(n))

    cell = [sigmoid(gate(1, j)) * c[j] + sigmoid(gate(0, j)) * math.tanh(gate(2, j)) for j in range(n)]
    return [sigmoid(gate(3, j)) * math.tanh(cell[j]) for j in range(n)], cell


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("inputs", "units"), [(1, 1), (2, 3), (3, 2)])
def test_cell_follows_the_papers_equations(cell: str, inputs: int, units: int, make_model: MakeModel) -> None:
    model = make_model(cell, inputs, units, head=0, seed=units, initial=True)
    (layer,) = model.layers
    xs = np.random.default_rng(1).normal(size=(8, inputs))
    ys, end = reference.run(model, xs)
    h = layer.initial_state["h"].tolist()
    c = layer.initial_state.get("c", np.zeros(0)).tolist()
    for x, y in zip(xs.tolist(), ys, strict=True):
        if isinstance(layer, LSTM):
            h, c = scalar_lstm(layer, x, h, c)
        elif isinstance(layer, GRU):
            h = scalar_gru(layer, x, h)
        else:
            assert isinstance(layer, Elman)
            h = scalar_elman(layer, x, h)
        np.testing.assert_allclose(y, h, rtol=0, atol=EXACT)
    np.testing.assert_allclose(end[f"{layer.name}.h"], h, rtol=0, atol=EXACT)
    if c:
        np.testing.assert_allclose(end[f"{layer.name}.c"], c, rtol=0, atol=EXACT)


def test_lstm_by_hand() -> None:
    # Gates by bias alone: i = sigmoid(0) = 1/2, f = sigmoid(ln 3) = 3/4, g = tanh(x), o = sigmoid(-ln 3) = 1/4.
    ln3 = math.log(3)
    layer = LSTM([[0], [0], [1], [0]], np.zeros((4, 1)), [0, ln3, 0, 0], [0, 0, 0, -ln3], c0=[2.0])
    y, state = reference.step(Model([layer]), [0.5], {"lstm1.h": [0.0], "lstm1.c": [2.0]})
    c = 0.75 * 2 + 0.5 * math.tanh(0.5)
    assert state["lstm1.c"][0] == pytest.approx(c, abs=1e-7)  # ln 3 is a float32 in the layer
    assert y[0] == pytest.approx(0.25 * math.tanh(c), abs=1e-7)


def test_gru_gates_by_hand() -> None:
    # z = 1 keeps the state, z = 0 replaces it; r = 0 cuts the state off from n.
    for z_bias, r_bias, expected in [
        (1e3, 0, 0.625),
        (-1e3, -1e3, math.tanh(0.5)),
        (-1e3, 1e3, math.tanh(0.5 + 2 * 0.625)),
    ]:
        for reset_after in (True, False):
            layer = GRU([[0], [0], [1]], [[0], [0], [2]], [r_bias, z_bias, 0], reset_after=reset_after)
            y, _ = reference.step(Model([layer]), [0.5], {"gru1.h": [0.625]})
            assert y[0] == pytest.approx(expected, abs=SCALAR)


def test_gru_forms_coincide_where_they_must(make_model: MakeModel) -> None:
    """With r the same for all units, r (W h) = W (r h): the forms differ in the bias alone, and agree without it."""
    rng = np.random.default_rng(3)
    units = 6
    w, u = rng.normal(size=(3 * units, 4)), rng.normal(size=(3 * units, units))
    w[:units] = w[0]
    u[:units] = u[0]
    xs = rng.normal(size=(50, 4))
    after, _ = reference.run(Model([GRU(w, u, reset_after=True)]), xs)
    before, _ = reference.run(Model([GRU(w, u, reset_after=False)]), xs)
    np.testing.assert_allclose(after, before, rtol=0, atol=EXACT)
    bias = rng.normal(size=3 * units)
    bias[:units] = bias[0]
    after, _ = reference.run(Model([GRU(w, u, None, bias, reset_after=True)]), xs)
    before, _ = reference.run(Model([GRU(w, u, None, bias, reset_after=False)]), xs)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_absent_biases_are_zeros(cell: str, make_model: MakeModel) -> None:
    bare = make_model(cell, 3, 5, layers=2, bias=False)
    stack: list[Layer] = []
    for layer in bare.layers:
        if isinstance(layer, Dense):
            stack.append(Dense(layer.weight, np.zeros(4), activation=layer.activation))
        else:
            assert isinstance(layer, Elman | GRU | LSTM)
            zeros = np.zeros(len(layer.weight_ih))
            stack.append(type(layer)(layer.weight_ih, layer.weight_hh, zeros, zeros, **layer.options))
    xs = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_array_equal(reference.run(bare, xs)[0], reference.run(Model(stack), xs)[0])


def test_elman_relu_counts() -> None:
    """With identity weights an Elman relu network adds up its inputs, exactly."""
    model = Model([Elman(np.eye(2), np.eye(2), activation="relu")])
    ys, state = reference.run(model, [[1, 0.5], [2, -0.25], [-10, 1]])
    np.testing.assert_array_equal(ys, [[1, 0.5], [3, 0.25], [0, 1.25]])
    np.testing.assert_array_equal(state["elman1.h"], [0, 1.25])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("none", [1.0, -2.0, 0.0]),
        ("relu", [1.0, 0.0, 0.0]),
        ("tanh", [math.tanh(1), math.tanh(-2), 0.0]),
        ("sigmoid", [sigmoid(1), sigmoid(-2), 0.5]),
        ("softmax", [math.exp(v) / (math.exp(1) + math.exp(-2) + 1) for v in (1, -2, 0)]),
    ],
)
def test_dense_activations(activation: str, expected: list[float]) -> None:
    layer = Dense([[1, 0], [0, 1], [0, 0]], [0.5, 0, 0], activation=activation)  # type: ignore[arg-type]
    y, state = reference.step(Model([layer]), [0.5, -2], {})
    np.testing.assert_allclose(y, expected, rtol=0, atol=SCALAR)
    assert state == {}


def test_standardize_and_add_by_hand() -> None:
    layers = [
        Standardize([1, 2], [2, -4], name="scaled"),
        Dense([[1, 1], [1, -1]], name="mixed"),
        Add(inputs=("input", "mixed", "input")),
    ]
    y, _ = reference.step(Model(layers), [5, 10], {})
    np.testing.assert_array_equal(y, [5 + (2 - 2) + 5, 10 + (2 + 2) + 10])


def test_named_inputs_are_concatenated_in_their_order() -> None:
    layers = [
        Dense([[10.0]], name="tens"),
        Dense([[100.0]], name="hundreds", inputs=("input",)),
        Dense(np.eye(3), name="all", inputs=("hundreds", "input", "tens")),
    ]
    y, _ = reference.step(Model(layers), [2], {})
    np.testing.assert_array_equal(y, [200, 2, 20])


@pytest.mark.parametrize("size", [1e3, 1e30, 3e38])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "tanh"])
def test_large_inputs_neither_overflow_nor_warn(activation: str, size: float) -> None:
    layer = Dense(np.eye(3), activation=activation)  # type: ignore[arg-type]
    y, _ = reference.step(Model([layer]), [size, -size, 0], {})
    expected = {"sigmoid": [1, 0, 0.5], "softmax": [1, 0, 0], "tanh": [1, -1, 0]}[activation]
    np.testing.assert_array_equal(y, expected)


def test_sigmoid_keeps_small_results() -> None:
    y, _ = reference.step(Model([Dense([[1.0]], activation="sigmoid")]), [-700.0], {})
    assert y[0] == pytest.approx(math.exp(-700), rel=1e-15)


@pytest.mark.parametrize("cell", CELLS)
def test_run_is_step_after_step(cell: str, make_model: MakeModel) -> None:
    model = make_model(cell, 3, 7, layers=2, initial=True)
    xs = np.random.default_rng(2).normal(size=(12, 3))
    ys, end = reference.run(model, xs)
    state = reference.initial_state(model)
    for x, y in zip(xs, ys, strict=True):
        got, state = reference.step(model, x, state)
        np.testing.assert_array_equal(got, y)
    first, middle = reference.run(model, xs[:5])
    second, last = reference.run(model, xs[5:], middle)
    np.testing.assert_array_equal(np.concatenate([first, second]), ys)
    for name, value in end.items():
        np.testing.assert_array_equal(value, state[name])
        np.testing.assert_array_equal(value, last[name])


def test_state_is_the_callers(make_model: MakeModel) -> None:
    model = make_model("lstm", 2, 3, layers=2, head=0, initial=True)
    state = reference.initial_state(model)
    assert list(state) == ["lstm1.h", "lstm1.c", "lstm2.h", "lstm2.c"]
    assert all(value.dtype == np.float64 and value.shape == (3,) for value in state.values())
    kept = {name: value.copy() for name, value in state.items()}
    y, after = reference.step(model, [1, 2], state)
    y[:] = 9
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name])
        assert not np.shares_memory(value, after[name])
    assert not (after["lstm2.h"] == 9).any()
    state["lstm1.h"][:] = 5
    np.testing.assert_array_equal(reference.initial_state(model)["lstm1.h"], kept["lstm1.h"])


def test_no_steps_leave_the_state(make_model: MakeModel) -> None:
    model = make_model("gru", 2, 3, initial=True)
    ys, state = reference.run(model, np.zeros((0, 2)))
    assert ys.shape == (0, 4)
    np.testing.assert_array_equal(state["gru1.h"], reference.initial_state(model)["gru1.h"])


WRONG: list[tuple[str, Callable[[Model], object], str]] = [
    ("rows", lambda m: reference.step(m, [[1, 2]], {"gru1.h": [0] * 3}), "step x got shape (1, 2), expected (2,); use"),
    ("short", lambda m: reference.step(m, [1], {"gru1.h": [0] * 3}), "x got shape (1,), expected (2,)"),
    ("nan", lambda m: reference.step(m, [1, np.nan], {"gru1.h": [0] * 3}), "x holds nan at (1,); expected finite"),
    ("text", lambda m: reference.step(m, ["a", "b"], {"gru1.h": [0] * 3}), "x got dtype <U1, expected numbers"),
    ("ragged", lambda m: reference.step(m, [[1], [1, 2]], {"gru1.h": [0] * 3}), "x is not an array"),  # type: ignore[list-item]
    ("flat", lambda m: reference.run(m, [1, 2]), "run xs got shape (2,), expected (time, 2); use reference.step"),
    ("no state", lambda m: reference.step(m, [1, 2], {}), "got the state [], expected ['gru1.h']"),
    ("None", lambda m: reference.step(m, [1, 2], None), "got the state NoneType, expected"),  # type: ignore[arg-type]
    (
        "other",
        lambda m: reference.run(m, [[1, 2]], {"gru1.h": [0] * 3, "a.c": [0]}),
        "state ['a.c', 'gru1.h'], expected",
    ),
    (
        "length",
        lambda m: reference.run(m, [[1, 2]], {"gru1.h": [0] * 2}),
        "state 'gru1.h' got shape (2,), expected (3,)",
    ),
    ("inf", lambda m: reference.run(m, [[1, 2]], {"gru1.h": [0, np.inf, 0]}), "state 'gru1.h' holds inf at (1,)"),
]


@pytest.mark.parametrize(("call", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_input(call: Callable[[Model], object], message: str, make_model: MakeModel) -> None:
    with pytest.raises(InputError) as caught:
        call(make_model("gru", 2, 3))
    assert message in str(caught.value)


def test_layer_without_a_reference() -> None:
    @dataclass(frozen=True, slots=True, eq=False)
    class Unheard(Layer):
        def output_size(self, input_sizes: object) -> int:
            return 1

    with pytest.raises(
        UnsupportedError,
        match=r"no function for Unheard 'unheard1'; expected a layer with an equation, or one of dense",
    ):
        reference.step(Model([Unheard()], input_size=1), [1], {})


def test_every_kind_of_layer_has_a_reference() -> None:
    from edge_rnn.layers import LAYER_TYPES, Recurrent

    by_equation = {kind for kind, cls in LAYER_TYPES.items() if issubclass(cls, Recurrent)}
    assert {kind.lower() for kind in set(LAYER_TYPES) - by_equation} == set(reference.cells.CELLS)


def from_torch_names(cell: str, arrays: dict[str, np.ndarray], layers: int) -> Model:
    cls, options = {
        "elman_tanh": (Elman, {"activation": "tanh"}),
        "elman_relu": (Elman, {"activation": "relu"}),
        "gru": (GRU, {}),
        "lstm": (LSTM, {}),
    }[cell]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    stack = []
    for place in range(layers):
        weights = {name: arrays[f"{name}_l{place}"] for name in names if f"{name}_l{place}" in arrays}
        start = {key: arrays[key][place] for key in ("h0", "c0") if key in arrays}
        stack.append(cls(**weights, **start, **options))  # type: ignore[arg-type]
    return Model(stack)


@pytest.mark.parametrize("cell", ["elman_tanh", "elman_relu", "gru", "lstm"])
def test_golden_torch_cells(cell: str) -> None:
    """PyTorch's float64 outputs, as ``golden/make_torch_cells.py`` kept them."""
    with np.load(GOLDEN) as golden:
        arrays = {name.removeprefix(f"{cell}/"): golden[name] for name in golden.files if name.startswith(f"{cell}/")}
    model = from_torch_names(cell, arrays, layers=2)
    ys, state = reference.run(model, arrays["x"])
    assert ys.shape == (20, 5)
    np.testing.assert_allclose(ys, arrays["y"], rtol=0, atol=EXACT)
    for key in "hc" if cell == "lstm" else "h":
        got = np.stack([state[f"{layer.name}.{key}"] for layer in model.layers])
        np.testing.assert_allclose(got, arrays[f"{key}n"], rtol=0, atol=EXACT)


@pytest.mark.torch
@pytest.mark.parametrize("cell", ["elman_tanh", "elman_relu", "gru", "lstm"])
@pytest.mark.parametrize(("inputs", "units"), [(1, 1), (3, 5), (7, 13), (16, 64), (33, 31)])
@pytest.mark.parametrize(("layers", "bias"), [(1, True), (3, True), (2, False)])
def test_torch_in_float64(cell: str, inputs: int, units: int, layers: int, bias: bool) -> None:
    torch = needs.package("torch")
    torch.set_num_threads(1)
    torch.manual_seed(units + layers)
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}.get(cell, torch.nn.RNN)
    options = {"nonlinearity": cell.removeprefix("elman_")} if cell.startswith("elman") else {}
    module = kind(inputs, units, layers, bias=bias, **options)
    model = from_torch_names(cell, {name: value.numpy() for name, value in module.state_dict().items()}, layers)
    xs = np.random.default_rng(units).normal(size=(100, inputs))
    with torch.no_grad():
        expected, end = module.double()(torch.from_numpy(xs))
    ys, state = reference.run(model, xs)
    np.testing.assert_allclose(ys, expected.numpy(), rtol=0, atol=EXACT)
    for key, last in zip("hc", end if cell == "lstm" else (end,), strict=False):
        got = np.stack([state[f"{layer.name}.{key}"] for layer in model.layers])
        np.testing.assert_allclose(got, last.numpy(), rtol=0, atol=EXACT)


@pytest.mark.parametrize("cell", ["elman_tanh", "gru", "lstm"])
def test_steps_are_those_of_step(cell: str, make_model: Callable[..., Model]) -> None:
    model = make_model(cell, 3, 5, 2, initial=True)
    xs = np.random.default_rng(0).normal(size=(20, 3))
    state = reference.initial_state(model)
    wide = reference.initial_state(model)
    for x, (y, now), (narrow, carried) in zip(
        xs, reference.steps(model, xs), reference.steps(model, xs, np.float32), strict=True
    ):
        expected, state = reference.step(model, x, state)
        np.testing.assert_array_equal(y, expected)
        expected, wide = reference.step(model, x, wide)
        wide = {name: value.astype(np.float32).astype(np.float64) for name, value in wide.items()}
        np.testing.assert_array_equal(narrow, expected)
        for name in state:
            np.testing.assert_array_equal(now[name], state[name])
            np.testing.assert_array_equal(carried[name], wide[name])
    with pytest.raises(InputError, match=r"reference\.steps xs got shape \(2, 4\)"):
        next(reference.steps(model, np.zeros((2, 4))))


def every_kind() -> Model:
    rng = np.random.default_rng(3)

    def some(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return Model(
        [
            Embedding(some(7, 4), name="e", inputs=("input",)),
            Standardize(some(4), np.abs(some(4)) + 1, inputs=("e",), name="s"),
            LSTM(some(20, 4), some(20, 3), some(20), peephole=some(15), weight_hr=some(3, 5), name="l"),
            GRU(some(12, 7), some(12, 4), some(12), some(12), reset_after=False, inputs=("l", "s"), name="g"),
            Elman(some(4, 4), some(4, 4), some(4), name="r"),
            Add(inputs=("r", "g", "s")),
            Dense(some(3, 4), activation="softmax"),
        ],
        input_size=1,
    )


def test_many_single_steps_are_those_of_step() -> None:
    model, rng = every_kind(), np.random.default_rng(0)
    xs = rng.integers(0, 7, (9, 1)).astype(float)
    before = {name: rng.standard_normal((9, value.size)) for name, value in model.initial_state.items()}
    ys, after = reference.single_steps(model, xs, before)
    narrow, _ = reference.single_steps(model, xs, before, np.float32)
    assert narrow.dtype == np.float32
    assert 0 < np.abs(narrow - ys).max() < 1e-5
    for t, x in enumerate(xs):
        y, state = reference.step(model, x, {name: rows[t] for name, rows in before.items()})
        np.testing.assert_allclose(ys[t], y, rtol=0, atol=EXACT)
        for name, value in state.items():
            np.testing.assert_allclose(after[name][t], value, rtol=0, atol=EXACT)
    with pytest.raises(InputError, match=r"single_steps l\.h got shape \(8, 3\), expected \(9, 3\)"):
        reference.single_steps(model, xs, before | {"l.h": before["l.h"][:8]})
    with pytest.raises(InputError, match=r"single_steps got the states \['l\.h'\], expected"):
        reference.single_steps(model, xs, {"l.h": before["l.h"]})


def test_steps_in_float32_round_as_they_go(make_model: Callable[..., Model]) -> None:
    model, xs = make_model("lstm", 3, 16), np.random.default_rng(0).normal(size=(50, 3))
    pairs = zip(reference.steps(model, xs), reference.steps(model, xs, np.float32, np.float32), strict=True)
    off = [float(np.abs(wide - narrow).max()) for (wide, _), (narrow, _) in pairs]
    assert 1e-9 < max(off) < 1e-5


def test_a_matrix_may_be_replaced_in_a_layer(make_model: Callable[..., Model]) -> None:
    """Any object that multiplies will do: here the same matrix, doubled."""

    class Twice:
        def __init__(self, matrix: np.ndarray) -> None:
            self.matrix = matrix

        def __matmul__(self, vector: np.ndarray) -> np.ndarray:
            return 2 * (self.matrix @ vector)

    (layer,) = make_model("gru", 3, 5, head=0).layers
    wide = reference.wide(layer)
    wide.weight_ih = Twice(wide.weight_ih)
    x, state = np.array([0.5, -1.0, 2.0]), {"h": np.full(5, 0.3)}
    y, new = reference.layer_step(wide, x, state)
    expected, _ = reference.layer_step(reference.wide(layer), 2 * x, state)
    np.testing.assert_allclose(y, expected, rtol=1e-14)
    np.testing.assert_array_equal(new["h"], y)
