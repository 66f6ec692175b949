"""Outputs in another order, states that begin again, values that a stream lacks: refused, and not read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export.readers.tracing.graph import Graph, Operator
from edge_rnn_export.readers.tracing.walk import read_graph
from tracing_graphs import op, small_graph

RNG = np.random.default_rng(4)
IN, H, STEPS, BATCH = 3, 4, 5, 2
WEIGHTS = {name: RNG.uniform(-0.7, 0.7, shape) for name, shape in {"w": (IN, H), "u": (H, H), "b": (H,)}.items()}
START = {"s0": np.zeros((BATCH, H))}


def refused(operators: list[Operator], words: str, constants: dict[str, Any] | None = None, **inputs: Any) -> None:
    everything = {**WEIGHTS, **START, **(constants or {})}
    read = {name for each in operators for name in each.inputs}
    kept = {name: value for name, value in everything.items() if name in read}
    graph = small_graph(operators, kept, **(inputs or {"x": (STEPS, BATCH, IN)}))
    with pytest.raises((FileError, UnsupportedError), match=words):
        read_graph(graph, None, {})


def steps(times: list[int], again: int | None = None) -> tuple[list[Operator], list[str], dict[str, Any]]:
    """Unrolled steps of an Elman cell over some samples; before the step ``again`` the state is the first one."""
    operators, outputs, h = [], [], "s0"
    for place, time in enumerate(times):
        h = "s0" if place == again else h
        operators += [
            op("Gather", f"x t{time}", f"x{place}", axis=0), op("Gemm", f"x{place} w b", f"i{place}"),
            op("MatMul", f"{h} u", f"r{place}"), op("Add", f"i{place} r{place}", f"a{place}"),
            op("Tanh", f"a{place}", f"h{place}"),
        ]  # fmt: skip
        h = f"h{place}"
        outputs.append(h)
    return operators, outputs, {f"t{time}": np.array(time) for time in times}


@pytest.mark.parametrize("again", [2, 3])
def test_a_state_that_begins_again_in_the_middle(again: int) -> None:
    operators, outputs, places = steps([0, 1, 2, 3, 4], again)
    rows = [op("Unsqueeze", f"{h} zero", f"o{h}") for h in outputs]
    joined = op("Concat", " ".join(f"o{h}" for h in outputs), "y", axis=0)
    refused([*operators, *rows, joined], "later sample|leaves out samples", places | {"zero": [0]})
    refused([*operators, op("Identity", outputs[-1], "y")], "recurrence|later sample", places)


@pytest.mark.parametrize("times", [[2, 3, 4], [1, 2, 3, 4], [0, 2, 4], [0, 1, 3, 4], [0, 1, 2, 4]])
def test_the_last_step_of_some_samples(times: list[int]) -> None:
    operators, outputs, places = steps(times)
    refused([*operators, op("Identity", outputs[-1], "y")], "later sample|leaves out|recurrence", places)


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [1, 2, 3, 4, 0]])
def test_steps_in_another_order(order: list[int]) -> None:
    refused([op("Gather", "x order", "z", axis=0), op("MatMul", "z w", "y")], "in order", {"order": order})


def test_sequences_of_the_batch_in_another_order() -> None:
    operators = [op("MatMul", "x w", "z"), op("Gather", "z order", "y", axis=1)]
    refused(operators, "in order", {"order": [1, 0]})


def test_a_step_by_its_number_in_sequences_of_any_length() -> None:
    cell = op("GRU", "x gw gr", "ys", hidden_size=H)
    weights = {"gw": RNG.normal(size=(1, 3 * H, IN)), "gr": RNG.normal(size=(1, 3 * H, H)), "nine": np.array(9)}
    refused([cell, op("Gather", "ys nine", "y", axis=0)], "Gather|does not fit|steps", weights, x=("time", BATCH, IN))


def test_an_observation_called_state_next_to_a_state_called_h() -> None:
    """The input that has an output of its name is the state."""
    operators = [
        op("MatMul", "state wo", "i"), op("MatMul", "h u", "r"), op("Add", "i r", "a"), op("Tanh", "a", "h_out"),
        op("MatMul", "h_out u2", "y"),
    ]  # fmt: skip
    constants = {**WEIGHTS, "wo": RNG.normal(size=(H, H)), "u2": RNG.normal(size=(H, H))}
    read = {name for each in operators for name in each.inputs}
    graph = small_graph(
        operators, {k: v for k, v in constants.items() if k in read}, "y h_out", h=("b", H), state=("b", H)
    )
    assert isinstance(graph, Graph)
    cell, head = read_graph(graph, None, {}).model.layers
    np.testing.assert_allclose(np.asarray(cell.weight_ih), constants["wo"].T, rtol=1e-6)  # type: ignore[attr-defined]
    assert head.kind == "Dense"


def test_symbols_that_are_cast_to_booleans() -> None:
    table = {"table": RNG.normal(size=(5, H))}
    operators = [op("Cast", "x", "b", to=9), op("Cast", "b", "i", to=7), op("Gather", "table i", "y")]
    refused(operators, "casts samples or outputs of layers to booleans", table, x=(STEPS, BATCH))


def test_names_that_are_directions_alone_tell_nothing() -> None:
    """An exporter calls the samples ``input.1`` and the new state ``input``."""
    operators = [
        op("Gemm", "state.1 u b", "r"), op("Gemm", "input.1 wo b", "i"), op("Add", "r i", "a"),
        op("Tanh", "a", "input"), op("MatMul", "input u2", "19"),
    ]  # fmt: skip
    constants = {**WEIGHTS, "wo": RNG.normal(size=(H, H)), "u2": RNG.normal(size=(H, H))}
    read = {name for each in operators for name in each.inputs}
    kept = {k: v for k, v in constants.items() if k in read}
    ports = {"input.1": (1, H), "state.1": (1, H)}
    graph = small_graph(operators, kept, "19 input", **ports)
    with pytest.raises(UnsupportedError, match=r"input 'state\.1' may be a state, whose new value is the"):
        read_graph(graph, None, {})
    cell = read_graph(graph, None, {}, states={"state.1": "input"}).model.layers[0]
    np.testing.assert_allclose(np.asarray(cell.weight_ih), constants["wo"].T, rtol=1e-6)  # type: ignore[attr-defined]
