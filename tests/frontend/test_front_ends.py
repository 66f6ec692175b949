"""Guarantees of all front ends: the same results for any block size, fixed memory, snapshots, spellings."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rnn.errors import InputError, StateError
from edge_rnn.frontend import Chain, FrontEnd, LogMel, Moving, Resample, Standardize, parse
from edge_rnn.frontend.options import MOST_BYTES
from front_end_specs import NAMES, SPECS, noise, pushed


@pytest.mark.parametrize("spec", SPECS)
@given(cuts=st.lists(st.integers(0, 130), max_size=12), single=st.integers(0, 40))
@pytest.mark.sampled(2)
def test_the_same_numbers_in_any_blocks(spec: str, cuts: list[int], single: int) -> None:
    front = parse(spec)
    xs = noise(front, 400)
    whole = front.run(xs)
    assert len(whole) == parse(spec).due(400)
    front.reset()
    edges = sorted({min(edge, 400) for edge in np.cumsum(cuts).tolist()})
    blocks = np.split(xs, edges)
    parts = [front.run(block) for block in blocks[:-1]]
    parts += [pushed(front, blocks[-1][:single]), front.run(blocks[-1][single:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("spec", SPECS)
def test_push_gives_what_run_gives_and_what_is_due(spec: str) -> None:
    front, other = parse(spec), parse(spec)
    xs = noise(front, 500)
    for x in xs:
        assert len(pushed(front, x[None])) == other.due(1)
        other.run(x[None])
    front.reset()
    ys = pushed(front, xs)
    np.testing.assert_array_equal(ys, parse(spec).run(xs))
    assert abs(len(ys) - 500 * front.ratio) <= 2 + 64 * front.ratio


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("samples", [0, 1, 77, 333])
@pytest.mark.sampled(8)
def test_snapshot_and_restore_continue_unchanged(spec: str, samples: int) -> None:
    front = parse(spec)
    xs = noise(front, 700)
    front.run(xs[:samples])
    snapshot = front.snapshot()
    expected = front.run(xs[samples:])
    other = parse(front.spec)
    other.run(noise(front, 91, seed=1))
    other.restore(snapshot)
    assert other.snapshot() == snapshot
    np.testing.assert_array_equal(other.run(xs[samples:]), expected)


@pytest.mark.parametrize("spec", SPECS)
def test_damaged_snapshots_are_refused_and_change_nothing(spec: str) -> None:
    front = parse(spec)
    front.run(noise(front, 55))
    good = front.snapshot()
    front.run(noise(front, 20, seed=2))
    before = front.snapshot()
    other = parse("moving:window=2").snapshot()
    flipped = bytearray(good)
    if len(parse(spec).snapshot()) > 48:  # something is remembered
        flipped[-1] ^= 1
    flipped[9] ^= 1
    for bad in (good[:-1], good + b"x", b"", bytes(flipped), other, "text"):
        with pytest.raises(StateError):
            front.restore(bad)  # type: ignore[arg-type]
        assert front.snapshot() == before


def test_a_chain_whose_second_part_is_damaged_keeps_the_first() -> None:
    chain = Chain([Resample(3, 2), LogMel(8000, frame=32, hop=8, bands=3)])
    chain.run(noise(chain, 50))
    bad = bytearray(chain.snapshot())
    chain.run(noise(chain, 50, seed=3))
    before = chain.snapshot()
    bad[-3] ^= 64
    with pytest.raises(StateError, match="damaged"):
        chain.restore(bytes(bad))
    assert chain.snapshot() == before


@pytest.mark.parametrize("spec", SPECS)
def test_reset_is_the_beginning(spec: str) -> None:
    front = parse(spec)
    first = front.run(noise(front, 300))
    front.reset()
    assert front.snapshot() == parse(spec).snapshot()
    np.testing.assert_array_equal(front.run(noise(front, 300)), first)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.sampled(2)
def test_the_output_array_is_reused_and_nothing_grows(spec: str) -> None:
    front = parse(spec)
    nbytes = front.nbytes
    xs = list(noise(front, 600))

    def push_all() -> None:
        for x in xs:
            y = front.push(x)
            while y is not None:
                assert y is front.y
                y = front.more()

    push_all()
    tracemalloc.start()
    push_all()
    grown = []
    for _ in range(3):
        before = tracemalloc.get_traced_memory()[0]
        push_all()
        grown.append(tracemalloc.get_traced_memory()[0] - before)
    tracemalloc.stop()
    # Integers that have other values now, not arrays. A thread that an earlier test left may allocate once meanwhile.
    assert min(grown) < 512
    assert front.nbytes == nbytes > 0


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "micro" not in spec])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.sampled(8)
def test_values_that_are_not_finite_leave_with_their_window(spec: str, bad: float) -> None:
    front = parse(spec)
    xs = noise(front, 3000)
    clean = front.run(xs)
    front.reset()
    xs[100, 0] = bad
    dirty = front.run(xs)
    wrong = ~np.isfinite(dirty).all(axis=1)
    assert wrong.any() or "hop=9" in spec  # which may look elsewhere
    np.testing.assert_array_equal(dirty[-1], clean[-1])
    before = parse(spec).due(100)
    np.testing.assert_array_equal(dirty[:before], clean[:before])
    same = (dirty == clean).all(axis=1)
    assert wrong.sum() <= (~same).sum() < len(dirty) * 0.7


def test_numbers_beyond_float32_are_infinite_without_a_warning() -> None:
    standardize = Standardize([0.0], [1e-30])
    assert np.isinf(standardize.push(np.float32(1e30))[0])
    resample = Resample(1, 2)
    top = np.finfo(np.float32).max
    assert np.isinf(resample.run(np.where(np.arange(100) < 50, -top, top).astype(np.float32))).any()


def _options() -> Iterator[tuple[str, str]]:
    yield "tasty", "expected one of resample, moving, logmel"
    yield "", "begins with ''"
    yield "logmel:rte=16000", "expected NAME=VALUE with NAME one of rate, frame"
    yield "logmel:rate", "expected NAME=VALUE"
    yield "logmel:rate=fast", "got rate 'fast', expected a number"
    yield "logmel:rate=8000,rate=8000", "got rate twice"
    yield "logmel:frame=40.5", "expected a whole number"
    yield "logmel:coefficients=3", "expected NAME=VALUE with NAME one of"
    yield "logmel:preset=sphinx", "expected one of 'librosa', 'torchaudio', 'kaldi', 'tensorflow'"
    yield "logmel:mel=bark", "expected one of 'slaney', 'htk'"
    yield "logmel:frame=400,fft=256", "sound fft got 256"
    yield "logmel:fmin=9000", "fmin_hz got 9000"
    yield "logmel:fmin=4000,fmax=3000", "fmin_hz got 4000, expected less than fmax_hz, 3000"
    yield "logmel:rate=nan", "rate_hz got nan"
    yield "mfcc:energy=yes", "expected 0 or 1"
    yield "mfcc:bands=5", "expected at most the number of bands, 5"
    yield "resample:rate_in=44100", "is missing rate_out"
    yield "resample:rate_in=0,rate_out=1", "rate_in_hz got 0.0, expected a number above 0"
    yield "resample:rate_in=44100.123,rate_out=16000.7", "ratio has smaller terms"
    yield "moving:statistics=mean+median", "expected a selection of mean, std"
    yield "moving:statistics=mean+mean", "each at most once"
    yield "moving:window=0", "window got 0"
    yield "standardize:mean=1/2,scale=1", "expected (channels,) for both"
    yield "standardize:mean=1/x,scale=1/1", "numbers separated by /"
    yield "standardize:mean=1,scale=0", "got a scale of zero"
    yield "micro:fmin=600,fmax=500", "fmin_hz got 600.0"
    yield "moving:window=3,channels=2|logmel", "outputs 4 values, but logmel"
    yield (
        "moving:window=2600000",
        "window of 2,600,000 samples with 1 channel, which takes 64 MB of memory, expected at most 64",
    )
    yield "moving:window=9000,channels=4096", "window of 9,000 samples with 4,096 channels, which takes 918 MB"
    yield "resample:rate_in=100003,rate_out=16000", "needs a filter of 3,800,115 taps, expected at most 1,048,576"
    yield (
        "resample:rate_in=44100,rate_out=16000,passband=0.9,attenuation=160,channels=4096",
        "from 44100.0 to 16000.0 Hz, which",
    )
    yield (
        "resample:rate_in=2,rate_out=9000",
        "which makes 4,500 vectors of 1 value from each sample, expected at most 4,096",
    )
    yield "resample:rate_in=1,rate_out=17,channels=4096", "makes 17 vectors of 4,096 values from each sample"
    yield (
        "resample:rate_in=1,rate_out=80|resample:rate_in=1,rate_out=80",
        "makes 6,400 vectors of 1 value",
    )
    yield "|".join(["moving:window=900000,statistics=max"] * 3), "Chain got 3 front ends, which takes 67 MB of memory"
    yield "|".join(["standardize:mean=1,scale=2"] * 65), "got 65 parts separated by |, expected at most 64"


@pytest.mark.parametrize(("text", "words"), list(_options()))
def test_spellings_that_are_none_say_why(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 420


@pytest.mark.parametrize("text", [text for text, _ in _options()])
def test_what_is_refused_is_refused_before_it_takes_memory(text: str) -> None:
    tracemalloc.start()
    with pytest.raises(InputError):
        parse(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (2 * MOST_BYTES if text.count("|") > 1 else 2**20)  # a chain's last one is there when it is refused


@pytest.mark.parametrize(
    "text",
    [
        "moving:window=2500000",
        "moving:window=580,channels=4096,statistics=mean+std+min+max+range+rms+energy+crossings",
        "resample:rate_in=27007,rate_out=16000",
        "resample:rate_in=450001,rate_out=3,attenuation=20,passband=0.1",
        "resample:rate_in=3,rate_out=2,channels=4096,attenuation=160,passband=0.9",
        "logmel:frame=65536,bands=256",
        "mfcc:frame=65536,bands=256,coefficients=256,triangles=mel",
        "micro:frame=4096,bands=256,rate=1e6,fmax=5e5",
        "moving:window=800000,statistics=max|moving:window=800000,statistics=max|moving:window=800000,statistics=max",
    ],
)
@pytest.mark.sampled(2)
def test_the_largest_front_ends_stay_within_the_stated_memory(text: str) -> None:
    parse("logmel")  # what is imported and kept then is no one's
    tracemalloc.start()
    front = parse(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert front.nbytes <= peak <= MOST_BYTES


def test_a_chain_in_python_has_the_bounds_of_one_that_is_spelled() -> None:
    with pytest.raises(InputError, match="Chain got 3 front ends, which takes 67 MB of memory, expected at most 64 MB"):
        Chain([Moving(["max"], window=900_000) for _ in range(3)])
    with pytest.raises(InputError, match="Chain got 65 front ends, expected at most 64"):
        Chain([Standardize([1], [2]) for _ in range(65)])


NAMES += ["scale", "gain", "mel", "x"]
WRITTEN = ["0", "1", "-1", "3", "1e300", "1e-300", "nan", "inf", "9" * 20, "", "=", "1/2", "slaney", "16000"]


@given(
    kind=st.sampled_from(["resample", "moving", "logmel", "mfcc", "micro", "standardize", "", "mfcc|moving"]),
    options=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(WRITTEN)), max_size=4),
    text=st.text(max_size=20),
)
def test_any_spelling_gives_a_front_end_or_an_input_error(kind: str, options: list[tuple[str, str]], text: str) -> None:
    for spelling in (f"{kind}:{','.join('='.join(option) for option in options)}", text, f"{kind}:{text}"):
        try:
            front = parse(spelling)
        except InputError as error:
            assert len(str(error)) < 600
        else:
            assert front.nbytes < 1 << 28
            assert parse(front.spec).spec == front.spec


class Differences(FrontEnd):
    """Custom front end."""

    kind = "differences"
    _arrays = ("_last",)

    def __init__(self) -> None:
        super().__init__(1, 1, 1, {})
        self._last = np.zeros(1, np.float32)

    def push(self, x: object) -> np.ndarray:
        sample = self._sample(x)  # type: ignore[arg-type]
        np.subtract(sample, self._last, out=self.y)
        self._last[:] = sample
        return self.y

    def due(self, samples: int) -> int:
        return samples

    def _run(self, xs: np.ndarray, ys: np.ndarray) -> None:
        for x, y in zip(xs, ys, strict=True):
            y[:] = self.push(x)


def test_a_custom_front_end_has_the_guarantees() -> None:
    chain = Chain([Resample(2, 1), Differences()])
    xs = noise(chain, 100)
    whole = chain.run(xs)
    np.testing.assert_array_equal(np.diff(Resample(2, 1).run(xs), axis=0, prepend=np.float32(0)), whole)
    chain.reset()
    first = chain.run(xs[:33])
    snapshot = chain.snapshot()
    other = Chain([Resample(2, 1), Differences()])
    other.restore(snapshot)
    np.testing.assert_array_equal(np.concatenate([first, other.run(xs[33:])]), whole)
