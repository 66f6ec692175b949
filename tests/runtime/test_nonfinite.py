"""A sample with NaN or inf never poisons the state, whichever policy is set and whichever way the step is called."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_rnn import Dense, Elman, InputError, Model, Standardize, Stream

Build = Callable[..., Model]
BAD = (np.nan, np.inf, -np.inf)


def noise(steps: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((steps, 3)).astype(np.float32)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("channel", [0, 2])
def test_raise_leaves_the_state(make_model: Build, bad: float, channel: int) -> None:
    xs = noise(20)
    model = make_model("lstm", 3, 9)
    expected = Stream(model).run(xs)
    stream = Stream(model)
    stream.run(xs[:10])
    before, poison = stream.snapshot(), xs[10].copy()
    poison[channel] = bad
    for call in (stream.step, lambda x: stream.run(x[None])):
        with pytest.raises(InputError, match=f"got {bad} in channel {channel}; the state is as before"):
            call(poison)
    assert stream.snapshot() == before
    assert np.array_equal(stream.run(xs[10:]), expected[10:])
    assert stream.refused == 0


def test_run_says_which_sample_and_keeps_those_before(make_model: Build) -> None:
    xs = noise(20)
    model = make_model("gru", 3, 9)
    expected = Stream(model).run(xs)
    stream, out, poisoned = Stream(model), np.zeros((20, 4), np.float32), xs.copy()
    poisoned[7, 1] = np.nan
    with pytest.raises(InputError, match=r"xs\[7\] got nan in channel 1"):
        stream.run(poisoned, out)
    assert np.array_equal(out[:7], expected[:7])
    assert not out[7:].any()
    assert np.array_equal(stream.run(xs[7:]), expected[7:])


def test_hold_takes_the_last_finite_value_of_that_channel(make_model: Build) -> None:
    xs = noise(30)
    model = make_model("gru", 3, 9)
    broken, held = xs.copy(), xs.copy()
    broken[0, 0], held[0, 0] = np.nan, 0.0  # nothing to hold yet
    broken[5, 1], held[5, 1] = np.inf, xs[4, 1]
    broken[6, 1], held[6, 1] = np.nan, xs[4, 1]
    broken[6, 2], held[6, 2] = -np.inf, xs[5, 2]
    stream = Stream(model, on_nonfinite="hold")
    assert np.array_equal(stream.run(broken), Stream(model).run(held))
    assert stream.refused == 3


def test_skip_repeats_the_output_and_leaves_the_state(make_model: Build) -> None:
    xs = noise(30)
    model = make_model("elman_tanh", 3, 9)
    broken = xs.copy()
    broken[[0, 11, 12]] = np.nan
    stream = Stream(model, on_nonfinite="skip")
    ys = stream.run(broken)
    assert not ys[0].any()
    assert np.array_equal(ys[11], ys[10])
    assert np.array_equal(ys[12], ys[10])
    kept = np.delete(xs, [0, 11, 12], axis=0)
    assert np.array_equal(np.delete(ys, [0, 11, 12], axis=0), Stream(model).run(kept))
    assert stream.refused == 3
    stream.reset()
    assert stream.refused == 0


@pytest.mark.parametrize("policy", ["hold", "skip"])
def test_policies_survive_a_snapshot(make_model: Build, policy: str) -> None:
    """What is held, and the last output, belong to the state: after a restart the stream goes on as before."""
    xs = noise(30)
    xs[[9, 10, 11], 1] = np.nan
    model = make_model("lstm", 3, 9)
    expected = Stream(model, on_nonfinite=policy).run(xs)  # type: ignore[arg-type]
    first = Stream(model, on_nonfinite=policy)  # type: ignore[arg-type]
    first.run(xs[:10])
    second = Stream(model, on_nonfinite=policy)  # type: ignore[arg-type]
    second.restore(first.snapshot())
    assert np.array_equal(second.run(xs[10:]), expected[10:])


def test_a_finite_sample_that_overflows_inside_is_refused_too() -> None:
    """1e38 twice through weights of 10 is infinite before the rectifier, and would stay in the state for ever."""
    model = Model([Elman(np.full((2, 2), 10.0), np.eye(2) * 0.5, activation="relu"), Dense([[1.0, -1.0]])])
    good, bad = np.ones(2, np.float32), np.full(2, 1e38, np.float32)
    stream = Stream(model)
    stream.step(good)
    before = stream.state
    with pytest.raises(InputError, match="makes output or state overflow"):
        stream.step(bad)
    assert all(np.array_equal(stream.state[name], before[name]) for name in before)
    for policy in ("hold", "skip"):
        patient = Stream(model, on_nonfinite=policy)  # type: ignore[arg-type]
        last = patient.step(good).copy()
        assert np.array_equal(patient.step(bad), last)
        assert patient.refused == 1
        assert np.isfinite(patient.step(good)).all()


@pytest.mark.parametrize("cell", ["elman_tanh", "gru", "lstm"])
def test_a_state_that_decays_ends_at_zero_and_not_among_the_subnormal_numbers(make_model: Build, cell: str) -> None:
    """Those are computed with several times more slowly on many CPUs."""
    layer = make_model(cell, 1, 9, bias=False, head=0).layers[0]
    decaying = {name: np.abs(array) * np.float32(0.3) for name, array in layer.arrays.items()}
    stream = Stream(Model([type(layer)(**decaying, **layer.options)]))  # type: ignore[arg-type]
    stream.step(1.0)
    sizes = []
    for _ in range(600):
        stream.step(0.0)
        sizes += [np.abs(values).max() for values in stream.state.values()]
    positive = [size for size in sizes if size > 0]
    assert min(positive) >= 2.0**-105  # c at 2^-80 or above, times an output gate of 2^-24 or above
    assert sizes[-1] == 0


@pytest.mark.parametrize("outputs", [7, 8])
def test_an_overflow_behind_a_saturating_head_is_refused_too(outputs: int) -> None:
    """A rectified state that doubles in each step reaches infinity, and tanh makes 1 of that."""
    doubling = Elman([[1.0]], [[2.0]], activation="relu")
    stream = Stream(Model([doubling, Dense(np.ones((outputs, 1)), activation="tanh")]))
    with pytest.raises(InputError, match="makes output or state overflow"):
        stream.run(np.ones((140, 1)))
    assert np.isfinite(stream.state["elman1.h"]).all()
    stream.restore(stream.snapshot())


def test_an_overflow_in_a_branch_that_ends_nowhere_is_refused_too() -> None:
    doubling = Elman([[1.0]], [[2.0]], activation="relu")
    for policy in ("hold", "skip"):
        stream = Stream(Model([doubling, Dense([[1.0]], inputs=("input",))]), on_nonfinite=policy)  # type: ignore[arg-type]
        for _ in range(200):
            stream.step(1.0)
        assert stream.refused > 0
        assert np.isfinite(stream.state["elman1.h"]).all()


def test_what_saturates_on_the_way_is_finite_whatever_the_size() -> None:
    """An infinity between two layers that tanh turns into 1 is no reason to refuse: not with 3 outputs, not with 8."""
    for outputs in (3, 8):
        model = Model([Standardize([0.0], [1e-30]), Dense(np.ones((outputs, 1)), activation="tanh")])
        assert np.array_equal(Stream(model).step(np.full(1, 1e10, np.float32)), np.ones(outputs, np.float32))
