"""Unrolled recurrences whose first step an exporter has simplified, as the state is zero there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tracing.graph import Graph, Operator
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

RNG = np.random.default_rng(29)
IN, H, STEPS = 3, 4, 5


def u(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.7, 0.7, shape).astype(np.float32)


NUMBERS = {"w": u(IN, H), "u": u(H, H), "b": u(H), "leak": np.float32(0.3), "rest": np.float32(0.7), "batch": [1]}
NUMBERS |= {"bent": NUMBERS["b"] + np.float32(1e-3)}


def leaky(step: int, *, bias: str = "b") -> list[Operator]:
    """A leaky Elman step; the first has neither the product with the state nor the share of it."""
    gemm = [op("Gemm", f"x{step} w {'b' if step else bias}", f"a{step}")]
    if not step:
        return [*gemm, op("Tanh", "a0", "t0"), op("Mul", "t0 rest", "h0")]
    sums = [op("MatMul", f"h{step - 1} u", f"k{step}"), op("Add", f"a{step} k{step}", f"s{step}")]
    shares = [op("Mul", f"t{step} rest", f"n{step}"), op("Mul", f"h{step - 1} leak", f"o{step}")]
    return [*gemm, *sums, op("Tanh", f"s{step}", f"t{step}"), *shares, op("Add", f"o{step} n{step}", f"h{step}")]


def unrolled(*, last: bool = False, bias: str = "b", steps: int = STEPS) -> Graph:
    """All steps, or the last one alone."""
    names = [f"x{step}" for step in range(steps)]
    operators = [op("Squeeze", "x batch", "rows"), op("Split", "rows", " ".join(names), axis=0, num_outputs=steps)]
    for step in range(steps):
        operators += leaky(step, bias=bias)
    read = " ".join(f"h{step}" for step in range(steps))
    operators.append(op("Identity", f"h{steps - 1}", "y") if last else op("Concat", read, "y", axis=0))
    return small_graph(operators, used(operators), x=(steps, 1, IN))


def used(operators: list[Operator]) -> Mapping[str, object]:
    read = {name for operator in operators for name in operator.inputs}
    return {name: value for name, value in NUMBERS.items() if name in read}


@pytest.mark.parametrize("last", [False, True])
def test_the_step_that_follows_is_the_recurrence(last: bool) -> None:
    model, xs = read_graph(unrolled(last=last), None, {}).model, u(STEPS, IN)
    h, expected = np.zeros(H), []
    for x in xs.astype(np.float64):
        new = np.tanh(x @ NUMBERS["w"] + NUMBERS["b"] + h @ NUMBERS["u"])
        h = 0.3 * h + 0.7 * new
        expected.append(h)
    found = reference.run(model, xs)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=STEPS * (IN + H + 4) * 2.0**-24)


@pytest.mark.parametrize("last", [False, True])
def test_a_first_step_that_computes_something_else_is_refused(last: bool) -> None:
    """Its bias differs by 0.001."""
    with pytest.raises(UnsupportedError, match=r"compute the same|recurrence"):
        read_graph(unrolled(last=last, bias="bent"), None, {})


def test_a_first_step_that_reads_another_sample_is_refused() -> None:
    graph = unrolled()
    operators = [
        op("Gemm", "x1 w b", "a0") if operator.outputs == ("a0",) else operator for operator in graph.operators
    ]
    with pytest.raises(UnsupportedError):
        read_graph(small_graph(operators, used(operators), x=(STEPS, 1, IN)), None, {})


def test_what_a_first_step_computes_for_others_is_not_lost() -> None:
    """The sum in front of its tanh is an output of its own."""
    operators = [*unrolled().operators, op("Identity", "a0", "z")]
    graph = small_graph(operators, used(operators), outputs="y z", x=(STEPS, 1, IN))
    with pytest.raises(UnsupportedError):
        read_graph(graph, None, {})
