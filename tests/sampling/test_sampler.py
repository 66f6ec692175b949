"""Networks that write, against a plain float64 oracle of the same choices, draw by draw and as distributions."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from edge_rnn import LSTM, Dense, Elman, Embedding, Model, Stream, reference
from edge_rnn.errors import InputError, ModelError, UnsupportedError
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.sampling import Sampler, decode, encode, generate, generate_iter, rollout

Build = Callable[..., Model]
ROOT = Path(__file__).resolve().parents[2]

# Scores within 16 in size: the stream's own error, 1e-6 (test_cells), and a rounding or two of numbers up to 16.
LOG_TOLERANCE = 1e-6 + 2 * 2.0**-20


# ---- the oracle


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as its paper has it, in Python's integers."""
    (x0, x1, x2, x3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2511F53 * x0, 0xCD9E8D57 * x2
        x0, x1, x2, x3 = (b >> 32) ^ x1 ^ k0, b % 2**32, (a >> 32) ^ x3 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [x0, x1, x2, x3]


def bits(seed: int, place: int) -> int:
    return philox([place % 2**32, place >> 32, 0, 0], [seed % 2**32, seed >> 32])[0]


def kept(
    scores: np.ndarray,
    seen: set[int],
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
) -> tuple[list[int], np.ndarray]:
    """Symbols that may be drawn, the best first, and their probabilities; float64."""
    scores = scores.astype(np.float64)
    for i in seen:
        scores[i] = scores[i] / repetition_penalty if scores[i] > 0 else scores[i] * repetition_penalty
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if temperature == 0:
        return order[:1], np.ones(1)
    weights = np.exp((scores[order] - scores.max()) / temperature)
    weights[weights < 2.0**-30] = 0
    if top_k:
        weights[top_k:] = 0
    if top_p < 1:
        before = np.cumsum(weights) - weights
        weights[before >= top_p * weights.sum()] = 0
    weights[weights < min_p] = 0
    inside = np.flatnonzero(weights)
    return [order[i] for i in inside], weights[inside] / weights.sum()


def drawn(symbols: list[int], shares: np.ndarray, random: int) -> int:
    """The symbol at a random place, symbols in a row by their numbers."""
    order = np.argsort(symbols)
    place = np.searchsorted(np.cumsum(shares[order]), random / 2**32, side="right")
    return symbols[order[min(place, len(symbols) - 1)]]


def written(model: Model, prompt: list[int], length: int, seed: int = 0, **options: Any) -> list[int]:
    """What is to be written, from steps of a stream and the oracle's choices."""
    stream, symbols, seen = Stream(model), [], set[int]()
    reads = list(prompt)
    one_hot = np.eye(model.vocabulary_size, dtype=np.float32)
    for place in range(length):
        for symbol in reads:
            seen.add(symbol)
            y = stream.step(one_hot[symbol] if model.input_size > 1 else np.array([symbol], np.float32))
        scores = np.log(y.astype(np.float64)) if model.layers[-1].options["activation"] == "softmax" else y
        possible, shares = kept(scores, seen, **options)
        symbols.append(drawn(possible, shares, bits(seed, place)))
        reads = symbols[-1:]
    return symbols


# ---- networks


@pytest.fixture
def writer(make_model: Build) -> Callable[..., Model]:
    """Function that makes a network of symbols whose scores spread."""

    def make(symbols: int = 11, activation: str = "none", embedding: bool = False, spread: float = 6.0) -> Model:
        rng = np.random.default_rng(symbols)
        size = 5 if embedding else symbols
        cell = LSTM(*(rng.uniform(-1, 1, shape) for shape in ((64, size), (64, 16), (64,), (64,))))
        head = Dense(spread * rng.uniform(-1, 1, (symbols, 16)), rng.uniform(-1, 1, symbols), activation=activation)
        front = [Embedding(rng.uniform(-1, 1, (symbols, size)))] if embedding else []
        return Model([*front, cell, head])

    return make


def constant(scores: np.ndarray, activation: str = "none") -> Model:
    """A network that gives the same scores whatever it reads."""
    count = len(scores)
    return Model([Elman(np.zeros((1, count)), [[0.0]]), Dense(np.zeros((count, 1)), scores, activation=activation)])


OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "greedy, penalty": {"temperature": 0, "repetition_penalty": 1.7},
    "plain": {},
    "cool": {"temperature": 0.4},
    "hot": {"temperature": 3.0},
    "top_k": {"top_k": 3},
    "top_k of one": {"top_k": 1, "temperature": 2.0},
    "top_k of all": {"top_k": 1000},
    "top_p": {"top_p": 0.8},
    "tiny top_p": {"top_p": 1e-6, "temperature": 2.0},
    "min_p": {"min_p": 0.1},
    "min_p of 1": {"min_p": 1.0},
    "penalty": {"repetition_penalty": 1.4},
    "reward": {"repetition_penalty": 0.8},
    "top_k, top_p": {"top_k": 5, "top_p": 0.6, "temperature": 2.0},
    "top_k, min_p": {"top_k": 5, "min_p": 0.2, "temperature": 2.0},
    "top_p, min_p": {"top_p": 0.9, "min_p": 0.2, "temperature": 2.0},
    "all": {"top_k": 6, "top_p": 0.9, "min_p": 0.02, "temperature": 1.5, "repetition_penalty": 1.2},
}


