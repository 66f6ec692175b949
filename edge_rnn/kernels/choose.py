"""Choice of the next symbol from the scores of all: the likeliest, or one that is drawn.

Scores become weights, whole numbers of 2^-30 of the likeliest symbol's; sums of weights are exact in any order, and the
point where a draw falls is a whole number too. So a choice depends on the bits of the scores, on the seed, and on
nothing else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

__all__ = ["ONE", "Choice", "choose"]

ONE = 2**30
"""Weight of the likeliest symbol."""


class Choice(IntEnum):
    """Where the table of a sampler (an array of ``intptr_t``) keeps what; float arrays are padded to 8."""

    HANDLE = 0
    """Address of the stream's handle."""
    STEP = 1
    """Address of ``int32_t step(handle, x, y)``."""
    SYMBOLS = 2
    """How many symbols there are."""
    X = 3
    """Address of the sample: one float, or one for each symbol."""
    ONE_HOT = 4
    """1 if the sample has a float for each symbol; else it is the symbol's number."""
    PLACE = 5
    """Which float of such a sample is 1."""
    Y = 6
    """Address of the output; its padding holds -inf."""
    SHARES_GIVEN = 7
    """1 if outputs are shares of 1, whose logarithms are the scores; else they are the scores."""
    SCORES = 8
    """Address of room for these logarithms."""
    GREEDY = 9
    """1 for the likeliest symbol, 0 for one that is drawn."""
    PENALIZED = 10
    """1 if symbols that were there are to be less likely."""
    SEEN = 11
    """Address of an int32 for each symbol: 1 if it was there."""
    WANTED = 12
    """Address of room for scores with the penalty; its padding holds -inf."""
    PARAMETERS = 13
    """Address of floats: 1 / temperature, penalty."""
    SHARES = 14
    """Address of room for a float for each symbol."""
    WEIGHTS = 15
    """Address of room for an int32 for each symbol."""
    HEAP = 16
    """Address of room for a word for each symbol."""
    TOP_K = 17
    """How many symbols may be drawn; all of them if there is no limit."""
    TOP_P = 18
    """Share of all that symbols which may be drawn make up, in 2^-32."""
    MIN_WEIGHT = 19
    """Least weight of a symbol that may be drawn."""
    SEED = 20
    DRAWN = 21
    """How many symbols were drawn so far."""
    STOPS = 22
    """Address of int32: for each row of symbols that ends a text its length and the symbols; then 0."""
    OUTCOME = 23
    """An :class:`edge_rnn.kernels.generate.Outcome`."""


# Numba takes no members of enumerations as indices.
_SYMBOLS, _Y, _SHARES_GIVEN, _SCORES = int(Choice.SYMBOLS), int(Choice.Y), int(Choice.SHARES_GIVEN), int(Choice.SCORES)
_GREEDY, _PENALIZED, _SEEN, _WANTED = int(Choice.GREEDY), int(Choice.PENALIZED), int(Choice.SEEN), int(Choice.WANTED)
_PARAMETERS, _SHARES, _WEIGHTS = int(Choice.PARAMETERS), int(Choice.SHARES), int(Choice.WEIGHTS)
_HEAP, _TOP_K, _TOP_P = int(Choice.HEAP), int(Choice.TOP_K), int(Choice.TOP_P)
_MIN_WEIGHT, _SEED, _DRAWN = int(Choice.MIN_WEIGHT), int(Choice.SEED), int(Choice.DRAWN)
_ONE, _LARGEST = np.float32(ONE), np.float32(np.finfo(np.float32).max)
_LIMIT, _LOW, _HALF, _ALL = np.int64(ONE), np.int64(2**32 - 1), np.int64(32), 2**32


def choose() -> Any:
    """``choose(table, logarithms, place)``: the symbol, and at ``place`` the logarithm of its own probability.

    That is the probability which the network gives it, before temperature, penalty and all that may not be drawn.
    """
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.likelihood import exponentials, highest, logarithm, logarithms
    from edge_rnn.kernels.pointer import as_floats

    draw, penalize = _draw(), _penalize()

    @helper
    def choose(table, logs, place):  # type: ignore[no-untyped-def]
        count, scores, shares = table[_SYMBOLS], as_floats(table[_Y]), as_floats(table[_SHARES])
        if table[_SHARES_GIVEN]:
            logarithms(scores, count, as_floats(table[_SCORES]))
            scores = as_floats(table[_SCORES])
        most, factor = highest(scores, count), as_floats(table[_PARAMETERS])[0]
        total = exponentials(scores, count, most, np.float32(1), shares)
        wanted, top = scores, most
        if table[_PENALIZED]:
            wanted = as_floats(table[_WANTED])
            penalize(table, scores, wanted)
            top = highest(wanted, count)
        symbol = np.int64(0)
        if table[_GREEDY]:
            while wanted[symbol] != top:
                symbol += 1
        else:
            if table[_PENALIZED] or factor != 1:
                exponentials(wanted, count, top, factor, shares)
            symbol = draw(table, shares)
        logs[place] = (scores[symbol] - most) - logarithm(total)
        return symbol

    return choose


