"""Use of front ends: spelling, chains, as a source of a loop."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_rnn.backend
import edge_rnn.frontend
from edge_rnn.errors import InputError
from edge_rnn.frontend import Chain, Features, Resample, Standardize, parse
from front_end_specs import NAMES, SPECS, noise, pushed

NAMES += ["scale", "gain", "mel", "x"]


@pytest.mark.parametrize(
    "spec", ["resample:rate_in=44100,rate_out=16000,channels=3", "resample:rate_in=1,rate_out=100"]
)
def test_long_blocks_give_what_single_samples_give(spec: str) -> None:
    front = parse(spec)
    xs = noise(front, 9000 if "44100" in spec else 300)
    one = pushed(front, xs)
    front.reset()
    np.testing.assert_array_equal(front.run(xs), one)


@pytest.mark.parametrize("spec", SPECS)
def test_a_spelling_is_read_back_as_the_same(spec: str) -> None:
    front = parse(spec)
    again = parse(front.spec)
    assert again.spec == front.spec
    np.testing.assert_array_equal(again.run(noise(front, 300)), front.run(noise(front, 300)))


@given(mean=st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=4))
def test_numbers_in_a_spelling_are_exact(mean: list[float]) -> None:
    front = Standardize(mean, np.add(np.abs(mean, dtype=np.float32), np.float32(1)))
    again = parse(front.spec)
    assert isinstance(again, Standardize)
    np.testing.assert_array_equal(again.mean, front.mean)
    np.testing.assert_array_equal(again.scale, front.scale)


@pytest.mark.parametrize("spec", SPECS)
def test_samples_of_another_shape_are_refused(spec: str) -> None:
    front = parse(spec)
    wrong = np.zeros(front.input_size + 1, np.float32)
    with pytest.raises(InputError, match=r"push got shape .*expected \("):
        front.push(wrong)
    with pytest.raises(InputError, match="push got shape"):
        front.push(np.zeros((3, front.input_size), np.float32))
    with pytest.raises(InputError, match=r"run got shape .*expected \(time, "):
        front.run(np.zeros((2, front.input_size + 1), np.float32))
    with pytest.raises(InputError, match="dtype"):
        front.push(["a"] * front.input_size)
    if front.input_size == 1:
        assert (front.push(0.5) is None) == (parse(spec).push([0.5]) is None)
        parse(spec).run([0.1, 0.2])
    assert parse(spec).run(np.zeros((0, front.input_size), np.float32)).shape == (0, front.output_size)


def test_pushing_on_with_outputs_left_is_an_error() -> None:
    resample = Resample(1, 2)
    assert resample.push(0.0) is not None
    with pytest.raises(InputError, match="call more until it returns None"):
        resample.push(0.0)
    assert resample.more() is not None
    assert resample.more() is None


def test_chains_within_chains_are_one() -> None:
    inner = Chain([Resample(2, 1), Resample(3, 1)])
    chain = Chain([inner, Resample(4, 1)])
    assert len(chain.stages) == 3
    assert chain.ratio == Fraction(1, 24)
    assert chain.delay == sum(stage.delay * rate for stage, rate in zip(chain.stages, (1, 2, 6), strict=True))
    for bad in ([], [inner.stages[0], inner.stages[0]], ["resample"]):
        with pytest.raises(InputError):
            Chain(bad)  # type: ignore[arg-type]


def test_standardize_is_the_layer_of_that_name() -> None:
    rng = np.random.default_rng(4)
    recording = rng.normal([5, -3, 2], [2, 0.1, 0], (500, 3)).astype(np.float32)
    recording[7, 1] = np.nan
    front = Standardize.of(recording)
    kept = np.delete(recording, 7, axis=0).astype(np.float64)
    np.testing.assert_array_equal(front.mean, kept.mean(axis=0).astype(np.float32))
    np.testing.assert_array_equal(front.scale[:2], kept.std(axis=0).astype(np.float32)[:2])
    assert front.scale[2] == 1
    layer = edge_rnn.Model([edge_rnn.Standardize(front.mean, front.scale)])
    ys = front.run(kept.astype(np.float32))
    np.testing.assert_allclose(ys, edge_rnn.reference.run(layer, kept)[0], rtol=2**-22, atol=2**-22)
    for bad in (recording[7:8], recording[0]):
        with pytest.raises(InputError):
            Standardize.of(bad)


class Timed(NamedTuple):
    """Sample with its time, as in a SensorLoop."""

    x: np.ndarray
    t_s: float


class Recording:
    """A source as a SensorLoop reads it."""

    blocks = False
    live = False

    def __init__(self, samples: list[object]) -> None:
        self.samples = samples
        self.closed = False

    def read(self) -> object:
        if not self.samples:
            return None
        sample = self.samples.pop(0)
        if isinstance(sample, Exception):
            raise sample
        return sample

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "channels=3" not in spec])
@pytest.mark.parametrize("timed", [False, True])
def test_features_are_a_source_for_a_loop(spec: str, timed: bool) -> None:
    front = parse(spec)
    xs = noise(front, 300)
    samples: list[object] = [Timed(x, t / 100) for t, x in enumerate(xs)] if timed else list(xs)
    samples.insert(150, OSError("unplugged"))
    source = Recording(samples)
    features = Features(source, front)
    assert (features.blocks, features.live) == (False, False)
    read: list[Any] = []
    failures = 0
    while True:
        try:
            value = features.read()
        except OSError:
            failures += 1
            continue
        if value is None:
            break
        read.append(value)
    assert failures == 1
    values = [each.x for each in read] if timed else read
    np.testing.assert_array_equal(np.array(values).reshape(-1, front.output_size), parse(spec).run(xs))
    if timed:
        fresh = parse(spec)
        expected = [t / 100 for t in range(300) for _ in range(fresh.due(t + 1) - fresh.due(t))]
        assert [each.t_s for each in read] == expected
    features.close()
    assert source.closed
    with pytest.raises(InputError, match="expected a source and a front end"):
        Features(front, source)  # type: ignore[arg-type]


@pytest.mark.parametrize("package", [edge_rnn.frontend, edge_rnn.backend], ids=lambda package: package.__name__)
def test_examples_run(package: object) -> None:
    names = [package.__name__]  # type: ignore[attr-defined]
    names += [f"{names[0]}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]  # type: ignore[attr-defined]
    results = [doctest.testmod(importlib.import_module(name)) for name in names]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) >= 15
