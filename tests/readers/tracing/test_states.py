"""States of recurrent operators that are inputs of the graph: each gets its own new value back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

RNG = np.random.default_rng(6)
IN, H = 3, 4
SHAPES = {"w0": (1, 3 * H, IN), "w1": (1, 3 * H, H), "u0": (1, 3 * H, H), "u1": (1, 3 * H, H)}
CONSTANTS = {name: RNG.uniform(-0.7, 0.7, shape) for name, shape in SHAPES.items()} | {"one": np.array([1])}


def two(*ends: Any, outputs: str) -> Any:
    """Two GRUs with the states ``a_in`` and ``b_in``; their final states are ``first`` and ``second``."""
    operators = [
        op("GRU", "x w0 u0 - - a_in", "y0 first", "/low/GRU", hidden_size=H), op("Squeeze", "y0 one", "z0"),
        op("GRU", "z0 w1 u1 - - b_in", "y1 second", "/high/GRU", hidden_size=H), op("Squeeze", "y1 one", "y"), *ends,
    ]  # fmt: skip
    state = (1, "batch", H)
    return small_graph(operators, CONSTANTS, outputs, x=("time", "batch", IN), a_in=state, b_in=state)


def named(first: str, second: str) -> list[Any]:
    return [op("Identity", "first", first), op("Identity", "second", second)]


@pytest.mark.parametrize("outputs", ["y a_out b_out", "b_out y a_out"])
def test_names_tell_which_state_is_which(outputs: str) -> None:
    reading = read_graph(two(*named("a_out", "b_out"), outputs=outputs), None, {})
    assert [layer.name for layer in reading.model.layers] == ["low", "high"]


CROSSED = {
    "names": (named("b_out", "a_out"), "y b_out a_out", {"a_in": "b_out", "b_in": "a_out"}),
    "order": (named("p", "q"), "y q p", {"a_in": "p", "b_in": "q"}),
}


@pytest.mark.parametrize("case", CROSSED)
def test_crossed_states_are_refused_unless_an_argument_says_otherwise(case: str) -> None:
    ends, outputs, own = CROSSED[case]
    with pytest.raises(
        UnsupportedError, match=r"'a_in' is the state of the GRU node '/low/GRU', and .* say states="
    ) as told:
        read_graph(two(*ends, outputs=outputs), None, {})
    assert str(own) in str(told.value)
    assert len(read_graph(two(*ends, outputs=outputs), None, {}, states=own).model.layers) == 2  # as the message says
    with pytest.raises(UnsupportedError, match="is not that operator's final state"):
        read_graph(two(*ends, outputs=outputs), None, {}, states=dict(zip(own, [*own.values()][::-1], strict=True)))


def test_a_new_value_that_is_computed_from_the_final_state_is_refused() -> None:
    ends = [op("Mul", "first decay", "a_out"), op("Identity", "second", "b_out")]
    graph = two(*ends, outputs="y a_out b_out")
    graph = small_graph(
        graph.operators,
        {**CONSTANTS, "decay": np.array(0.9)},
        "y a_out b_out",
        **{p.name: p.shape for p in graph.inputs},
    )
    with pytest.raises(
        UnsupportedError, match=r"its new value 'a_out' is not that operator's final state, as it is in a s"
    ):
        read_graph(graph, "y", {})
