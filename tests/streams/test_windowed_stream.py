"""Many to one: overlapping windows give, bit for bit, the same outputs as each window alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rnn import Dense, Elman, Model, Stream
from edge_rnn.errors import InputError, StateError
from edge_rnn.streams import WindowedStream

Build = Callable[..., Model]


def noise(steps: int, size: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((steps, size)).astype(np.float32)


def one_by_one(model: Model, xs: np.ndarray, window: int, hop: int) -> np.ndarray:
    starts = range(0, len(xs) - window + 1, hop)
    answers = [Stream(model).run(xs[start : start + window])[-1] for start in starts]
    return np.array(answers, np.float32).reshape(-1, model.output_size)


@pytest.mark.parametrize("cell", ["elman_tanh", "gru", "lstm"])
@given(window=st.integers(1, 12), hop=st.integers(1, 15), steps=st.integers(0, 40))
def test_answers_are_those_of_each_window(make_model: Build, cell: str, window: int, hop: int, steps: int) -> None:
    model = make_model(cell, 2, 9, initial=True)
    xs = noise(steps, 2)
    stream = WindowedStream(model, window=window, hop=hop)
    at = [t for t, x in enumerate(xs) if stream.step(x) is not None]
    assert at == [t for t in range(steps) if t >= window - 1 and (t - window + 1) % hop == 0]
    stream.reset()
    assert np.array_equal(stream.run(xs), one_by_one(model, xs, window, hop))
    assert stream.count == steps
    cut = steps // 3
    stream.reset()
    parts = [stream.run(xs[:cut]), stream.run(xs[cut:])]
    assert np.array_equal(np.concatenate(parts), one_by_one(model, xs, window, hop))


def test_classify_is_a_window_by_itself(make_model: Build) -> None:
    model = make_model("gru", 2, 9, initial=True)
    xs = noise(30, 2)
    stream = Stream(model)
    stream.run(xs)
    answer = stream.classify(xs[:12])
    assert np.array_equal(answer, Stream(model).run(xs[:12])[-1])
    stream.classify(xs[5:])
    assert np.array_equal(answer, Stream(model).run(xs[:12])[-1])  # an array of its own
    with pytest.raises(InputError, match="empty window"):
        stream.classify(xs[:0])


def test_a_bad_sample_does_not_count(make_model: Build) -> None:
    model = make_model("lstm", 2, 9)
    xs = noise(30, 2)
    stream = WindowedStream(model, window=9, hop=2)
    first = stream.run(xs[:13])
    with pytest.raises(InputError, match="got nan in channel 1"):
        stream.step([0.0, np.nan])
    rest = stream.run(xs[13:])
    assert np.array_equal(np.concatenate([first, rest]), one_by_one(model, xs, 9, 2))


def test_an_overflow_in_one_window_moves_none() -> None:
    # h = x - h goes 1e38, 0, 1e38 …: after 17 samples the oldest window bears 2e38, the next one, after 14, does not.
    model = Model([Elman([[1.0]], [[-1.0]], activation="relu"), Dense([[2.0]])])
    xs = np.full((40, 1), 1e38, np.float32)
    xs[17] = 2e38
    assert np.isfinite(Stream(model).run(xs[:18])).all()
    with pytest.raises(InputError, match="overflow"):
        Stream(model).run(xs[3:18])
    stream, answers = WindowedStream(model, window=20, hop=3), []
    for t, x in enumerate(xs):
        if t == 17:
            with pytest.raises(InputError, match="overflow"):
                stream.step(x)
            continue
        answer = stream.step(x)
        answers += [] if answer is None else [answer.copy()]
    assert np.array_equal(answers, one_by_one(model, np.delete(xs, 17, axis=0), 20, 3))


@pytest.mark.parametrize("policy", ["hold", "skip"])
def test_policies_are_those_of_each_window(make_model: Build, policy: Any) -> None:
    model = make_model("gru", 2, 9)
    xs = noise(40, 2)
    xs[[7, 8, 20], [0, 1, 0]] = np.nan
    got = WindowedStream(model, window=8, hop=3, on_nonfinite=policy).run(xs)
    expected = [Stream(model, on_nonfinite=policy).run(xs[t : t + 8])[-1] for t in range(0, 33, 3)]
    assert np.array_equal(got, expected)


def test_memory_is_that_of_the_open_windows(make_model: Build) -> None:
    model = make_model("gru", 2, 9)
    single = Stream(model).memory
    for window, hop, open_windows in ((8, 8, 1), (8, 3, 3), (8, 20, 1), (8, 1, 8)):
        stream = WindowedStream(model, window=window, hop=hop)
        assert stream.memory == (single.weights, open_windows * single.state)
        assert stream.nbytes == sum(stream.memory)


ERRORS: dict[str, tuple[Callable[[Model], Any], str]] = {
    "window": (lambda m: WindowedStream(m, window=0, hop=1), "window got 0, expected a number of samples"),
    "hop": (lambda m: WindowedStream(m, window=5, hop=1.5), "hop got 1.5"),  # type: ignore[arg-type]
    "too many": (lambda m: WindowedStream(m, window=10**6, hop=1), "in 1000000 windows; expected at most 4096"),
    "shape": (lambda m: WindowedStream(m, window=5, hop=9).step(np.zeros(3)), "shape (3,), expected (2,)"),
    "rows": (lambda m: WindowedStream(m, window=5, hop=1).run(np.zeros(2)), "shape (2,), expected (time, 2)"),
    "model": (lambda m: WindowedStream(None, window=5, hop=1), "got NoneType as model"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(make_model: Build, case: str) -> None:
    action, words = ERRORS[case]
    with pytest.raises(InputError) as caught:
        action(make_model("gru", 2, 5))
    assert words in str(caught.value)


# ---- states from elsewhere


def test_states_can_be_set(make_model: Build) -> None:
    model = make_model("lstm", 2, 9, layers=2)
    xs = noise(40, 2)
    first, second = Stream(model), Stream(model)
    first.run(xs[:15])
    second.run(xs[:6])  # odd and even steps keep states in different places
    second.set_state(first.state)
    assert np.array_equal(second.run(xs[15:]), first.run(xs[15:]))
    before = second.state
    second.set_state({"lstm1.c": np.arange(9)})
    after = second.state
    assert np.array_equal(after.pop("lstm1.c"), np.arange(9))
    assert all(np.array_equal(after[name], before[name]) for name in after)


def test_streams_take_over_from_one_another(make_model: Build) -> None:
    model = make_model("gru", 2, 9)
    xs = noise(40, 2)
    first, second = Stream(model), Stream(model)
    first.run(xs[:15])
    second.run(xs[:6])
    second.copy_from(first)
    assert second.snapshot() == first.snapshot()
    assert np.array_equal(second.run(xs[15:]), first.run(xs[15:]))
    with pytest.raises(StateError, match="copy_from got <Stream of"):
        second.copy_from(Stream(make_model("gru", 2, 9, seed=5)))


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"gru1.h": np.zeros(9), "gru1.c": np.zeros(9)}, "the state 'gru1.c', expected one of: gru1.h"),
        ({"gru1.h": np.zeros(8)}, r"shape \(8,\) as gru1.h, expected \(9,\)"),
        ({"gru1.h": np.full(9, np.inf)}, "not finite as gru1.h"),
    ],
)
def test_states_that_do_not_fit(make_model: Build, states: dict[str, Any], words: str) -> None:
    stream = Stream(make_model("gru", 2, 9))
    stream.run(noise(3, 2))
    before = stream.snapshot()
    with pytest.raises(StateError, match=words):
        stream.set_state(states)
    assert stream.snapshot() == before


def test_one_channel_takes_plain_numbers() -> None:
    windows = WindowedStream(Model([Elman([[1.0]], [[0.5]])]), window=2, hop=2)
    assert windows.step(0.5) is None
    answer = windows.step(0.25)
    assert answer is not None
    expected = Stream(windows.model).run(np.array([[0.5], [0.25]], np.float32))[-1]
    assert np.array_equal(answer, expected)
