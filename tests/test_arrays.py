"""Samples as input: masked values are missing, and values that are not numbers are refused with a remedy."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Elman, Model, Stream, StreamBank, frontend, reference
from edge_rnn.arrays import float32_array, plain_array
from edge_rnn.backend import Hysteresis
from edge_rnn.errors import InputError, ModelError, StateError
from edge_rnn.loop import SensorLoop, sinks, sources
from edge_rnn.sampling import rollout
from edge_rnn.streams import WindowedStream

NAN = float("nan")
SUM = Model([Dense([[1.0, 1.0]])])
BAD = np.ma.masked_array([-9999.0, 1.0], mask=[True, False])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (BAD, [NAN, 1]),
        (np.ma.masked_array([-9999, 1], mask=[1, 0]), [NAN, 1]),
        (np.ma.masked_array([200, 1], mask=[1, 0], dtype=np.uint8), [NAN, 1]),
        (np.ma.masked_array([True, False], mask=[0, 1]), [1, NAN]),
        (np.ma.masked_array([5.0, 1.0]), [5, 1]),
        (np.ma.masked_array([5, 1], mask=[0, 0]), [5, 1]),
        (np.ma.masked_array([5.0, 1.0], mask=True, hard_mask=True), [NAN, NAN]),
        (np.ma.masked, NAN),
        ([np.ma.masked, 1.0], [NAN, 1]),
        ((2, np.ma.masked), [2, NAN]),
        ([BAD, np.ones(2)], [[NAN, 1], [1, 1]]),
        ([[np.ma.masked, 1.0], [2.0, 3.0]], [[NAN, 1], [2, 3]]),
        ([1.0, 2.0], [1, 2]),
    ],
)
def test_a_masked_number_is_nan(given: Any, expected: Any) -> None:
    found = plain_array(given)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(float32_array("here", "x", given), np.array(expected, np.float32))


def test_a_masked_array_is_not_changed() -> None:
    given = np.ma.masked_array([-9999.0, 1.0], mask=[True, False], dtype=np.float32)
    plain_array(given)[1] = 7
    assert given.data[0] == np.float32(-9999)


REFUSALS: dict[str, Callable[[], Any]] = {
    "step": lambda: Stream(SUM).step(BAD),
    "run": lambda: Stream(SUM).run(np.ma.stack([np.ma.ones(2), BAD])),
    "run of a list": lambda: Stream(SUM).run([np.ones(2), BAD]),
    "classify": lambda: Stream(SUM).classify([BAD]),
    "windowed": lambda: WindowedStream(SUM, window=2, hop=2).run([BAD]),
    "bank": lambda: StreamBank(SUM, 2).step(np.ma.stack([np.ma.ones(2), BAD])),
    "rollout": lambda: rollout(Stream(Model([Dense(np.eye(2))])), BAD, 2),
    "reference": lambda: reference.run(SUM, [BAD]),
}


@pytest.mark.parametrize("call", REFUSALS)
def test_a_masked_number_is_refused_where_nan_is(call: str) -> None:
    with pytest.raises(InputError, match=r"got nan|holds nan"):
        REFUSALS[call]()


def test_a_masked_number_goes_by_the_policy_where_there_is_one() -> None:
    assert Stream(SUM, on_nonfinite="hold").run([[4.0, 1.0], BAD]).tolist() == [[5.0], [5.0]]
    assert Stream(SUM, on_nonfinite="skip").run([[4.0, 1.0], BAD]).tolist() == [[5.0], [5.0]]
    bank = StreamBank(SUM, 2, on_nonfinite="hold")
    bank.step([[4, 1], [6, 2]])
    assert bank.step([BAD, np.ma.masked_array([1, 1], mask=[0, 1])]).tolist() == [[5.0], [3.0]]


def test_a_masked_number_from_a_source_is_missing() -> None:
    samples = iter([np.ones(2), BAD, np.ma.masked_array([3, 8], mask=[0, 1])])
    got: list[list[float]] = []
    sink = sinks.Call(lambda y, t_s: got.append(y.tolist()))
    loop = SensorLoop(Stream(SUM, on_nonfinite="hold"), sources.Call(lambda: next(samples, None), live=False), sink)
    loop.run()
    assert got == [[2.0], [2.0], [4.0]]


def test_masked_numbers_in_front_ends_rules_and_weights() -> None:
    assert np.isnan(frontend.Standardize([0.0, 0.0], [1.0, 1.0]).push(BAD)).tolist() == [True, False]
    assert not Hysteresis(2, enter=0.5, leave=0.1).push(np.ma.masked_array([0.9, 0.2], mask=[1, 0]))
    with pytest.raises(ModelError, match="finite"):
        Dense(np.ma.masked_array([[1.0, 2.0]], mask=[[0, 1]]))
    with pytest.raises(StateError, match="not finite"):
        Stream(Model([Elman([[1.0]], [[0.5]])])).set_state({"elman1.h": np.ma.masked_array([1.0], mask=[1])})


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.array([1.0, None]), "objects.*replace missing values by NaN"),
        ([None, 1.0], "objects.*by NaN"),
        ([decimal.Decimal(1), decimal.Decimal(2)], r"objects.*x\.astype\('float32'\)"),
        (["1.5", "2"], r"texts, expected numbers.*astype"),
        (np.array([b"1.5", b"2"]), r"texts, expected numbers"),
        ([1j, 2.0], r"complex numbers.*x\.real or abs"),
        (np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"), "points in time.*seconds since a start time"),
        ([dt.timedelta(seconds=1)] * 2, "objects|time spans"),
        (np.array([1, 2], "timedelta64[s]"), r"time spans.*timedelta64\(1, 's'\)"),
        (np.zeros(2, [("a", "f4")]), "records.*structured_to_unstructured"),
        ([[1.0], [1.0, 2.0]], "not an array"),
    ],
)
def test_values_that_are_not_numbers_are_refused_with_a_remedy(x: Any, words: str) -> None:
    for call in (Stream(SUM).step, Stream(SUM).run, WindowedStream(SUM, window=1, hop=1).step, StreamBank(SUM, 2).step):
        with pytest.raises(InputError, match=words):
            call(x)


def test_an_object_that_fails_to_become_an_array_is_refused() -> None:
    class Tensor:
        """Tensor like PyTorch's that requires gradients."""

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    with pytest.raises(InputError, match=r"not an array: Can't call numpy\(\).*detach"):
        Stream(SUM).step(Tensor())  # type: ignore[arg-type]
