"""Text generation against a plain float64 oracle of the same choices, draw by draw and as distributions."""

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

from edge_rnn import Model, Stream, reference
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.sampling import generate
from sampling_oracle import ROOT, constant

pytestmark = pytest.mark.sampled(2)

# Scores within 16 in size: the stream's own error, 1e-6 (test_cells), and a rounding or two of numbers up to 16.
LOG_TOLERANCE = 1e-6 + 2 * 2.0**-20


# ---- the oracle


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as in its paper, in Python's integers."""
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
    """Symbol at a random point of the total, with symbols in the order of their ids."""
    order = np.argsort(symbols)
    place = np.searchsorted(np.cumsum(shares[order]), random / 2**32, side="right")
    return symbols[order[min(place, len(symbols) - 1)]]


def written(model: Model, prompt: list[int], length: int, seed: int = 0, **options: Any) -> list[int]:
    """Expected text, from steps of a stream and the oracle's choices."""
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
    """Number of standard deviations by which chi-square exceeds its expectation, by Wilson and Hilferty's cube root."""
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
    """Chi-square of drawn symbols; those expected less than 20 times are pooled."""
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
@pytest.mark.slow
def test_a_choice_has_no_fused_products(cpu: str) -> None:
    # The bits of a choice must not depend on whether the CPU has them.
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
    assert len(list(tmp_path.glob("generate-*.image"))) == 2
