"""Random Keras programs: they run, and those with an obstacle do what no stream can."""

from __future__ import annotations

import os
from collections import Counter
from importlib import import_module
from random import Random

import numpy as np
import pytest

import needs
from tests.readers.trials.keras_write import KerasProgram, write

needs.package("torch")
os.environ.setdefault("KERAS_BACKEND", "torch")
needs.package("keras")
keras_trials = import_module("tests.readers.trials.keras_trials")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

COUNT, STEPS, SHORT = 100, 24, 4


def program(number: int) -> KerasProgram:
    return write(Random(f"test/{number}"))


def samples(p: KerasProgram) -> np.ndarray:
    rng = np.random.default_rng(0)
    if p.symbols:
        return rng.integers(1, p.inputs[0], (STEPS, 1)).astype(np.float32)
    return rng.standard_normal((STEPS, sum(p.inputs))).astype(np.float32)


def test_programs_run_and_only_obstacles_look_ahead() -> None:
    """Outputs of a longer sequence begin with those of a shorter one, unless the program says otherwise."""
    seen: Counter[str] = Counter()
    for number in range(COUNT):
        p = program(number)
        model = keras_trials.built(p, number, "float64")
        xs = samples(p)[: p.steps or STEPS]
        rows, heads = keras_trials.outputs(p, model, xs)
        assert all(len(head) == len(np.arange(len(xs))[rows]) for head in heads)
        if p.last or p.steps:
            continue
        _, short = keras_trials.outputs(p, model, xs[:SHORT])
        equal = all(np.allclose(a[:SHORT], b, rtol=1e-9, equal_nan=True) for a, b in zip(heads, short, strict=True))
        assert equal == (not p.obstacle), p.text
        seen[p.obstacle or "causal"] += 1
    assert seen["causal"] > COUNT // 10
    assert len(seen) > 2


def test_stateful_calls_continue() -> None:
    """Runs are equal, since each begins by resetting the states; a second call differs from one that begins."""
    stateful = [number for number in range(COUNT) if program(number).stateful and not program(number).last]
    differ = 0
    for number in stateful:
        p = program(number)
        model = keras_trials.built(p, number, "float64")
        first, again = (keras_trials.outputs(p, model, samples(p))[1][0] for _ in range(2))
        np.testing.assert_array_equal(first, again)
        begun = keras_trials.outputs(p, model, samples(p)[p.steps : 2 * p.steps])[1][0]
        differ += not np.allclose(first[p.steps : 2 * p.steps], begun, rtol=0, atol=1e-6)
    assert differ > len(stateful) // 2 > 0  # a relu at the end may be silent


def test_a_program_follows_from_its_number_and_all_forms_occur() -> None:
    assert program(3).text == program(3).text
    programs = [program(number) for number in range(300)]
    for has in ("functional", "symbols", "stateful", "masked", "last", "obstacle", "steps"):
        share = sum(bool(getattr(p, has)) for p in programs) / len(programs)
        assert 0.03 < share < 0.7, has
    for layer in ("StackedRNNCells", "return_state", "TimeDistributed", "Normalization(mean", "unroll", "L.Multiply"):
        assert any(layer in p.text for p in programs), layer
    assert any(len(p.inputs) == 2 for p in programs)
