"""Recurrences spelled out: unrolled steps, Loop and Scan, and steps with states as inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from edge_rnn import reference
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export.readers.tracing.graph import Constant, Graph, Operator, Port
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import as_onnx, op, small_graph

IN, H, STEPS, BATCH = 3, 4, 5, 2


@dataclass
class Writer:
    """Operators of a step, one value after the other."""

    prefix: str = ""
    operators: list[Operator] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        names = [f"{self.prefix}v{len(self.operators)}_{place}" for place in range(count)]
        self.operators.append(op(kind, " ".join(inputs), " ".join(names), **attributes))
        return names[0] if count == 1 else names

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        return lambda *inputs, **attributes: self.add(kind, *inputs, **attributes)


Step = Callable[[Writer, str, Sequence[str]], tuple[str, list[str]]]
"""Function that writes a step: from the input and the old states to the output and the new states."""


def elman(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
    h = w.Tanh(w.Add(w.Gemm(x, "w", "b"), w.MatMul(states[0], "u")))
    return h, [h]


def leaky(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
    new = w.Tanh(w.Add(w.MatMul(x, "w"), w.Add(w.MatMul(states[0], "u"), "b")))
    h = w.Add(w.Mul("leak", states[0]), w.Mul(w.Sub("one", "leak"), new))
    return h, [h]


def gru(w: Writer, x: str, states: Sequence[str], after: bool = True) -> tuple[str, list[str]]:
    (h,) = states
    xs = w.Split(w.Gemm(x, "w3", "b3"), count=3, axis=-1, num_outputs=3)
    hs = w.Split(w.Gemm(h, "u3", "c3"), count=3, axis=-1, num_outputs=3)
    z, r = (w.Sigmoid(w.Add(xs[k], hs[k])) for k in range(2))
    inner = w.Mul(r, hs[2]) if after else w.MatMul(w.Mul(h, r), "u")
    n = w.Tanh(w.Add(inner, xs[2]))
    new = w.Add(w.Mul(w.Sub("one", z), n), w.Mul(z, h))
    return new, [new]


def gru_before(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
    return gru(w, x, states, after=False)


def gru_moved(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
    """``h + z (n - h)``, with z and r of one matrix of the concatenated input and state."""
    (h,) = states
    z, r = w.Split(w.Sigmoid(w.Gemm(w.Concat(x, h, axis=1), "both", "b2")), count=2, axis=1, num_outputs=2)
    n = w.Tanh(w.Gemm(w.Concat(x, w.Mul(r, h), axis=1), "both1", "b"))
    new = w.Add(h, w.Mul(z, w.Sub(n, h)))
    return new, [new]


def lstm(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
    h, c = states
    gates = w.Add(w.Add(w.MatMul(x, "w4"), "b4"), w.MatMul(h, "u4"))
    i, g, f, o = w.Split(gates, count=4, axis=-1, num_outputs=4)
    new_c = w.Add(w.Mul(w.Sigmoid(i), w.Tanh(g)), w.Mul(c, w.Sigmoid(f)))
    new_h = w.Mul(w.Tanh(new_c), w.Sigmoid(w.Add(o, w.Mul("leak", new_c))))
    return new_h, [new_h, new_c]


def minimal(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
    """Gate that multiplies the state in the candidate, and a norm: no cell of the library."""
    (h,) = states
    f = w.Sigmoid(w.Add(w.MatMul(x, "w"), w.MatMul(h, "u")))
    n = w.LayerNormalization(w.Add(w.Gemm(x, "w_", "b"), w.MatMul(w.Mul(f, h), "u_")), "leak", "b")
    new = w.Add(w.Mul(w.Sub("one", f), h), w.Mul(f, w.Tanh(n)))
    return w.MatMul(new, "out"), [new]


def two_layers(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
    first = w.Tanh(w.Add(w.Gemm(x, "w", "b"), w.MatMul(states[0], "u")))
    second = w.Tanh(w.Add(w.MatMul(first, "u_"), w.MatMul(states[1], "u__")))
    return second, [first, second]


CELLS: Mapping[str, tuple[Step, int, str]] = {
    "elman": (elman, 1, "Elman"),
    "leaky": (leaky, 1, "Cell"),
    "gru": (gru, 1, "GRU"),
    "gru before": (gru_before, 1, "GRU"),
    "gru moved": (gru_moved, 1, "GRU"),
    "lstm": (lstm, 2, "LSTM"),
    "minimal": (minimal, 1, "Cell Dense"),
    "two layers": (two_layers, 2, "Elman Elman"),
}


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "w": (IN, H), "w_": (IN, H), "u": (H, H), "u_": (H, H), "u__": (H, H), "b": (H,), "leak": (H,),
        "w3": (IN, 3 * H), "u3": (H, 3 * H), "b3": (3 * H,), "c3": (3 * H,), "both": (IN + H, 2 * H), "b2": (2 * H,),
        "both1": (IN + H, H), "w4": (IN, 4 * H), "u4": (H, 4 * H), "b4": (4 * H,), "out": (H, 2),
    }  # fmt: skip
    return {name: rng.uniform(-0.7, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}


def finished(w: Writer, outputs: str, **inputs: tuple[Any, ...]) -> Graph:
    """Graph of the operators, with those constants that they read."""
    everything: dict[str, np.ndarray] = weights() | {"one": np.ones(()), **w.constants}
    read = {name for operator in w.operators for name in operator.inputs}
    for operator in w.operators:
        for body in operator.bodies.values():
            read |= {name for each in body.operators for name in each.inputs}
    return small_graph(w.operators, {k: v for k, v in everything.items() if k in read}, outputs, **inputs)


def unrolled(step: Step, count: int, start: np.ndarray, batch_first: bool, last: bool) -> Graph:
    w = Writer()
    axis = 1 if batch_first else 0
    w.constants = {"axes": np.array([axis])} | {
        f"s{place}": np.broadcast_to(start, (BATCH, H)).copy() for place in range(count)
    }
    states = [f"s{place}" for place in range(count)]
    outputs = []
    for t in range(STEPS):
        w.constants[f"t{t}"] = np.array(t)
        y, states = step(w, w.Gather("x", f"t{t}", axis=axis), states)
        outputs.append(y)
    if last:
        w.operators.append(op("Identity", outputs[-1], "y"))
        needed = {"y"}
        for operator in reversed(w.operators):
            needed.update(operator.inputs if needed.intersection(operator.outputs) else ())
        w.operators = [operator for operator in w.operators if needed.intersection(operator.outputs)]
    else:
        rows = [w.Unsqueeze(y, "axes") for y in outputs]
        w.operators.append(op("Concat", " ".join(rows), "y", axis=axis))
    return finished(w, "y", x=(BATCH, STEPS, IN) if batch_first else (STEPS, BATCH, IN))


def looped(step: Step, count: int, start: np.ndarray, kind: str) -> Graph:
    body = Writer("body_")
    states = [f"in{place}" for place in range(count)]
    x = body.Gather("x", "i", axis=0) if kind == "Loop" else "x_t"
    y, new = step(body, x, states)
    names = [body.Identity(each) for each in [*new, y]]
    outer = Writer()
    outer.constants |= {f"s{place}": np.broadcast_to(start, (BATCH, H)).copy() for place in range(count)}
    carried = " ".join(f"s{place}" for place in range(count))
    finals = " ".join(f"end{place}" for place in range(count))
    if kind == "Loop":
        body.operators.append(op("Identity", "go", "go_on"))
        ports, outputs = ["i", "go", *states], ("go_on", *names)
        outer.operators += [op("Shape", "x", "n", start=0, end=1), op("Squeeze", "n zero", "count")]
        outer.constants |= {"zero": np.array([0]), "true": np.array(True)}
        made = op("Loop", f"count true {carried}", f"{finals} y")
    else:
        ports, outputs = [*states, "x_t"], tuple(names)
        made = op("Scan", f"{carried} x", f"{finals} y", num_scan_inputs=1)
    inner = small_graph(body.operators, {}, " ".join(outputs), **dict.fromkeys(ports, ()))
    outer.operators.append(Operator(made.kind, made.name, made.inputs, made.outputs, made.attributes, {"body": inner}))
    return finished(outer, "y", x=("time", BATCH, IN))


def with_states(step: Step, count: int) -> Graph:
    w = Writer()
    y, new = step(w, "x", [f"s{place}_in" for place in range(count)])
    w.operators.append(op("Identity", y, "y"))
    w.operators += [op("Identity", each, f"s{place}_out") for place, each in enumerate(new)]
    names = " ".join(f"s{place}_out" for place in range(count))
    ports = {f"s{place}_in": ("batch", H) for place in range(count)}
    return finished(w, f"y {names}", x=("batch", IN), **ports)


def run(graph: Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    if any(operator.kind == "Loop" for operator in graph.operators):  # onnxruntime wants shapes in a Loop
        (got,) = ReferenceEvaluator(as_onnx(graph)).run(None, feeds)
        return [got.reshape(-1, BATCH, got.shape[-1])]  # where it joins the steps' outputs without an axis of their own
    session = onnxruntime.InferenceSession(as_onnx(graph).SerializeToString())
    return list(session.run(None, feeds))


def read(graph: Graph) -> Model:
    return read_graph(graph, None, {}).model


def kinds(model: Model) -> str:
    return " ".join(layer.kind for layer in model.layers)


def samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


START = np.array([0.3, -0.2, 0.5, 0.1], np.float32)
starts = pytest.mark.parametrize("start", [np.zeros(H, np.float32), START], ids=["zeros", "numbers"])
cells = pytest.mark.parametrize("name", CELLS)


@pytest.mark.sampled(12)
@starts
@cells
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_unrolled_steps(name: str, start: np.ndarray, batch_first: bool, last: bool) -> None:
    step, count, expected = CELLS[name]
    graph = unrolled(step, count, start, batch_first, last)
    model, xs = read(graph), samples(STEPS, BATCH, IN)
    assert kinds(model) == expected
    (got,) = run(graph, {"x": xs.swapaxes(0, 1) if batch_first else xs})
    for batch in range(BATCH):
        wanted = reference.run(model, xs[:, batch])[0]
        ours = got[batch] if last else got[batch] if batch_first else got[:, batch]
        np.testing.assert_allclose(ours, wanted[-1] if last else wanted, rtol=0, atol=2e-6)


@pytest.mark.sampled(8)
@starts
@cells
@pytest.mark.parametrize("kind", ["Loop", "Scan"])
def test_loops(name: str, start: np.ndarray, kind: str) -> None:
    step, count, expected = CELLS[name]
    graph = looped(step, count, start, kind)
    model, xs = read(graph), samples(9, BATCH, IN)
    assert kinds(model) == expected
    (got,) = run(graph, {"x": xs})
    for batch in range(BATCH):
        np.testing.assert_allclose(got[:, batch], reference.run(model, xs[:, batch])[0], rtol=0, atol=2e-6)


@cells
def test_states_as_inputs_and_outputs(name: str) -> None:
    step, count, expected = CELLS[name]
    graph = with_states(step, count)
    model, xs = read(graph), samples(7, 1, IN)
    assert kinds(model) == expected
    feeds = {f"s{place}_in": np.zeros((1, H), np.float32) for place in range(count)}
    wanted = reference.run(model, xs[:, 0])[0]
    for x, y in zip(xs, wanted, strict=True):
        got, *states = run(graph, {"x": x, **feeds})
        np.testing.assert_allclose(got[0], y, rtol=0, atol=2e-6)
        feeds = {f"s{place}_in": state for place, state in enumerate(states)}


def test_a_loop_over_constants_folds_away() -> None:
    body = small_graph([op("Identity", "go", "on"), op("Add", "a one", "b")], {"one": [1.0]}, "on b", i=(), go=(), a=())
    loop = Operator("Loop", "loop", ("three", "", "zero"), ("total",), {}, {"body": body})
    graph = small_graph(
        [loop, op("Add", "x total", "shifted"), op("MatMul", "shifted w", "y")],
        {"three": np.array(3), "zero": np.array([0.0]), "w": weights()["w"]}, x=(4, BATCH, IN),
    )  # fmt: skip
    model, xs = read(graph), samples(4, BATCH, IN)
    np.testing.assert_allclose(reference.run(model, xs[:, 0])[0], (xs[:, 0] + 3) @ weights()["w"], rtol=0, atol=2e-6)


def test_steps_that_differ_are_refused() -> None:
    def odd(w: Writer, x: str, states: Sequence[str]) -> tuple[str, list[str]]:
        odd.calls += 1  # type: ignore[attr-defined]
        h = (w.Tanh if odd.calls != 3 else w.Sigmoid)(w.Add(w.Gemm(x, "w", "b"), w.MatMul(states[0], "u")))  # type: ignore[attr-defined]
        return h, [h]

    odd.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedError, match="steps that do not all compute the same"):
        read(unrolled(odd, 1, START, False, False))


def test_a_mean_over_time_is_refused() -> None:
    body = looped(elman, 1, START, "Scan")
    operators = (*body.operators, op("ReduceMean", "y axis", "m", keepdims=0), op("MatMul", "m out", "z"))
    constants = dict(body.constants) | {
        "axis": Constant.of(np.array([0])), "out": Constant.of(weights()["out"]),
    }  # fmt: skip
    graph = Graph(operators, body.inputs, ("z",), constants, body.budget)
    with pytest.raises(UnsupportedError, match=r"ReduceMean node 'm': it works along axis 0"):
        read(graph)


def test_an_input_that_may_be_a_knob_is_no_state_until_somebody_says_so() -> None:
    """An Elman cell, or samples next to a knob: names such as these do not tell."""
    graph = finished_with_knob()
    with pytest.raises(UnsupportedError, match=r"input 'k' may be a state.*states=\{'k': 'y'\}"):
        read(graph)
    model = read_graph(graph, None, {}, states={"k": "y"}).model
    assert kinds(model) == "Elman"
    with pytest.raises(InputError, match="states pairs 'k' with 'nothing'"):
        read_graph(graph, None, {}, states={"k": "nothing"})


def finished_with_knob() -> Graph:
    w = Writer()
    y, _ = elman(w, "x", ["k"])
    w.operators.append(op("Identity", y, "y"))
    return finished(w, "y", x=("batch", IN), k=("batch", H))


def test_a_gru_without_telling_names_is_one() -> None:
    w = Writer()
    y, _ = gru(w, "x", ["k"])
    w.operators.append(op("Identity", y, "y"))
    assert kinds(read(finished(w, "y", x=("batch", IN), k=("batch", H)))) == "GRU"


def test_constants_for_inputs_and_a_part_behind_a_value() -> None:
    w = Writer()
    scaled = w.Mul(w.Gemm("x", "w", "b"), "gain")
    w.operators.append(op("Identity", scaled, "middle"))
    y, new = gru(w, "middle", ["h_in"])
    w.operators += [op("Identity", y, "y"), op("Identity", new[0], "h_out")]
    w.constants = {name: np.tile(weights()[name], (2, 1))[:H] for name in ("w3",)}
    graph = finished(w, "y h_out", x=("batch", IN), gain=(), h_in=("batch", H))
    with pytest.raises(InputError, match="given names 'volume', which is no input"):
        read_graph(graph, None, {}, given={"volume": 1.0})
    whole = read_graph(graph, None, {}, given={"gain": 2.0}).model
    assert kinds(whole) == "Dense GRU"
    xs = samples(6, IN)
    dense = whole.layers[0]
    np.testing.assert_allclose(np.asarray(dense.weight), 2 * weights()["w"].T, rtol=1e-6)
    with pytest.raises(UnsupportedError, match="after names 'middle', whose shape the file does not tell"):
        read_graph(graph, None, {}, after="middle")
    shaped = replace(graph, shapes={"middle": ("batch", H)})
    rest = read_graph(shaped, None, {}, after="middle").model
    assert kinds(rest) == "GRU"
    middle = reference.run(Model([dense]), xs)[0]
    np.testing.assert_allclose(reference.run(rest, middle)[0], reference.run(whole, xs)[0], rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="after names 'nothing', which no operator produces"):
        read_graph(shaped, None, {}, after="nothing")


def test_steps_of_a_fixed_number_on_an_axis_that_is_declared_open() -> None:
    graph = unrolled(gru, 1, START, False, False)
    ports = (replace(graph.inputs[0], shape=("time", BATCH, IN)),)
    assert kinds(read(replace(graph, inputs=ports))) == "GRU"


@pytest.mark.parametrize(
    "names", [("h0", "c0", "cn", "hn"), ("h", "c", "new_c", "new_h"), ("h_in", "c_in", "c_out", "h_out")]
)
def test_names_tell_which_output_is_the_new_value_of_a_state(names: tuple[str, ...]) -> None:
    h, c, new_c, new_h = names
    w = Writer()
    y, new = lstm(w, "x", [h, c])
    w.operators += [op("Identity", y, "y"), op("Identity", new[1], new_c), op("Identity", new[0], new_h)]
    ports: dict[str, Any] = {h: ("batch", H), c: ("batch", H)}
    assert kinds(read(finished(w, f"y {new_c} {new_h}", x=("batch", IN), **ports))) == "LSTM"


def test_a_condition_called_c_is_no_state() -> None:
    w = Writer()
    y, _ = elman(w, "x", ["c"])
    w.operators.append(op("Identity", y, "y"))
    with pytest.raises(UnsupportedError, match="may be a state"):
        read(finished(w, "y", x=("batch", IN), c=("batch", H)))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("skipped", [1, 3])
def test_a_recurrence_over_the_last_samples_alone_is_refused(skipped: int, batch_first: bool) -> None:
    """A window: a stream's recurrence has seen all samples."""
    graph = unrolled(gru, 1, START, batch_first, last=True)
    front = [op("Slice", "long start end axis", "x")]
    places = {"start": [skipped], "end": [skipped + STEPS], "axis": [1 if batch_first else 0]}
    constants = {**graph.constants, **{name: Constant.of(np.array(value)) for name, value in places.items()}}
    steps = STEPS + skipped
    shape = (BATCH, steps, IN) if batch_first else (steps, BATCH, IN)
    window = Graph((*front, *graph.operators), (Port("long", shape),), ("y",), constants, graph.budget)
    with pytest.raises(UnsupportedError, match="begins at a later sample"):
        read(window)


def test_a_recurrence_over_every_other_sample_is_refused() -> None:
    graph = unrolled(gru, 1, START, False, last=True)
    places = {f"t{t}": Constant.of(np.array(2 * t)) for t in range(STEPS)}
    port = Port("x", (2 * STEPS - 1, BATCH, IN))
    every = Graph(graph.operators, (port,), graph.outputs, {**graph.constants, **places}, graph.budget)
    with pytest.raises(UnsupportedError, match="the recurrence leaves out samples"):
        read(every)
