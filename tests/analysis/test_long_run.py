"""State over many steps: running statistics equal those of all states at once, and memory does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from edge_rnn import Elman, Model, Stream
from edge_rnn.analysis import long_run
from edge_rnn.errors import InputError

RNG = np.random.default_rng(0)


def one_unit(decay: float, activation: str = "relu", bias: float = 0.0) -> Model:
    return Model([Elman([[1.0]], [[decay]], [bias], [0.0], activation=activation)])


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman_tanh"])
@pytest.mark.parametrize(("samples", "steps"), [(7, 100), (30, 30), (30, 59), (5, 17), (1, 4)])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.sampled(1)
def test_statistics_equal_those_of_all_states_at_once(
    cell: str,
    samples: int,
    steps: int,
    block_bytes: int,
    make_model: Callable[..., Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_run, "_BLOCK_BYTES", block_bytes)  # blocks of 16 steps, or one
    model = make_model(cell, 2, 5, head=2, initial=True)
    rows = (3 * RNG.standard_normal((samples, 2))).astype(np.float32)
    found = long_run.long_run(model, rows, steps)
    assert (found.steps, found.samples, found.broke_at) == (steps, samples, None)
    stream = Stream(model)
    kept: dict[str, list[np.ndarray]] = {name: [] for name in model.initial_state}
    for place in range(steps):
        stream.step(rows[place % samples])
        for name, value in stream.state.items():
            kept[name].append(value)
    assert [state.name for state in found.states] == list(kept)
    for state in found.states:
        values = np.array(kept[state.name], np.float64)
        norms = np.linalg.norm(values, axis=1)
        assert state.buckets[0].first == 1
        assert state.buckets[-1].last == steps
        for one, two in zip(state.buckets, state.buckets[1:], strict=False):
            assert (two.first, one.last) == (4 * one.first, two.first - 1)
        for bucket in state.buckets:
            own = norms[bucket.first - 1 : bucket.last]
            np.testing.assert_allclose([bucket.least, bucket.mean, bucket.most], [own.min(), own.mean(), own.max()])
        late = values[samples if steps >= 2 * samples else 0 :]
        np.testing.assert_array_equal(state.low, late.min(axis=0))
        np.testing.assert_array_equal(state.high, late.max(axis=0))
        bound = np.arctanh(0.99) if state.name.endswith(".c") else 0.99 * model.layers[0].output_bound  # type: ignore[operator]
        assert state.saturated is not None
        np.testing.assert_allclose(state.saturated, (np.abs(late) >= bound).mean(axis=0))
        passes = [norms[k * samples : (k + 1) * samples].mean() for k in range(steps // samples)]
        if len(passes) < 3:
            assert state.growth is None
        else:
            assert state.growth == pytest.approx(passes[-1] / passes[1], rel=1e-12)


def test_a_state_that_grows() -> None:
    (state,) = long_run.long_run(one_unit(1.0), np.ones((10, 1)), 1000).states
    assert state.growth == pytest.approx(995.5 / 15.5)  # it counts the samples
    assert state.saturated is None
    assert state.stuck == ()


def test_a_state_that_fades() -> None:
    model = Model([Elman([[0.0]], [[0.9]], activation="relu", h0=[1.0])])
    (state,) = long_run.long_run(model, np.ones((5, 1)), 50).states
    assert state.growth == pytest.approx(0.9**40, rel=1e-5)


def test_a_state_that_explodes() -> None:
    found = long_run.long_run(one_unit(10.0), np.ones((4, 1)), 1000)
    assert found.broke_at == 40  # 39 ones are 1.11e38, and one more is beyond float32
    assert found.steps == 39
    assert found.states[0].growth is None
    assert found.states[0].buckets[-1].last == 39
    assert found.states[0].dead == ()
    early = long_run.long_run(one_unit(10.0), np.ones((400, 1)), 1000)
    assert early.broke_at == 40
    assert early.states[0].dead == ()


def test_units_that_are_stuck_or_dead() -> None:
    weights = np.array([[1.0], [1.0], [0.0], [1.0]])
    bias = np.array([0.0, 9.0, 0.3, -9.0])
    model = Model([Elman(weights, np.zeros((4, 4)), bias)])
    (state,) = long_run.long_run(model, np.sin(np.arange(50.0))[:, None], 500).states
    assert state.stuck == (1, 3)
    assert state.dead == (1, 2, 3)
    (still,) = long_run.long_run(Model([Elman(0 * weights, np.zeros((4, 4)))]), np.ones((5, 1)), 50).states
    assert still.dead == (0, 1, 2, 3)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_steps(make_model: Callable[..., Model]) -> None:
    model, rows = make_model("lstm", 2, 64), RNG.standard_normal((50, 2)).astype(np.float32)
    long_run.long_run(model, rows, 100)
    peaks = []
    for steps in (5_000, 40_000):
        tracemalloc.start()
        long_run.long_run(model, rows, steps)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]


def test_a_model_without_state() -> None:
    from edge_rnn import Dense

    found = long_run.long_run(Model([Dense(np.eye(2))]), np.ones((3, 2)), 10)
    assert (found.states, found.broke_at) == ((), None)


def test_what_is_refused() -> None:
    model = one_unit(0.5)
    for rows, steps, said in (
        (np.ones((0, 1)), 10, r"samples of shape \(0, 1\), expected \(time, 1\) with at least one row"),
        (np.ones((3, 2)), 10, r"samples of shape \(3, 2\)"),
        (np.array([[np.nan]]), 10, "not finite"),
        (np.ones((3, 1)), 0, "steps got 0, expected a whole number"),
        (np.ones((3, 1)), 2.5, "steps got 2.5"),
    ):
        with pytest.raises(InputError, match=said):
            long_run.long_run(model, rows, steps)  # type: ignore[arg-type]
