"""A sample with NaN or inf never corrupts the state, for any policy and any way of calling a step."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Elman, Embedding, Model, Standardize, Stream, StreamBank, reference
from edge_rnn.errors import InputError, StateError
from edge_rnn.streams import WindowedStream

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
        with pytest.raises(InputError, match=f"got {bad} in channel {channel}; the state is unchanged"):
            call(poison)
    assert stream.snapshot() == before
    assert np.array_equal(stream.run(xs[10:]), expected[10:])
    assert stream.rejected_samples == 0


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
    assert stream.rejected_samples == 3


def test_skip_repeats_the_output_and_leaves_the_state(make_model: Build) -> None:
    xs = noise(30)
    model = make_model("elman_tanh", 3, 9)
    broken = xs.copy()
    broken[[0, 11, 12]] = np.nan
    stream = Stream(model, on_nonfinite="skip")
    ys = stream.run(broken)
    assert np.isnan(ys[0]).all()  # there is no answer yet
    assert np.array_equal(ys[11], ys[10])
    assert np.array_equal(ys[12], ys[10])
    kept = np.delete(xs, [0, 11, 12], axis=0)
    assert np.array_equal(np.delete(ys, [0, 11, 12], axis=0), Stream(model).run(kept))
    assert stream.rejected_samples == 3
    stream.reset()
    assert stream.rejected_samples == 0


@pytest.mark.parametrize("policy", ["hold", "skip"])
def test_policies_survive_a_snapshot(make_model: Build, policy: str) -> None:
    """Held values and the last output are part of the snapshot: after a restart the stream continues as before."""
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
    """1e38 twice through weights of 10 is infinite before the rectifier, and would stay in the state forever."""
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
        assert patient.rejected_samples == 1
        assert np.isfinite(patient.step(good)).all()


@pytest.mark.parametrize("cell", ["elman_tanh", "gru", "lstm"])
def test_a_state_that_decays_ends_at_zero_and_not_among_the_subnormal_numbers(make_model: Build, cell: str) -> None:
    """Many CPUs compute with these several times more slowly."""
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
    """A rectified state that doubles in each step reaches infinity, which tanh maps to 1."""
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
        assert stream.rejected_samples > 0
        assert np.isfinite(stream.state["elman1.h"]).all()


def test_saturated_values_are_finite_at_any_size() -> None:
    """An infinity between two layers that tanh maps to 1 is accepted: with 3 outputs and with 8."""
    for outputs in (3, 8):
        model = Model([Standardize([0.0], [1e-30]), Dense(np.ones((outputs, 1)), activation="tanh")])
        assert np.array_equal(Stream(model).step(np.full(1, 1e10, np.float32)), np.ones(outputs, np.float32))


MEANS = Standardize([3.0, -2.0, 0.5], [1.0, 4.0, 0.25])


def test_hold_takes_the_mean_for_a_channel_without_a_past(make_model: Build) -> None:
    """Also if the Standardize is not the first layer, or reads the sample together with other values."""
    rest = make_model("gru", 3, 9).layers
    wide = Standardize([9.0, 9.0, *MEANS.mean], [1.0] * 5, inputs=("two", "input"))
    models = [
        Model([MEANS, *rest]),
        Model([Dense(np.ones((2, 3)), name="two", inputs=("input",)), wide, Dense(np.ones((4, 5)))]),
    ]
    for model in models:
        xs = noise(12)
        broken, held = xs.copy(), xs.copy()
        broken[:3, 1], held[:3, 1] = np.nan, -2.0
        broken[:2, 2], held[:2, 2] = np.inf, 0.5
        stream, expected = Stream(model, on_nonfinite="hold"), Stream(model).run(held)
        start = stream.snapshot()
        assert np.array_equal(stream.run(broken), expected)
        stream.restore(start)
        assert np.array_equal(stream.run(broken), expected)
        stream.reset()
        assert np.array_equal(stream.run(broken), expected)
        bank = StreamBank(model, 2, on_nonfinite="hold")
        np.testing.assert_allclose([bank.step([x, x])[1].copy() for x in broken], expected, atol=1e-6)


@pytest.mark.parametrize("policy", ["hold", "skip"])
def test_nothing_is_answered_before_the_first_good_sample(make_model: Build, policy: Any) -> None:
    model, nothing, xs = Model([MEANS, *make_model("gru", 3, 9).layers]), np.full(3, np.nan), noise(5)
    expected = Stream(model).run(xs)
    stream = Stream(model, on_nonfinite=policy)
    assert np.isnan(stream.classify([nothing, nothing])).all()
    assert np.isnan(stream.step(nothing)).all()
    again = Stream(model, on_nonfinite=policy)
    again.restore(stream.snapshot())
    for each in (stream, again, stream.clone()):
        assert np.array_equal(each.run(xs), expected)
        assert np.isfinite(each.step(nothing)).all()
        each.reset()
        assert np.isnan(each.run([nothing])).all()
    windows = WindowedStream(model, window=2, hop=2, on_nonfinite=policy)
    assert np.isnan(windows.run([nothing] * 2)).all()
    assert np.array_equal(windows.run(xs[:2]), [Stream(model).classify(xs[:2])])
    bank = StreamBank(model, 9, on_nonfinite=policy)
    rows = np.tile(xs[0], (9, 1))
    rows[4] = np.nan
    assert np.isnan(bank.step(rows)).any(axis=1).tolist() == [row == 4 for row in range(9)]


def test_a_snapshot_may_lack_an_output_but_nothing_else(make_model: Build) -> None:
    stream = Stream(make_model("gru", 3, 9), on_nonfinite="skip")
    data = bytearray(stream.snapshot())
    head, first = 48, struct.pack("<f", np.nan)
    data[head : head + 4] = first  # what "hold" would take
    data[44:48] = struct.pack("<I", zlib.crc32(data[head:]))
    with pytest.raises(StateError, match="damaged snapshot"):
        stream.restore(bytes(data))


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 1e30, -1e30, 2.5, 3.5, -0.4])
@pytest.mark.parametrize("streams", [0, 1, 9])
def test_no_number_that_a_network_computes_leaves_the_table(wild: float, streams: int) -> None:
    """An Embedding after a layer that overflows: a row of the table, or NaN, which the policy handles."""
    table = Embedding(np.arange(40.0).reshape(5, 8) + 1)
    overflow = Dense([[3e38], [-3e38]], bias=[0.0, 0.0])
    value, front = (10.0, [overflow, Dense([[1.0, 1.0]])]) if np.isnan(wild) else (wild, [Dense([[1.0]])])
    if np.isinf(wild):
        value, front = np.sign(wild) * 10.0, [Dense([[3e38]])]
    model = Model([*front, table], input_size=1)
    wanted, _ = reference.run(model, [[value]])
    if np.isnan(wild):  # float64 does not overflow there
        wanted = reference.layer_step(reference.wide(model.layers[-1]), np.array([wild]), {})[0][None]
        assert np.isnan(wanted).all()
    for policy in ("raise", "hold", "skip"):
        make = partial(StreamBank, model, streams) if streams else partial(Stream, model)
        stream = make(on_nonfinite=policy)
        x = np.full((streams, 1) if streams else 1, value, np.float32)
        if np.isnan(wild) and policy == "raise":
            with pytest.raises(InputError, match="makes output or state overflow"):
                stream.step(x)
        else:
            assert np.array_equal(stream.step(x), np.broadcast_to(wanted[0], (*x.shape[:-1], 8)), equal_nan=True)