@pytest.mark.parametrize("kind", ["scores", "softmax", "embedding"])
@pytest.mark.parametrize("name", OPTIONS)
def test_symbols_are_those_of_the_oracle(writer: Callable[..., Model], name: str, kind: str) -> None:
    model = writer(13, activation="softmax" if kind == "softmax" else "none", embedding=kind == "embedding")
    got = generate(Stream(model), [3, 0, 7], max_length=400, seed=2**64 - 5, **OPTIONS[name])
    assert got.symbols.tolist() == written(model, [3, 0, 7], 400, seed=2**64 - 5, **OPTIONS[name])
    assert not got.stopped
    assert (got.symbols.dtype, got.log_probabilities.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("symbols", [2, 7, 8, 9, 96, 1000])
@pytest.mark.parametrize("name", ["plain", "all", "top_p"])
def test_any_number_of_symbols(writer: Callable[..., Model], name: str, symbols: int) -> None:
    model = writer(symbols)
    got = generate(Stream(model), [1], max_length=100, seed=4, **OPTIONS[name])
    assert got.symbols.tolist() == written(model, [1], 100, seed=4, **OPTIONS[name])


@pytest.mark.parametrize("activation", ["none", "softmax"])
@pytest.mark.parametrize("name", ["greedy", "plain", "all"])
def test_log_probabilities_are_the_networks_own(writer: Callable[..., Model], name: str, activation: str) -> None:
    model = writer(11, activation=activation, spread=4.0)
    got = generate(Stream(model), [2], max_length=200, seed=1, **OPTIONS[name])
    plain = Model([model.layers[0], replace(model.layers[1], activation="none")])
    scores, _ = reference.run(plain, np.eye(11)[[2, *got.symbols[:-1]]])
    assert np.abs(scores).max() < 16
    expected = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = expected[np.arange(200), got.symbols]
    np.testing.assert_allclose(got.log_probabilities, expected, rtol=0, atol=LOG_TOLERANCE)
    assert got.log_probability == pytest.approx(expected.sum(), abs=200 * LOG_TOLERANCE)


# ---- distributions


def chi_square(counts: np.ndarray, shares: np.ndarray) -> float:
    """How many deviations chi-square is above what is expected, by Wilson and Hilferty's cube root."""
    expected = shares * counts.sum()
    freedom = len(shares) - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return float(((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom)))


@pytest.mark.parametrize("activation", ["none", "softmax"])
@pytest.mark.parametrize("name", [name for name in OPTIONS if "greedy" not in name and "penalty" not in name])
def test_draws_are_distributed_as_they_should_be(name: str, activation: str) -> None:
    options = {key: value for key, value in OPTIONS[name].items() if key != "repetition_penalty"}
    scores = np.random.default_rng(5).uniform(-3, 3, 12).astype(np.float32)
    model = constant(scores, activation)
    got = generate(Stream(model), [0], max_length=100_000, seed=11, **options).symbols
    symbols, shares = kept(scores, set(), **options)
    chances = np.zeros(12)
    chances[symbols] = shares
    assert not np.bincount(got, minlength=12)[chances == 0].any()
    if len(symbols) > 1:
        assert abs(pooled_chi_square(got, chances)) < 3.3  # one in a thousand is further off; seeds are fixed
        # Pairs that follow one another: draws do not hang together.
        assert abs(pooled_chi_square(got[:-1] * 12 + got[1:], np.outer(chances, chances).ravel())) < 3.3


def pooled_chi_square(drawn: np.ndarray, shares: np.ndarray) -> float:
    """Chi-square of what was drawn; what is expected less than 20 times is counted together."""
    counts = np.bincount(drawn, minlength=len(shares))
    seldom = shares * len(drawn) < 20
    counts, shares = np.append(counts[~seldom], counts[seldom].sum()), np.append(shares[~seldom], shares[seldom].sum())
    there = shares * len(drawn) >= 1
    return chi_square(counts[there], shares[there] / shares[there].sum())


def test_chi_square_finds_what_is_wrong() -> None:
    counts = np.bincount(np.random.default_rng(0).choice(3, 100_000, p=[0.5, 0.3, 0.2]))
    assert abs(chi_square(counts, np.array([0.5, 0.3, 0.2]))) < 3.3
    assert chi_square(counts, np.array([0.49, 0.31, 0.2])) > 3.3


def test_equal_scores_go_by_number() -> None:
    model = constant(np.array([1, 2, 2, 0, 2, 1], np.float32))
    assert set(generate(Stream(model), [0], max_length=9, temperature=0).symbols) == {1}
    assert set(generate(Stream(model), [0], max_length=500, top_k=2).symbols) == {1, 2}
    assert set(generate(Stream(model), [0], max_length=500, top_k=4).symbols) == {0, 1, 2, 4}
    assert set(generate(Stream(model), [0], max_length=500, top_p=0.5).symbols) == {1, 2}
    assert set(generate(Stream(model), [0], max_length=500, min_p=1).symbols) == {1, 2, 4}


@pytest.mark.parametrize("symbols", [1, 2, 5, 96])
def test_any_share_of_equal_scores(symbols: int) -> None:
    model = constant(np.zeros(symbols, np.float32))
    for top_p in (2.0**-32, 0.2, 0.5, 0.99, 1 - 2.0**-32, 1.0):
        got = generate(Stream(model), [0], max_length=2000, top_p=top_p, seed=3).symbols
        assert set(got) == set(range(max(1, math.ceil(symbols * top_p - 1e-6)))), top_p
    assert set(generate(Stream(model), [0], max_length=9, min_p=1, top_p=0.01).symbols) == {0}


def test_extreme_scores() -> None:
    scores = np.array([3e38, -3e38, 2.9e38, 0], np.float32)
    for options in ({"temperature": 0}, {}, {"repetition_penalty": 0.01}, {"temperature": 1e-4}, {"top_p": 0.5}):
        got = generate(Stream(constant(scores)), [3], max_length=20, **options)
        assert set(got.symbols) == {0}
        assert not got.log_probabilities.any()
    shares = constant(np.array([0, -200, -1], np.float32), "softmax")  # exp(-200) is nothing in float32
    got = generate(Stream(shares), [0], max_length=2000, temperature=100)
    assert 0 < np.count_nonzero(got.symbols == 1) < 2000
    assert got.log_probabilities[got.symbols == 1].max() < -86


# ---- random numbers


def test_philox_has_the_known_answers() -> None:
    # Random123 1.14, tests/kat_vectors
    ones = 0xFFFFFFFF
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([ones] * 4, [ones] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    counter = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    assert philox(counter, [0xA4093822, 0x299F31D0]) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_compiled_integers_are_exact() -> None:
    from edge_rnn.kernels.vectors.philox import philox as compiled
    from edge_rnn.kernels.vectors.philox import share

    call = numba.njit(lambda seed, place: compiled(seed, place))
    for seed, place in ((0, 0), (1, 0), (0, 1), (2**63 - 1, 2**40 + 3), (12345678901234, 2**62)):
        assert int(call(seed, place)) == bits(seed, place)
    part_of = numba.njit(lambda part, whole: share(part, whole))
    for part in (0, 1, 2**31, 2**32 - 1, 2**32):
        for whole in (0, 1, 2**30, 2**32 - 1, 2**52 + 12345, 2**62 - 1):
            assert part_of(part, whole) == part * whole >> 32


def test_exponentials_and_logarithms() -> None:
    from edge_rnn.kernels.vectors import likelihood
    from edge_rnn.kernels.vectors.addresses import as_floats
    from edge_rnn.kernels.vectors.load_store import load, store

    @numba.njit
    def each(source, exps, logs, count):  # type: ignore[no-untyped-def]
        for i in range(0, count, 8):
            x = load(8, as_floats(source), i)
            store(likelihood.log(x), as_floats(logs), i)
            store(likelihood.exp(load(8, as_floats(exps), i)), as_floats(exps), i)

    from edge_rnn.streams.plan import aligned

    x, exps, logs = aligned(2**16), aligned(2**16), aligned(2**16)
    x[:] = np.exp(np.linspace(-87.3, 88, x.size))
    exps[:] = np.linspace(-87, 0, x.size)
    expected = np.exp(exps.astype(np.float64))
    each(x.ctypes.data, exps.ctypes.data, logs.ctypes.data, x.size)
    truth = np.log(x.astype(np.float64))
    # Two units in the last place of the result, or 1e-7 near 1.
    assert (np.abs(logs - truth) <= np.maximum(2 * np.spacing(np.abs(truth).astype(np.float32)), 1e-7)).all()
    assert np.abs(exps / expected - 1).max() < 2.5e-7
    assert exps[-1] == 1


@pytest.mark.parametrize("cpu", ["haswell", "cortex-a76"])
def test_a_choice_has_no_fused_products(cpu: str) -> None:
    # The bits of a choice must not hang on whether the CPU has them.
    x86 = Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma,+f16c")
    target = x86 if cpu == "haswell" else Target("aarch64-unknown-linux-gnu", cpu, "")
    fused = r"\bvfn?m(?:add|sub)\w+|\bfn?m(?:la|ls|add|sub)\b"
    assert re.search(fused, str(object_cache.compile_for("softmax", target, "assembly")))
    assert not re.search(fused, str(object_cache.compile_for("generate", target, "assembly")))


SAME_EVERYWHERE = """
import hashlib, numpy as np
from edge_rnn import Dense, Elman, Model, Stream
from edge_rnn.sampling import generate
scores = (3 * np.random.default_rng(0).normal(size=96)).astype(np.float32)
digest = hashlib.sha256()
model = Model([Elman(np.zeros((1, 96)), [[0.0]]), Dense(np.zeros((96, 1)), scores)])
for options in OPTIONS:
    text = generate(Stream(model), [0], max_length=5000, seed=5, **options)
    digest.update(text.symbols.tobytes() + text.log_probabilities.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_code_for_another_cpu_gives_the_same_bits(tmp_path: Path) -> None:
    # "generic" has neither fused products nor wide vectors on x86-64. The scores are biases: the same bits.
    code = SAME_EVERYWHERE.replace("OPTIONS", repr([*OPTIONS.values()]))
    digests = []
    for cpu in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path), **cpu}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1]
    assert len(list(tmp_path.glob("generate-*.o"))) == 2


# ---- the loop


def test_a_sampler_goes_on(writer: Callable[..., Model]) -> None:
    model = writer()
    whole = generate(Stream(model), [1, 2], max_length=300, seed=3, top_p=0.9)
    sampler = Sampler(Stream(model), seed=3, top_p=0.9)
    parts = [sampler.generate([1, 2], max_length=100)]
    for _ in range(2):
        parts.append(sampler.generate(parts[-1].symbols[-1:], max_length=100))
    assert np.array_equal(np.concatenate([part.symbols for part in parts]), whole.symbols)
    assert np.array_equal(np.concatenate([part.log_probabilities for part in parts]), whole.log_probabilities)


def test_one_at_a_time_is_all_at_once(writer: Callable[..., Model]) -> None:
    for embedding in (False, True):
        model = writer(embedding=embedding)
        options: dict[str, Any] = {"seed": 3, "repetition_penalty": 1.3, "stop": 3, "temperature": 2.0}
        whole = generate(Stream(model), [1, 2], max_length=300, **options)
        pairs = list(generate_iter(Stream(model), [1, 2], max_length=300, **options))
        assert [symbol for symbol, _ in pairs] == whole.symbols.tolist()
        assert np.array_equal(np.float32([each for _, each in pairs]), whole.log_probabilities)
        assert whole.stopped
        assert whole.symbols.tolist().index(3) == len(whole.symbols) - 1


def test_the_stream_has_read_all_but_the_last(writer: Callable[..., Model]) -> None:
    model = writer()
    stream = Stream(model)
    got = generate(stream, [1, 2], max_length=20)
    other = Stream(model)
    other.run(np.eye(11)[[1, 2, *got.symbols[:-1]]])
    assert stream.snapshot() == other.snapshot()


def test_a_sample_may_be_read_first(writer: Callable[..., Model]) -> None:
    model = writer()
    vector = np.random.default_rng(2).standard_normal(11).astype(np.float32)
    stream = Stream(model)
    stream.step(vector)
    expected = generate(stream, [5], max_length=20, temperature=0)
    assert np.array_equal(
        generate(Stream(model), [5], first=vector, max_length=20, temperature=0).symbols, expected.symbols
    )
    alone = generate(Stream(model), first=vector, max_length=20, temperature=0)
    assert alone.symbols[0] == Stream(model).step(vector).argmax()


def test_seeds_differ_and_repeat(writer: Callable[..., Model]) -> None:
    model = writer()
    texts = [
        generate(Stream(model), [0], max_length=60, seed=seed, temperature=3).symbols.tolist()
        for seed in (0, 1, 2**63, 0)
    ]
    assert texts[0] == texts[3]
    assert len({tuple(text) for text in texts}) == 3


def test_scratch_memory_is_fixed(writer: Callable[..., Model]) -> None:
    sampler = Sampler(Stream(writer()), top_p=0.9)
    before = sampler.nbytes
    sampler.generate([0], max_length=1000)
    assert sampler.nbytes == before < 2000


def test_a_second_process_needs_no_numba(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\nfrom edge_rnn import Dense, Elman, Model, Stream\n"
        "from edge_rnn.sampling import generate\n"
        "m = Model([Elman(np.eye(3), np.eye(3)), Dense(np.eye(3))], vocabulary='abc')\n"
        "print(generate(Stream(m), 'ab', max_length=9, seed=1).symbols.tolist(), 'numba' in sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0].replace("True", "False") == runs[1]
    assert runs[1].endswith("False\n")


def test_overflow_is_told() -> None:
    model = Model([Elman(1e3 * np.eye(2), 1e3 * np.eye(2), activation="relu"), Dense(np.eye(2))])
    stream = Stream(model)
    with pytest.raises(InputError, match=r"non-finite output after 1\d symbols; the state is as before it"):
        generate(stream, [0], max_length=100, temperature=0)
    assert np.isfinite(stream.state["elman1.h"]).all()


# ---- texts


def test_texts_and_symbols() -> None:
    model = replace(constant(np.zeros(4, np.float32)), vocabulary=("a", "b", "ab", "\n"))
    assert encode(model, "aabb\n").tolist() == [0, 2, 1, 3]
    assert encode(model, ["a", "b"]).tolist() == [0, 1]
    assert encode(model, np.array([2, 3])).tolist() == [2, 3]
    assert decode(model, [0, 2, 1, 3]) == "aabb\n"
    got = generate(Stream(model), "ab", max_length=1000, stop="\n", seed=2)
    assert got.stopped
    assert decode(model, got.symbols).endswith("\n")
    assert model.fingerprint == replace(model, vocabulary=()).fingerprint


def test_vocabulary_is_of_what_is_read() -> None:
    cell, head = Elman(np.zeros((1, 2)), [[0.0]]), Dense(np.zeros((3, 1)))
    assert Model([Embedding(np.zeros((5, 2))), cell, head], vocabulary="abcde").vocabulary_size == 5
    assert Model([cell, head], vocabulary="xy").vocabulary == ("x", "y")
    for vocabulary, words in (("abc", "3 texts, expected 2"), ("aa", "'a' as symbol 1"), (("", "a"), "'' as symbol 0"),
                              (("a", "\x1b[2J"), "control characters")):  # fmt: skip
        with pytest.raises(ModelError, match=re.escape(words)):
            Model([cell, head], vocabulary=vocabulary)


LETTERS = replace(constant(np.zeros(3, np.float32)), vocabulary="abc")
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no prompt": (lambda: generate(Stream(LETTERS), max_length=3), InputError, "empty prompt"),
    "unknown letter": (lambda: generate(Stream(LETTERS), "abx", max_length=3), InputError, "'x' at position 3"),
    "unknown number": (lambda: generate(Stream(LETTERS), [3], max_length=3), InputError, "symbol 3, expected a number"),
    "negative": (lambda: generate(Stream(LETTERS), [-1], max_length=3), InputError, "symbol -1"),
    "fraction": (lambda: generate(Stream(LETTERS), [0.5], max_length=3), InputError, "symbol 0.5"),  # type: ignore[list-item]
    "no text": (lambda: generate(Stream(LETTERS), 5, max_length=3), InputError, "got int, expected a text"),  # type: ignore[arg-type]
    "no length": (lambda: generate(Stream(LETTERS), "a", max_length=0), InputError, "max_length got 0"),
    "temperature": (lambda: Sampler(Stream(LETTERS), temperature=-1), InputError, "temperature got -1, expected 0, or"),
    "cold": (lambda: Sampler(Stream(LETTERS), temperature=1e-9), InputError, "temperature got 1e-09"),
    "nan": (lambda: Sampler(Stream(LETTERS), temperature=math.nan), InputError, "temperature got nan"),
    "top_k": (lambda: Sampler(Stream(LETTERS), top_k=-1), InputError, "top_k got -1"),
    "top_p": (lambda: Sampler(Stream(LETTERS), top_p=0.0), InputError, "top_p got 0.0, expected more than 0"),
    "min_p": (lambda: Sampler(Stream(LETTERS), min_p=1.1), InputError, "min_p got 1.1"),
    "penalty": (lambda: Sampler(Stream(LETTERS), repetition_penalty=0), InputError, "repetition_penalty got 0"),
    "stop": (lambda: Sampler(Stream(LETTERS), stop="d"), InputError, "generate stop got 'd' at position 1 of the text"),
    "no stop": (lambda: Sampler(Stream(LETTERS), stop=("a", "")), InputError, "stop = ('a', ''), expected symbols"),
    "stop number": (lambda: Sampler(Stream(LETTERS), stop=[3]), InputError, "generate stop got the symbol 3"),
    "seed": (lambda: Sampler(Stream(LETTERS), seed=2**64), InputError, "seed got 18446744073709551616"),
    "a model": (lambda: Sampler(LETTERS), InputError, "got Model as stream"),  # type: ignore[arg-type]
    "no vocabulary": (
        lambda: generate(Stream(replace(LETTERS, vocabulary=())), "a", max_length=3), InputError, "without a vocabulary"
    ),
    "activation": (
        lambda: Sampler(Stream(Model([Elman([[1.0]], [[1.0]]), Dense([[1.0]], activation="tanh")]))),
        UnsupportedError, "ends with Dense 'dense2' and 'tanh'",
    ),
    "no head": (
        lambda: Sampler(Stream(Model([Elman([[1.0]], [[1.0]])]))),
        UnsupportedError, "ends with Elman 'elman1'; expected",
    ),
    "sizes": (
        lambda: Sampler(Stream(Model([Elman([[1.0, 1.0]], [[1.0]]), Dense([[1.0]])]))),
        UnsupportedError, "reads 2 symbols and outputs 1 value",
    ),
    "first": (
        lambda: generate(Stream(LETTERS), "a", max_length=3, first=[1.0]), InputError, "shape (1,), expected (3,)"
    ),
    "rollout of letters": (lambda: rollout(Stream(LETTERS), [1.0], 3), InputError, "shape (1,), expected (3,)"),
    "rollout of no steps": (lambda: rollout(Stream(LETTERS), [1.0, 0, 0], -1), InputError, "steps got -1"),
    "rollout": (
        lambda: rollout(Stream(Model([Elman([[1.0, 1.0]], [[1.0]])])), [1.0, 0], 3),
        UnsupportedError, "2 inputs and 1 output",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    action, kind, words = ERRORS[case]
    with pytest.raises(kind) as caught:
        action()
    assert words in str(caught.value)


# ---- numbers instead of symbols


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman_tanh"])
def test_rollout_reads_its_own_outputs(make_model: Build, cell: str) -> None:
    model = make_model(cell, 3, 9, head=3)
    x = np.array([0.3, -0.2, 0.9], np.float32)
    stream, by_hand = Stream(model), [x]
    for _ in range(50):
        by_hand.append(stream.step(by_hand[-1]).copy())
    other = Stream(model)
    assert np.array_equal(rollout(other, x, 50), by_hand[1:])
    assert other.snapshot() == stream.snapshot()
    assert rollout(other, x.tolist(), 0).shape == (0, 3)


def test_rollout_of_an_oscillator() -> None:
    turn = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    model = Model([Elman(turn, np.zeros((2, 2)), activation="affine:1:0")])
    ys = rollout(Stream(model), [1.0, 0.0], 63)
    t = 0.1 * np.arange(1, 64)
    np.testing.assert_allclose(ys, np.stack([np.cos(t), np.sin(t)], axis=1), rtol=0, atol=63 * 2.0**-23)


def test_rollout_tells_what_overflows() -> None:
    model = Model([Elman([[1e10]], [[0.0]], activation="relu")])
    with pytest.raises(InputError, match=r"rollout step 3 got a sample, its largest value 1e\+30, that makes"):
        rollout(Stream(model), [1.0], 9)


@pytest.mark.parametrize("stop", ["b", "ab", "aba", "abab", "abcabc", "ccccccc", ("cc", "bb"), ("ccc", 1)])
def test_rows_of_symbols_end_a_text(stop: Any) -> None:
    got = generate(Stream(LETTERS), "ab", max_length=10_000, seed=5, stop=stop)
    text = decode(LETTERS, got.symbols)
    rows = ["ccc", "b"] if stop == ("ccc", 1) else [stop] if isinstance(stop, str) else list(stop)
    assert len(text) > 128 or len(rows[0]) < 6  # more than is kept of it
    first = min(text.index(row) + len(row) for row in rows if row in text)
    assert got.stopped
    assert len(text) == first  # the prompt does not count
    each = [symbol for symbol, _ in generate_iter(Stream(LETTERS), "ab", max_length=10_000, seed=5, stop=stop)]
    assert each == got.symbols.tolist()


def test_arguments_of_another_kind_are_refused_in_words() -> None:
    stream = Stream(Model([Elman(np.eye(3), np.eye(3) / 2), Dense(np.eye(3))]))
    many = Stream(Model([Elman([[1.0]], [[0.5]])]))
    for call, told in (
        (lambda: generate(stream, np.array(1), max_length=1), "expected a text or a sequence of symbols"),
        (lambda: generate(stream, [0], max_length=1, temperature=np.array([1.0, 2.0])), "temperature"),  # type: ignore[arg-type]
        (lambda: generate(stream, [0], max_length=1, temperature=1j), "temperature"),  # type: ignore[arg-type]
        (lambda: rollout(many, [0.1], 10**30), "a whole number from 0 to 2147483647"),
    ):
        with pytest.raises(InputError, match=told):
            call()
    assert np.array_equal(rollout(many, 0.1, 2), rollout(Stream(many.model), [0.1], 2))
