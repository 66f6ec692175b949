"""Streams that step together give the same results as alone, each with its own state.

Tolerance: the sums of several streams are split into fewer chains than those of one, so float32 rounds them in another
order; 1e-6 is eight times the distance of neighbours at 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from edge_rnn import Dense, Elman, Model, Stream, StreamBank
from edge_rnn.errors import InputError
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry import python_function as fast

pytestmark = pytest.mark.sampled(2)

Build = Callable[..., Model]
TOLERANCE = 1e-6
CELLS = ("gru", "elman_tanh", "elman_relu", "gru_reset_before", "lstm")


def noise(steps: int, streams: int, inputs: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((steps, streams, inputs)).astype(np.float32)


def alone(model: Model, xs: np.ndarray) -> np.ndarray:
    """Outputs of each stream alone: ``(steps, streams, outputs)``."""
    return np.stack([Stream(model).run(xs[:, s]) for s in range(xs.shape[1])], axis=1)


@pytest.mark.parametrize(
    ("cell", "group"),
    list(itertools.product(CELLS, [4, 2, 1])),
)
@pytest.mark.sampled(1)
def test_together_is_alone(make_model: Build, monkeypatch: pytest.MonkeyPatch, cell: str, group: int) -> None:
    """For each group size that some CPU uses, with streams left over, and sizes that leave narrow panels."""
    monkeypatch.setattr(Target, "group", group)
    for inputs, hidden, streams in ((3, 21, 7), (16, 64, 4), (1, 8, 1)):
        model = make_model(cell, inputs, hidden, layers=2, initial=True, activation="softmax")
        xs = noise(300, streams, inputs)
        bank = StreamBank(model, streams)
        together = np.array([bank.step(x).copy() for x in xs])
        np.testing.assert_allclose(together, alone(model, xs), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("activation", ["none", "relu", "tanh", "sigmoid", "softmax", "elu"])
@pytest.mark.slow
def test_dense(activation: str) -> None:
    rng = np.random.default_rng(0)
    model = Model([Dense(rng.standard_normal((70, 9)) / 3, rng.standard_normal(70), activation=activation)])  # type: ignore[arg-type]
    xs = noise(20, 6, 9)
    bank = StreamBank(model, 6)
    together = np.array([bank.step(x).copy() for x in xs])
    np.testing.assert_allclose(together, alone(model, xs), rtol=TOLERANCE, atol=TOLERANCE)


def test_each_stream_resets_and_snapshots_on_its_own(make_model: Build) -> None:
    model = make_model("lstm", 3, 12)
    xs = noise(60, 5, 3)
    bank = StreamBank(model, 5)
    for x in xs[:20]:
        bank.step(x)
    saved = bank[3].snapshot()
    bank[1].reset()
    bank[2].step(xs[0, 0])  # one sample more than the others: its slots are now the other way round
    rest = np.array([bank.step(x).copy() for x in xs[20:]])
    expected = alone(model, xs)[20:]
    expected[:, 1] = Stream(model).run(xs[20:, 1])
    ahead = Stream(model)
    ahead.run(np.concatenate([xs[:20, 2], xs[:1, 0]]))
    expected[:, 2] = ahead.run(xs[20:, 2])
    np.testing.assert_allclose(rest, expected, rtol=0, atol=TOLERANCE)
    single = Stream(model)
    single.restore(saved)
    np.testing.assert_allclose(single.run(xs[20:, 3]), rest[:, 3], rtol=0, atol=TOLERANCE)


def test_streams_leave_and_join(make_model: Build) -> None:
    model = make_model("gru", 2, 9)
    xs = noise(30, 6, 2)
    bank = StreamBank(model, 6)
    for x in xs[:10]:
        bank.step(x)
    before = bank[4].snapshot()
    bank.leave(4)
    bank.leave(-6)
    assert bank.present.tolist() == [False, True, True, True, False, True]
    gone = xs[10:20].copy()
    gone[:, [0, 4]] = np.nan  # what an absent sensor sends is not looked at
    together = np.array([bank.step(x).copy() for x in gone])
    assert not together[:, [0, 4]].any()
    assert bank[4].snapshot() == before
    np.testing.assert_allclose(together[:, 1:4], alone(model, xs)[10:20, 1:4], rtol=0, atol=TOLERANCE)
    bank.join(4)
    back = bank.step(xs[20])[4].copy()
    other = Stream(model)
    other.restore(before)
    np.testing.assert_allclose(back, other.step(xs[20, 4]), rtol=0, atol=TOLERANCE)
    bank.reset()
    assert bank.present.all()
    assert bank[4].snapshot() == Stream(model).snapshot()


def test_one_bad_sample_moves_no_stream(make_model: Build) -> None:
    bank = StreamBank(make_model("gru", 2, 9), 6)
    xs = noise(5, 6, 2)
    for x in xs[:3]:
        bank.step(x)
    before = [stream.snapshot() for stream in bank]
    bad = xs[3].copy()
    bad[4, 1] = np.inf
    with pytest.raises(InputError, match=r"bank.step xs\[4\] got inf in channel 1; the state is unchanged"):
        bank.step(bad)
    assert [stream.snapshot() for stream in bank] == before


@pytest.mark.slow
def test_one_overflow_moves_no_stream() -> None:
    bank = StreamBank(Model([Elman([[10.0]], [[0.5]], activation="relu"), Dense([[1.0]])]), 5)
    bank.step(np.ones((5, 1)))
    before = [stream.snapshot() for stream in bank]
    with pytest.raises(InputError, match=r"bank.step xs\[2\] got a sample that makes .* largest value is 3e.38"):
        bank.step([[1], [1], [3e38], [1], [1]])
    assert [stream.snapshot() for stream in bank] == before


@pytest.mark.parametrize("policy", ["hold", "skip"])
def test_policies(make_model: Build, policy: str) -> None:
    model = make_model("gru", 2, 9)
    xs = noise(30, 5, 2)
    xs[7, 1, 0] = xs[8, 1, 1] = xs[9, 4, 0] = xs[0, 2, 0] = np.nan
    bank = StreamBank(model, 5, on_nonfinite=policy)  # type: ignore[arg-type]
    together = np.array([bank.step(x).copy() for x in xs])
    expected = np.stack(
        [Stream(model, on_nonfinite=policy).run(xs[:, s]) for s in range(5)],  # type: ignore[arg-type]
        axis=1,
    )
    np.testing.assert_allclose(together, expected, rtol=0, atol=TOLERANCE)
    assert [stream.rejected_samples for stream in bank] == [0, 2, 1, 0, 1]


def test_plain_path_is_the_fast_path(make_model: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    model, xs = make_model("gru", 2, 9), noise(20, 5, 2)
    quick = StreamBank(model, 5)
    expected = np.array([quick.step(x).copy() for x in xs])
    assert np.array_equal(np.array([StreamBank(model, 5).step(x.tolist()) for x in xs[:1]]), expected[:1])
    monkeypatch.setattr(fast, "why_not", lambda: "a test says so")
    plain = StreamBank(model, 5)
    assert np.array_equal(np.array([plain.step(x).copy() for x in xs]), expected)


def test_memory_is_reported(make_model: Build) -> None:
    model = make_model("gru", 2, 9)
    bank, stream = StreamBank(model, 10), Stream(model)
    assert bank.memory.weights == stream.memory.weights
    assert bank.nbytes == sum(bank.memory)
    assert 10 * stream.memory.state <= bank.memory.state <= 10 * stream.memory.state + 2000
    assert len(bank) == len(list(bank)) == 10
    assert object_cache.host().group in (1, 2, 4)


ERRORS = {
    "no streams": (lambda m: StreamBank(m, 0), "n got 0, expected a number of streams"),
    "far too many": (
        lambda m: StreamBank(m, 10**9),
        "n got 1000000000, expected a number of streams from 1 to 65536",
    ),
    "a fraction": (lambda m: StreamBank(m, 1.5), "n got 1.5"),
    "policy": (lambda m: StreamBank(m, 2, on_nonfinite="no"), "'raise', 'hold', 'skip'"),
    "one sample": (lambda m: StreamBank(m, 2).step(np.zeros(3)), "shape (3,), expected (2, 3) float32: a row for each"),
    "too many": (lambda m: StreamBank(m, 2).step(np.zeros((3, 3), np.float32)), "shape (3, 3), expected (2, 3)"),
    "no such stream": (lambda m: StreamBank(m, 2).leave(2), "stream got 2, expected 0 to 1"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(make_model: Build, case: str) -> None:
    action, words = ERRORS[case]
    with pytest.raises(InputError) as caught:
        action(make_model("gru", 3, 8))  # type: ignore[no-untyped-call]
    assert words in str(caught.value)