def _penalize() -> Any:
    """Scores of symbols that were there divided by the penalty, or multiplied if they are below 0."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.pointer import as_floats, as_int32s

    @helper
    def penalize(table, scores, wanted):  # type: ignore[no-untyped-def]
        seen, penalty = as_int32s(table[_SEEN]), as_floats(table[_PARAMETERS])[1]
        for i in range(table[_SYMBOLS]):
            score = scores[i]
            if seen[i]:
                score = score / penalty if score > 0 else score * penalty
            wanted[i] = min(max(score, -_LARGEST), _LARGEST)

    return penalize


def _draw() -> Any:
    """Draw a symbol, all or some of them being possible."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.philox import philox, share
    from edge_rnn.kernels.pointer import as_int32s

    draw_of_the_largest = _draw_of_the_largest()

    @helper
    def draw(table, shares):  # type: ignore[no-untyped-def]
        count, weights = table[_SYMBOLS], as_int32s(table[_WEIGHTS])
        bits = philox(table[_SEED], table[_DRAWN])
        table[_DRAWN] += 1
        ranked = table[_TOP_K] < count or table[_TOP_P] < _ALL
        least = 1 if ranked else table[_MIN_WEIGHT]
        total = np.int64(0)
        for i in range(count):
            weight = np.int32(shares[i] * _ONE)
            weight = weight if weight >= least else np.int32(0)
            weights[i] = weight
            total += weight
        if ranked:
            return draw_of_the_largest(table, bits, total)
        point, symbol = share(bits, total) - weights[0], np.int64(0)
        while point >= 0:
            symbol += 1
            point -= weights[symbol]
        return symbol

    return draw


def _draw_of_the_largest() -> Any:
    """Draw among the largest weights: so many, that make up so much, each of them so large."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.heap import make_heap, take_largest
    from edge_rnn.kernels.philox import share
    from edge_rnn.kernels.pointer import as_int32s, as_words

    @helper
    def draw_of_the_largest(table, bits, total):  # type: ignore[no-untyped-def]
        count, weights, heap = table[_SYMBOLS], as_int32s(table[_WEIGHTS]), as_words(table[_HEAP])
        size, goal, least = np.int64(0), share(table[_TOP_P], total), np.int64(1)
        if table[_TOP_K] == count:  # those left out here do not make up what the others need not reach
            least = min(max((total - goal) // count + 1, table[_MIN_WEIGHT]), _LIMIT)
        elif table[_TOP_P] == _ALL:
            least = table[_MIN_WEIGHT]
        for i in range(count):  # of equal weights, that of the lower number is the larger word
            if weights[i] >= least:
                heap[size] = (np.int64(weights[i]) << _HALF) | (_LOW - i)
                size += 1
        make_heap(heap, size)
        most, taken = min(table[_TOP_K], size), np.int64(0)
        if table[_TOP_P] < _ALL and most < size:  # a share of those alone
            total = np.int64(0)
            while taken < most:
                total += take_largest(heap, size - taken) >> _HALF
                taken += 1
            goal = share(table[_TOP_P], total)
        kept, drawn_from = np.int64(0), np.int64(0)
        while kept < most:
            if kept == taken:
                take_largest(heap, size - taken)
                taken += 1
            weight = heap[size - 1 - kept] >> _HALF
            if weight < table[_MIN_WEIGHT]:
                break
            drawn_from += weight
            kept += 1
            if table[_TOP_P] < _ALL and drawn_from >= goal:
                break
        point, place = share(bits, drawn_from), size - 1
        point -= heap[place] >> _HALF
        while point >= 0:
            place -= 1
            point -= heap[place] >> _HALF
        return _LOW - (heap[place] & _LOW)

    return draw_of_the_largest
