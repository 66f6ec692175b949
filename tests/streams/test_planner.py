"""Places in a stream's memory follow from each layer's declaration of its states."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.record import PLACES, Operation, Record, padded
from edge_rnn.layers import LSTM, Layer
from edge_rnn.model import Model
from edge_rnn.streams.plan import Plan
from edge_rnn.streams.planner import plan_for


@dataclass(frozen=True, slots=True, eq=False)
class Delay(Layer):
    """Three samples in a ring, the index of the next one, and a sum as output."""

    rings: ClassVar[tuple[str, ...]] = ("past",)
    emits: ClassVar[str] = "sum"

    @property
    def initial_state(self) -> dict[str, np.ndarray]:
        return {"past": np.arange(6, dtype=np.float32), "at": np.zeros(1, np.float32), "sum": np.ones(2, np.float32)}

    def output_size(self, input_sizes: Sequence[int]) -> int:
        return 2


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A Delay behind an LSTM of 9 units."""
    kernel = ModuleType("edge_rnn.kernels.cells.delay")
    kernel.pack = lambda values, site: [Operation("delay")]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, kernel.__name__, kernel)
    lstm = LSTM(np.ones((36, 4)), np.ones((36, 9)), name="lstm")
    return plan_for(Model([lstm, Delay(name="delay")]), object_cache.host())


def test_replaced_states_have_two_places_and_rings_one(plan: Plan) -> None:
    half = 2 * padded(9) + padded(1) + padded(2)
    assert list(plan.states) == ["lstm.h", "lstm.c", "delay.past", "delay.at", "delay.sum"]
    for name, slots in plan.states.items():
        assert slots.odd - slots.even == (0 if name == "delay.past" else half)
    assert plan.state_floats == half
    assert plan.states["delay.past"].even == 2 * half  # behind both: never copied, and never looked through
    taken = sorted((slots.even, slots.size) for slots in (*plan.states.values(), plan.sample, plan.held))
    assert all(start + size <= following for (start, size), (following, _) in pairwise(taken))


def test_output_is_the_state_that_the_layer_emits(plan: Plan) -> None:
    assert plan.output == plan.states["delay.sum"].swapped
    record = plan.records[0, -1]
    assert record[Record.OUT] == plan.states["delay.sum"].odd
    old_and_new = record[PLACES:][:6]
    past, at, total = (plan.states[f"delay.{name}"] for name in ("past", "at", "sum"))
    assert old_and_new.tolist() == [past.even, past.even, at.even, at.odd, total.even, total.odd]


def test_stream_begins_with_all_states(plan: Plan) -> None:
    past, total = plan.states["delay.past"], plan.states["delay.sum"]
    np.testing.assert_array_equal(plan.initial[past.even :][: past.size], np.arange(6))
    np.testing.assert_array_equal(plan.initial[total.even :][: total.size], [1, 1])
    assert past in plan.kept
