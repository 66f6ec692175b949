"""Lowered graphs for any sizes: filled in, they are what lowering gives for these sizes."""

from __future__ import annotations

import json
from dataclasses import astuple
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from edge_rnn.kernels.lower.lowered import lower
from edge_rnn.kernels.lower.template import filled, generalized, template_of
from edge_rnn.layers import GRU, LSTM, Elman, Recurrent, cell
from edge_rnn.layers.cell_equations import recorded

CELLS: dict[str, tuple[type[Recurrent], dict[str, Any]]] = {
    "elman": (Elman, {}),
    "elman, leaky relu": (Elman, {"activation": "leaky_relu:0.3"}),
    "gru": (GRU, {}),
    "gru, reset before": (GRU, {"reset_after": False}),
    "gru, clipped": (GRU, {"gate_clip": 2.0}),
    "lstm": (LSTM, {}),
    "lstm, coupled": (LSTM, {"coupled": "input"}),
    "lstm, cell clipped": (LSTM, {"cell_clip": 3.0}),
    "lstm, peepholes": (LSTM, {"peephole": True}),
    "lstm, projection": (LSTM, {"weight_hr": True}),
    "lstm, everything": (LSTM, {"weight_hr": True, "peephole": True, "projection_clip": 2.0, "h0": True, "c0": True}),
}
SIZES = [*product((1, 2, 13, 16), (1, 3, 16, 100), (1, 16, 33))]
BIASES = [*product((False, True), repeat=2)]


def made(name: str, sizes: tuple[int, int, int], biases: tuple[bool, bool]) -> Recurrent:
    kind, options = CELLS[name]
    inputs, units, projected = sizes
    rows, recurrent = len(kind.gates) * units, projected if "weight_hr" in options else units
    shapes = {"peephole": 3 * units, "weight_hr": (projected, units), "h0": recurrent, "c0": units}
    given = {key: np.ones(shapes[key]) if key in shapes else value for key, value in options.items()}
    both = (np.ones(rows) if there else None for there in biases)
    return kind(np.ones((rows, inputs)), np.ones((rows, recurrent)), *both, **given)


def lowered(kind: type[Recurrent], states: Any, fields: Any, stackable: frozenset[str]) -> str:
    return json.dumps(astuple(lower(recorded(kind.equation, states, fields), stackable)))


@pytest.mark.parametrize("biases", BIASES, ids=str)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.sampled(8)
def test_one_text_serves_all_sizes(name: str, biases: tuple[bool, bool]) -> None:
    stackable = frozenset({"weight_ih", "weight_hh"})
    model = made(name, (11, 13, 17), biases)
    text = generalized(model.recorded_from, lambda *given: lowered(type(model), *given, stackable))
    known = template_of(model.recorded_from)
    assert known is not None
    for sizes in SIZES:
        other = made(name, sizes, biases)
        found = template_of(other.recorded_from)
        assert found is not None
        assert found[0] == known[0]
        _, states, fields = other.recorded_from  # type: ignore[misc]
        assert filled(text, found[1]) == lowered(type(other), states, fields, stackable), sizes


@pytest.mark.parametrize("name", CELLS)
def test_formats_make_no_difference(name: str) -> None:
    """Matrices of float32 are stacked if they multiply the same vector; no two of a cell do."""
    _, states, fields = made(name, (3, 5, 2), (True, True)).recorded_from  # type: ignore[misc]
    names = ("weight_ih", "weight_hh", "weight_hr")
    sets = [frozenset(chosen) for count in range(4) for chosen in combinations(names, count)]
    assert len({lowered(CELLS[name][0], states, fields, stackable) for stackable in sets}) == 1


def test_other_options_and_biases_have_other_texts() -> None:
    cells = [made(name, (2, 3, 4), biases) for name in CELLS for biases in BIASES]
    assert len({template_of(each.recorded_from)[0] for each in cells}) == len(cells)  # type: ignore[index]


def test_a_number_that_an_option_has_makes_no_difference() -> None:
    first, second = (Elman([[1.0]], [[1.0]], activation=f"leaky_relu:{alpha}") for alpha in (0.1, 0.7))
    assert template_of(first.recorded_from) == template_of(second.recorded_from)


def test_a_cell_of_ones_own_has_none() -> None:
    @cell
    def leaky(p: Any, x: Any, h: Any) -> Any:
        h = h + 0.1 * (p.A @ x - h)
        return h, {"h": h}

    class Own(GRU):
        pass

    assert template_of(leaky(A=np.ones((3, 2), np.float32)).recorded_from) is None
    assert template_of(Own(np.ones((3, 1)), np.ones((3, 1))).recorded_from) is None
