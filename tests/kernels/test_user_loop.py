"""``edge_rnn.step`` in a user's compiled loop: the same bits, no allocation, errors that can be caught."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import pytest

import edge_rnn
from edge_rnn import Model, Stream
from edge_rnn.errors import InputError

Build = Callable[..., Model]


@numba.njit
def loop(handle, xs, ys):  # type: ignore[no-untyped-def]
    for t in range(xs.shape[0]):
        edge_rnn.step(handle, xs[t], ys[t])


@numba.njit
def feedback(handle, x, y, steps):  # type: ignore[no-untyped-def]
    """Loop that ``run`` cannot do: each output becomes the next input."""
    for _ in range(steps):
        edge_rnn.step(handle, x, y)
        x[:] = y


@pytest.mark.parametrize("cell", ["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"])
@pytest.mark.sampled(1)
def test_gives_the_same_bits_as_stream_step(make_model: Build, cell: str) -> None:
    model = make_model(cell, 3, 13, layers=2)
    xs = np.random.default_rng(0).standard_normal((500, 3)).astype(np.float32)
    ys = np.empty((500, 4), np.float32)
    compiled, stepped = Stream(model), Stream(model)
    loop(compiled.handle, xs, ys)
    assert np.array_equal(ys, np.array([stepped.step(x).copy() for x in xs]))
    assert compiled.snapshot() == stepped.snapshot()


@pytest.mark.slow
def test_feedback_loop(make_model: Build) -> None:
    model = make_model("lstm", 4, 9)
    x, y = np.ones(4, np.float32), np.empty(4, np.float32)
    stream = Stream(model)
    feedback(stream.handle, x, y, 20)
    other, x = Stream(model), np.ones(4, np.float32)
    for _ in range(20):
        x = other.step(x).copy()
    assert np.array_equal(y, x)


def test_bad_samples_and_sizes_raise(make_model: Build) -> None:
    stream = Stream(make_model("gru", 3, 8))
    before = stream.snapshot()
    bad = np.zeros((1, 3), np.float32)
    bad[0, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        loop(stream.handle, bad, np.empty((1, 4), np.float32))
    with pytest.raises(ValueError, match="input_size or output_size"):
        loop(stream.handle, np.zeros((1, 2), np.float32), np.empty((1, 4), np.float32))
    with pytest.raises(ValueError, match="input_size or output_size"):
        loop(stream.handle, np.zeros((1, 3), np.float32), np.empty((1, 5), np.float32))
    assert stream.snapshot() == before


def test_wrong_types_are_reported_at_compile_time(make_model: Build) -> None:
    stream = Stream(make_model("gru", 3, 8))
    good = np.zeros((1, 3), np.float32), np.empty((1, 4), np.float32)
    for arguments, words in (
        ((stream.handle, good[0].astype(np.float64), good[1]), "array(float64, 1d, C) as x"),
        ((stream.handle, np.zeros((1, 6), np.float32)[:, ::2], good[1]), "array(float32, 1d, A) as x"),
        ((1.5, *good), "pass stream.handle"),
    ):
        with pytest.raises(numba.TypingError) as caught:
            loop(*arguments)
        assert words in str(caught.value)


def test_from_plain_python_it_says_what_to_call() -> None:
    with pytest.raises(InputError, match=r"call stream\.step\(x\)"):
        edge_rnn.step(1, np.zeros(1), np.zeros(1))
