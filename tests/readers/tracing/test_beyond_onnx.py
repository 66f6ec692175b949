"""Options that ONNX lacks, and constants that the engine computes or joins to signals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import LSTM
from edge_rnn.model import Model
from edge_rnn_export.readers.tracing.graph import Graph
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

RNG = np.random.default_rng(17)
IN, H, P = 3, 4, 2
X = ("time", "batch", IN)


def u(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.7, 0.7, shape).astype(np.float32)


def projected(**beyond: Any) -> Graph:
    weights = {"w": u(1, 4 * H, IN), "r": u(1, 4 * H, P), "b": u(1, 8 * H), "hr": u(P, H)}
    cell = op("LSTM", "x w r b - h0 c0 - hr", "ys h c", hidden_size=H)
    cell = replace(cell, beyond={"weight_hr": 8, **beyond})
    flat = op("Squeeze", "ys axis", "y")
    return small_graph([cell, flat], {**weights, "h0": u(1, 1, P), "c0": u(1, 1, H), "axis": [1]}, x=(5, 1, IN))


def read(graph: Graph) -> Model:
    return read_graph(graph, None, {}).model


def test_lstm_with_a_projection_a_coupled_input_gate_and_clips() -> None:
    graph = projected(coupled="input", cell_clip=0.5, projection_clip=0.2)
    lstm = read(graph).layers[0]
    assert isinstance(lstm, LSTM)
    assert (lstm.coupled, lstm.cell_clip, lstm.projection_clip) == ("input", 0.5, 0.2)
    assert np.array_equal(lstm.weight_hr, graph.constant("hr"))  # type: ignore[arg-type]
    assert np.array_equal(lstm.h0, graph.constant("h0")[0, 0])  # type: ignore[arg-type]
    assert np.array_equal(lstm.c0, graph.constant("c0")[0, 0])  # type: ignore[arg-type]
    assert (lstm.hidden_size, lstm.output_size([IN])) == (H, P)


def test_a_projection_that_does_not_fit_is_an_error_of_the_file() -> None:
    graph = projected()
    constants = {name: graph.constant(name) for name in graph.constants} | {"hr": u(P + 1, H)}
    with pytest.raises(FileError, match=r"R of shape \(1, 16, 2\), expected \(1, 16, 3\)"):
        read(small_graph(graph.operators, constants, x=(5, 1, IN)))


def test_a_projection_out_of_place_is_not_read_from_an_onnx_operator() -> None:
    graph = projected()
    plain = [replace(each, beyond={}) for each in graph.operators]
    constants = {name: graph.constant(name) for name in graph.constants}
    with pytest.raises(FileError, match=r"LSTM node 'ys' has R of shape"):
        read(small_graph(plain, constants, x=(5, 1, IN)))


def test_constants_that_a_loop_replaces_one_by_one() -> None:
    """Outputs of three steps, each written over zeros at its place."""
    steps = [op("Squeeze", "x batch", "flat"), op("Split", "flat", "s0 s1 s2", axis=0, num_outputs=3)]
    joins = [
        op("Slice", "zeros one three axis", "rest0"),
        op("Concat", "s0 rest0", "list0", axis=0),
        op("Slice", "list0 zero one axis", "before1"),
        op("Slice", "list0 two three axis", "rest1"),
        op("Concat", "before1 s1 rest1", "list1", axis=0),
        op("Slice", "list1 zero two axis", "before2"),
        op("Concat", "before2 s2", "list2", axis=0),
        op("MatMul", "list2 w", "y"),
    ]
    numbers = {"zero": [0], "one": [1], "two": [2], "three": [3], "axis": [0], "batch": [1]}
    weight = u(IN, P)
    graph = small_graph([*steps, *joins], numbers | {"zeros": np.zeros((3, IN)), "w": weight}, x=(3, 1, IN))
    model, xs = read(graph), u(3, IN)
    np.testing.assert_allclose(reference.run(model, xs)[0], xs.astype(np.float64) @ weight, rtol=0, atol=1e-6)
    early = [*steps, *joins[:2], op("MatMul", "list0 w", "y")]
    with pytest.raises(UnsupportedError, match=r"MatMul node 'y': it reads constants that are concatenated"):
        read(small_graph(early, numbers | {"zeros": np.zeros((3, IN)), "w": weight}, x=(3, 1, IN)))


@pytest.mark.parametrize("repeated", ["zeros", "samples"])
def test_constants_in_place_of_a_signal_may_be_repeated_and_samples_may_not(repeated: str) -> None:
    """A list of zeros takes the number of sequences that are written to it."""
    steps = [
        op("Slice", "x zero one batch", "samples"),
        op("Slice", "samples zero zero time", "nothing"),
        op("Concat", "nothing blank", "zeros", axis=0),
        op("Expand", f"{repeated} wide", "rows"),
        op("Slice", "rows zero zero time", "replaced"),
        op("Concat", "replaced x", "every", axis=0),
        op("MatMul", "every w", "y"),
    ]
    weight, blank = u(IN, P), np.zeros((4, 1, IN))
    numbers = {"zero": [0], "one": [1], "time": [0], "batch": [1], "wide": [1, 2, 1], "w": weight, "blank": blank}
    graph = small_graph(steps, numbers, x=(4, 2, IN))
    if repeated == "samples":
        with pytest.raises(UnsupportedError, match=r"Expand node 'rows': it repeats \(4, 1, 3\) as \(4, 2, 3\)"):
            read(graph)
        return
    xs = u(4, IN)
    np.testing.assert_allclose(reference.run(read(graph), xs)[0], xs.astype(np.float64) @ weight, rtol=0, atol=1e-6)


FOLDED: dict[str, tuple[list[Any], dict[str, Any], list[int]]] = {
    "Div": ([[7, -7, 6], [2, 2, -4]], {}, [3, -3, -1]),
    "Range": ([1, 9, 3], {}, [1, 4, 7]),
    "Max": ([[1, 5, 2], [3, 3, 3], [4, 0, 0]], {}, [4, 5, 3]),
    "Min": ([[1, 5, 2], [3, 3, 3]], {}, [1, 3, 2]),
    "ReduceMax": ([[[2, 3], [4, 5]], [0]], {"keepdims": 0}, [4, 5]),
    "ReduceMin": ([[[2, 3], [4, 5]], [-1]], {"keepdims": 0}, [2, 4]),
    "ReduceSum": ([[[2, 3], [4, 5]], [1]], {"keepdims": 0}, [5, 9]),
    "ReduceProd": ([[[2, 3], [4, 5]], [1]], {"keepdims": 0}, [6, 20]),
}


@pytest.mark.parametrize("kind", FOLDED)
def test_integers_are_computed(kind: str) -> None:
    """Each result is a shape, or counts features that are taken."""
    given, attributes, expected = FOLDED[kind]
    names = [f"n{place}" for place in range(len(given))]
    constants = dict(zip(names, map(np.asarray, given), strict=True))
    constants |= {"w": u(60, IN), "same": np.asarray(expected), "axes": np.array([0])}
    steps = [
        op(kind, " ".join(names), "computed", **attributes),
        op("Equal", "computed same", "equal"),
        op("Not", "equal", "differs"),
        op("Or", "differs differs", "any"),
        op("Where", "any none computed", "places"),
        op("Gemm", "x w", "wide", transB=1),
        op("Gather", "wide places", "y", axis=1),
    ]
    constants["none"] = np.asarray([59] * len(expected))
    model = read(small_graph(steps, constants, x=("time", IN)))
    xs = u(4, IN)
    wanted = xs.astype(np.float64) @ constants["w"].T[:, expected]
    np.testing.assert_allclose(reference.run(model, xs)[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "expected"), [("Less", 1), ("LessOrEqual", 0), ("Greater", 0), ("GreaterOrEqual", 0)])
def test_conditions_are_computed(kind: str, expected: int) -> None:
    """The result chooses between features."""
    left, right = (2, 3) if kind == "Less" else (3, 2) if "Less" in kind else (2, 3)
    steps = [
        op(kind, "left right", "found"),
        op("Less", "left ten", "true"),
        op("And", "found true", "both"),
        op("Where", "both one zero", "place"),
        op("Gather", "x place", "z", axis=1),
        op("Gemm", "z w", "y"),
    ]
    constants = {"left": left, "right": right, "ten": 10, "one": [1, 2], "zero": [0, 2], "w": u(2, 2)}
    model, xs = read(small_graph(steps, constants, x=("time", IN))), u(4, IN)
    wanted = xs[:, [expected, 2]].astype(np.float64) @ constants["w"]
    np.testing.assert_allclose(reference.run(model, xs)[0], wanted, rtol=0, atol=1e-6)


def test_integers_divided_by_zero_are_an_error_of_the_file() -> None:
    steps = [op("Div", "a b", "place"), op("Gather", "x place", "z", axis=1), op("Gemm", "z w", "y")]
    with pytest.raises(FileError, match=r"Div node 'place' does not fit what it reads: an integer is divided by zero"):
        read(small_graph(steps, {"a": [1], "b": [0], "w": u(1, 2)}, x=("time", IN)))


def test_a_long_range_is_not_allocated() -> None:
    steps = [op("Range", "zero many one", "place"), op("Gather", "x place", "z", axis=1), op("Gemm", "z w", "y")]
    with pytest.raises(FileError, match=r"the Range node 'place' would take 8000000000 bytes"):
        read(small_graph(steps, {"zero": 0, "many": 10**9, "one": 1, "w": u(1, 2)}, x=("time", IN)))
