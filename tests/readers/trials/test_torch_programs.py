"""Random PyTorch programs: they run, and those with an operation over time do what no stream can."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from random import Random

import numpy as np
import pytest

import needs
from tests.readers.trials import torch_recurrent, torch_write

needs.package("torch")
torch_trials = import_module("tests.readers.trials.torch_trials")
pytestmark = pytest.mark.torch

COUNT = 150


def program(number: int) -> torch_write.Program:
    return torch_write.write(Random(f"test/{number}"))


def test_programs_run_and_only_obstacles_look_ahead() -> None:
    """Outputs of a longer sequence begin with those of a shorter one, unless the program says otherwise."""
    seen: Counter[str] = Counter()
    for number in range(COUNT):
        p = program(number)
        module = torch_trials.made(p, number)
        if p.last or p.states:
            assert all(np.isfinite(head).all() for run in torch_trials.runs(p, module) for head in run.heads)
            continue
        xs = torch_trials.runs(p, module)[0].xs[:40]
        (_, long), (_, short) = (torch_trials.outputs(p, module, part) for part in (xs, xs[:4]))
        equal = all(np.allclose(a[:4], b, rtol=0, atol=1e-9) for a, b in zip(long, short, strict=True))
        assert equal == (not p.obstacle), p.text
        seen["causal" if equal else p.obstacle] += 1
    assert seen["causal"] > COUNT // 4
    assert len(seen) > len(torch_recurrent.OBSTACLES) // 2


def test_states_continue_a_sequence() -> None:
    """Two calls with the states between them are one call, for programs whose states go in and out."""
    found = 0
    for number in range(COUNT):
        p = program(number)
        if not p.states or p.last or p.layout == "step" or p.obstacle:
            continue
        module = torch_trials.made(p, number)
        xs = torch_trials.runs(p, module)[0].xs[:20]
        (_, whole), (_, longer) = torch_trials.outputs(p, module, xs[:10]), torch_trials.outputs(p, module, xs)
        for a, b in zip(whole, longer, strict=True):  # the first calls have 5 and 10 steps
            np.testing.assert_allclose(a, b[:10], rtol=0, atol=1e-9)
        found += 1
    assert found > 3


def test_a_program_follows_from_its_number_and_all_ways_occur() -> None:
    assert program(3).text == program(3).text
    programs = [program(number) for number in range(COUNT)]
    assert {p.layout for p in programs} == {*torch_write.LAYOUTS, "step"}
    assert {bool(p.bare) for p in programs} == {bool(p.states) for p in programs} == {True, False}
    assert sum("for " in p.text for p in programs) > COUNT // 20
    assert 0.08 < sum(bool(p.obstacle) for p in programs) / COUNT < 0.25
