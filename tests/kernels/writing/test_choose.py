"""Choice of a symbol: exact against Python's integers, from the weights of symbols to the sampled one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba.core import types

from edge_rnn.kernels.compile.compiler import FLOATS, WORDS
from edge_rnn.kernels.writing.choose import Choice, _draw, choose
from kernel_calls import aligned, compiled

SIZES = [1, 2, 7, 8, 9, 17]
LARGEST = float(np.finfo(np.float32).max)

# An exponential is right to 2.5e-7 of itself and a logarithm to 1e-7 or two units in its last place (test_sampling
# holds both); a sum of 17 values takes 3 vectors and 3 halvings, 6 roundings.
LOG_ERROR = 2.5e-7 + 1e-7 + 6 * 2.0**-24


# ---- the oracle, in Python's integers


def random_bits(seed: int, place: int) -> int:
    """Philox4x32-10: the first word of ten rounds."""
    x, key = [place % 2**32, place >> 32, 0, 0], [seed % 2**32, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(b >> 32) ^ x[1] ^ key[0], b % 2**32, (a >> 32) ^ x[3] ^ key[1], a % 2**32]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return x[0]


def left(weights: Sequence[int], top_k: int, top_p: int, min_weight: int) -> list[int]:
    """Weights with 0 for excluded symbols: one limit after the other, keeping the best and first symbols."""
    order = sorted(range(len(weights)), key=lambda i: (-weights[i], i))[:top_k]
    if top_p < 2**32:
        goal, total, few = max(sum(weights[i] for i in order) * top_p // 2**32, 1), 0, []
        for i in order:
            if total >= goal:
                break
            few.append(i)
            total += weights[i]
        order = few
    kept = {i for i in order if weights[i] >= min_weight}
    return [weight if i in kept else 0 for i, weight in enumerate(weights)]


def at_random(weights: Sequence[int], bits: int) -> int:
    """Symbol whose part of the total weight a random point falls into."""
    point, total = bits * sum(weights) // 2**32, 0
    for symbol, weight in enumerate(weights):
        total += weight
        if point < total:
            return symbol
    raise AssertionError("nothing to draw from")


# ---- the kernels


@cache
def choose_kernel() -> Callable[..., int]:
    """``choose(table, logarithms, place)``."""
    whole = choose()

    def choose_one(table, logs, place):  # type: ignore[no-untyped-def]
        return whole(table, logs, place)

    return compiled(choose_one, types.int64(WORDS, FLOATS, types.int64))


@cache
def draw_kernel() -> Callable[..., int]:
    """Its helper ``draw(table, shares)``, which samples."""
    part = _draw()

    def draw_one(table, shares):  # type: ignore[no-untyped-def]
        return part(table, shares)

    return compiled(draw_one, types.int64(WORDS, FLOATS))


class Table:
    """Table as a sampler makes it, with NaN or garbage in its scratch."""

    def __init__(self, scores: Any, factor: float = 1.0, penalty: float = 1.0, **words: int) -> None:
        count = len(scores)
        y = np.full(count + -count % 8, -np.inf, np.float32)
        self.rooms = {
            Choice.Y: aligned(y),
            Choice.WANTED: aligned(y),
            Choice.SCORES: aligned(np.full(y.size, np.nan)),
            Choice.SHARES: aligned(np.full(y.size, np.nan)),
            Choice.SEEN: aligned(np.zeros(count), np.int32),
            Choice.PARAMETERS: aligned([factor, penalty]),
            Choice.WEIGHTS: aligned(np.full(count, -5), np.int32),
        }
        self.rooms[Choice.Y][:count] = scores
        self.words = np.zeros(len(Choice), np.int64)
        for word, room in self.rooms.items():
            self.words[word] = room.ctypes.data
        given = {"symbols": count, "top_k": count, "top_p": 2**32, "min_weight": 1, "penalized": penalty != 1}
        for name, value in (given | words).items():
            self.words[Choice[name.upper()]] = value

    def choose(self, place: int = 0) -> tuple[int, np.ndarray]:
        """The symbol, and a place for each of five logarithms, NaN but for the one that was written."""
        logs = aligned(np.full(5, np.nan))
        return choose_kernel()(self.words, logs, place), logs

    def draw(self, shares: np.ndarray) -> tuple[int, list[int]]:
        """The symbol, and the weights that it was drawn by."""
        symbol = draw_kernel()(self.words, aligned(shares))
        return symbol, self.rooms[Choice.WEIGHTS].tolist()


def draw(weights: Sequence[int], bits_of: tuple[int, int] = (1, 0), **words: int) -> tuple[int, list[int]]:
    """Draw as :meth:`Table.draw`, with shares that are exactly these weights over 2^30."""
    shares = np.array(weights, np.float64) / 2**30
    assert (shares.astype(np.float32) == shares).all()
    seed, drawn = bits_of
    table = Table(np.zeros(len(weights)), seed=seed - 2**64 * (seed >= 2**63), drawn=drawn, **words)
    found = table.draw(shares)
    assert table.words[Choice.DRAWN] == drawn + 1
    return found


def log_probability(scores: np.ndarray, symbol: int) -> float:
    exact = scores.astype(np.float64)
    return float(exact[symbol] - exact.max() - np.log(np.exp(exact - exact.max()).sum()))


def check_logarithm(found: float, expected: float) -> None:
    roundings = 4 * np.spacing(np.float32(abs(expected)))  # two of the logarithm, and those of two differences
    assert abs(found - expected) <= LOG_ERROR + roundings, (found, expected)


# ---- the best


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.sampled(2)
def test_the_best_symbol_wins_and_of_equal_ones_the_first(size: int) -> None:
    base = np.random.default_rng(size).uniform(-5, 2, size).astype(np.float32)
    for first in range(size):
        for second in range(first, size):
            scores = base.copy()
            scores[[first, second]] = 2.5
            symbol, logs = Table(scores, greedy=1).choose(place=3)
            assert symbol == first
            check_logarithm(logs[3], log_probability(scores, first))
            assert np.isnan(logs[[0, 1, 2, 4]]).all()


def test_a_zero_of_either_sign_is_the_same_score() -> None:
    for scores in ([0.0, -0.0], [-0.0, 0.0], [0.0] + [-1] * 8 + [-0.0], [-0.0] + [-1] * 8 + [0.0]):
        assert Table(scores, greedy=1).choose()[0] == 0


@pytest.mark.parametrize("size", SIZES)
def test_scores_of_shares_are_their_logarithms(size: int) -> None:
    shares = np.random.default_rng(size).dirichlet(np.ones(size)).astype(np.float32)
    shares[size // 2 + 1 :: 5] = 0  # counts as the smallest normal number
    table = Table(shares, greedy=1, shares_given=1)
    symbol, logs = table.choose()
    assert symbol == shares.argmax()
    expected = np.log(np.maximum(shares.astype(np.float64), 2.0**-126))
    check_logarithm(logs[0], log_probability(expected, symbol))
    assert np.isfinite(table.rooms[Choice.SCORES]).all()


def test_symbols_that_were_there_are_penalized_and_their_probability_is_not() -> None:
    scores = np.array([4, 3.9, -1, -1.5, 0, LARGEST, -LARGEST, 1, 3.5], np.float32)
    seen = [1, 0, 1, 0, 1, 0, 1, 1, 0]
    for count, penalty, best in ((5, 2.0, 1), (5, 0.5, 0), (9, 2.0, 5), (9, 0.5, 5)):
        table = Table(scores[:count], penalty=penalty, greedy=1)
        table.rooms[Choice.SEEN][:] = seen[:count]
        symbol, logs = table.choose()
        assert symbol == best
        was = zip(scores[:count].tolist(), seen, strict=False)
        expected = [(s / penalty if s > 0 else s * penalty) if there else s for s, there in was]
        wanted = table.rooms[Choice.WANTED]
        np.testing.assert_array_equal(wanted[:count], np.clip(expected, -LARGEST, LARGEST).astype(np.float32))
        np.testing.assert_array_equal(table.rooms[Choice.Y][:count], scores[:count])
        assert (wanted[count:] == -np.inf).all()
        check_logarithm(logs[0], log_probability(scores[:count], symbol))


@pytest.mark.parametrize(
    ("penalty", "wanted"), [(2.0**-6, [64, LARGEST, -LARGEST / 64]), (64.0, [0.015625, LARGEST / 64, -LARGEST])]
)
@pytest.mark.slow
def test_a_penalty_that_overflows_is_the_largest_number(penalty: float, wanted: list[float]) -> None:
    table = Table([1, LARGEST, -LARGEST], penalty=penalty, greedy=1)
    table.rooms[Choice.SEEN][:] = 1
    assert table.choose()[0] == 1
    np.testing.assert_array_equal(table.rooms[Choice.WANTED][:3], np.array(wanted, np.float32))


# ---- drawn by the scores


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("factor", "penalty"), [(1.0, 1.0), (0.25, 1.0), (8.0, 1.0), (1.0, 1.5), (0.5, 1.5)])
@pytest.mark.sampled(8)
def test_weights_are_exponentials_of_scores_and_the_symbol_is_drawn_by_them(
    size: int, factor: float, penalty: float
) -> None:
    for seed in range(20):
        scores = np.random.default_rng([size, seed]).uniform(-6, 6, size).astype(np.float32)
        table = Table(scores, factor, penalty, seed=seed)
        table.rooms[Choice.SEEN][::2] = 1
        symbol, logs = table.choose()
        weights = table.rooms[Choice.WEIGHTS].tolist()
        assert symbol == at_random(weights, random_bits(seed, 0))
        check_logarithm(logs[0], log_probability(scores, symbol))
        wanted = scores.astype(np.float64)
        if penalty != 1:
            wanted[::2] = np.where(wanted[::2] > 0, wanted[::2] / penalty, wanted[::2] * penalty)
        below = (wanted - wanted.max()) * factor
        exact = np.exp(below) * 2**30
        # Besides the exponential's own error three roundings of what it is of; whole numbers are rounded down.
        error = exact * (2.5e-7 + 3 * 2.0**-24 * (np.abs(below) + 6 * factor)) + 1
        assert (np.abs(weights - exact) <= error).all()
        assert max(weights) == 2**30


# ---- drawn by weights that are given exactly


@pytest.mark.parametrize("seed", range(40))
def test_symbols_to_sample_from_equal_those_by_python_integers(seed: int) -> None:
    """Few distinct values, so that many are equal: at each limit, and one below and one above it."""
    rng = np.random.default_rng(seed)
    for size in SIZES:
        choices = [0, 1, 2**10, 2**29, 3 * 2**28, 2**30] if seed % 2 else [2**28, 2**29, 2**30]
        weights = rng.choice(choices, size).tolist()
        weights[int(rng.integers(size))] = 2**30
        limits = {
            "top_k": int(rng.integers(1, size + 1)),
            "top_p": int(rng.choice([1, 2**30, 2**31 - 1, 2**31, 2**31 + 8, 3 * 2**30, 2**32 - 1, 2**32])),
            "min_weight": int(rng.choice([1, 2, 2**28, 2**28 + 1, 2**29, 2**29 + 1, 2**30])),
        }
        place = int(rng.integers(2**40))
        symbol, kept = draw(weights, (seed, place), **limits)
        assert kept == left(weights, **limits), (weights, limits)
        assert symbol == at_random(kept, random_bits(seed, place))


@pytest.mark.parametrize("size", SIZES)
def test_of_equal_weights_the_first_are_kept(size: int) -> None:
    for count in range(1, size + 1):
        kept = [2**30] * count + [0] * (size - count)
        assert draw([2**30] * size, top_k=count)[1] == kept
        assert draw([2**30] * size, top_p=2**32 * count // size)[1] == kept


def test_a_share_that_is_just_reached_needs_no_further_symbol() -> None:
    four = [2**28, 2**30, 2**28, 2**29]  # the best is half of all
    assert draw(four, top_p=2**31)[1] == [0, 2**30, 0, 0]
    assert draw(four, top_p=2**31 + 2)[1] == [0, 2**30, 0, 2**29]  # the goal is 2^30 + 1
    assert draw(four, top_p=3 * 2**30)[1] == [0, 2**30, 0, 2**29]
    assert draw(four, top_p=3 * 2**30 + 2)[1] == [2**28, 2**30, 0, 2**29]
    assert draw(four, top_p=1)[1] == [0, 2**30, 0, 0]


def test_a_weight_at_the_limit_may_be_drawn_and_one_below_may_not() -> None:
    weights = [2**20, 2**30, 2**20 - 1, 2**20 + 1, 0]
    assert draw(weights, min_weight=2**20)[1] == [2**20, 2**30, 0, 2**20 + 1, 0]
    assert draw(weights, min_weight=2**20 + 1)[1] == [0, 2**30, 0, 2**20 + 1, 0]
    assert draw(weights, min_weight=1)[1] == weights


def test_the_share_is_one_of_what_the_number_has_left() -> None:
    """Half of 2^30 + 2^29, not of all four."""
    assert draw([2**29, 2**29, 2**29, 2**30], top_k=2, top_p=2**31)[1] == [0, 0, 0, 2**30]
    assert draw([2**29, 2**29, 2**29, 2**30], top_k=4, top_p=2**31)[1] == [2**29, 0, 0, 2**30]


def test_nan_zero_and_less_weigh_nothing_and_more_than_one_weighs_one() -> None:
    shares = np.array([np.nan, 0.5, -0.0, 1.0000001, -1, 2.0**-31, 2.0**-30, np.inf, -np.inf, np.nan], np.float32)
    weights = [0, 2**29, 0, 2**30, 0, 0, 1, 2**30, 0, 0]
    for seed in range(50):
        symbol, found = Table(np.zeros(10), seed=seed).draw(shares)
        assert found == weights
        assert symbol == at_random(weights, random_bits(seed, 0))
    assert Table(np.zeros(10), top_k=1).draw(shares)[1] == [0, 0, 0, 2**30, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("place", [0, 1, 2**32 - 1, 2**32, 2**62])
def test_a_point_on_the_border_of_two_symbols_is_the_second_ones(seed: int, place: int) -> None:
    point = random_bits(seed, place) >> 8  # of a whole of 2^24
    assert 0 < point < 2**24 - 1
    assert draw([point, 2**24 - point], (seed, place))[0] == 1
    assert draw([point + 1, 2**24 - point - 1], (seed, place))[0] == 0
    assert draw([0, point, 0, 0, 2**24 - point, 0], (seed, place))[0] == 4
