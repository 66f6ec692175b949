"""Choice of the next symbol from the scores of all: the likeliest one (greedy), or a sampled one.

Scores become weights, integers in units of 2^-30 of the likeliest symbol's weight. Sums of weights are exact in any
order, and the random point that selects a symbol is an integer too. So a choice depends only on the bits of the scores
and on the seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.words import Words

__all__ = ["ONE", "Choice", "choose"]

ONE = 2**30
"""Weight of the likeliest symbol."""


class Choice(Words):
    """Layout of the table of a sampler, an array of ``int64_t``; float arrays are padded to 8."""

    HANDLE = 0
    """Address of the stream's handle."""
    ADVANCE = 1
    """Address of ``int32_t advance(handle, x, y)``."""
    SYMBOLS = 2
    """Number of symbols."""
    X = 3
    """Address of the sample: one float, or one per symbol."""
    ONE_HOT = 4
    """1 if the sample is one-hot, with a float per symbol; 0 if it is the symbol's id."""
    PLACE = 5
    """Index of the 1 in a one-hot sample."""
    Y = 6
    """Address of the output; its padding holds -inf."""
    SHARES_GIVEN = 7
    """1 if outputs are probabilities, whose logarithms are the scores; 0 if they are the scores."""
    SCORES = 8
    """Address of scratch for these logarithms."""
    GREEDY = 9
    """1 to choose the likeliest symbol, 0 to sample."""
    PENALIZED = 10
    """1 if repeated symbols are penalized."""
    SEEN = 11
    """Address of an int32 per symbol: 1 if it has occurred."""
    WANTED = 12
    """Address of scratch for scores with the penalty; its padding holds -inf."""
    PARAMETERS = 13
    """Address of floats: 1 / temperature, penalty."""
    SHARES = 14
    """Address of scratch, a float per symbol."""
    WEIGHTS = 15
    """Address of scratch, an int32 per symbol."""
    TOP_K = 16
    """Number of symbols to sample from; all of them if there is no limit."""
    TOP_P = 17
    """Probability mass of the symbols to sample from, in units of 2^-32."""
    MIN_WEIGHT = 18
    """Least weight of a symbol that may be sampled."""
    SEED = 19
    DRAWN = 20
    """Number of symbols sampled so far."""
    STOPS = 21
    """Address of int32: for each stop sequence its length and its symbols; then 0."""
    OUTCOME = 22
    """An :class:`edge_rnn.kernels.writing.generate.Outcome`."""


_ONE, _LARGEST = np.float32(ONE), np.float32(np.finfo(np.float32).max)
_NONE, _WHOLE = np.float32(0), np.float32(1)
_ALL = 2**32


def choose() -> Any:
    """Build ``choose(table, logarithms, place)``: return a symbol, and store its log probability at ``place``.

    That is the probability by the network itself, before temperature, penalty and limits.
    """
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import as_floats
    from edge_rnn.kernels.vectors.likelihood import exponentials, highest, logarithm, logarithms

    draw, penalize = _draw(), _penalize()

    @helper
    def choose(table, logs, place):  # type: ignore[no-untyped-def]
        count, scores, shares = table[Choice.SYMBOLS], as_floats(table[Choice.Y]), as_floats(table[Choice.SHARES])
        if table[Choice.SHARES_GIVEN]:
            logarithms(scores, count, as_floats(table[Choice.SCORES]))
            scores = as_floats(table[Choice.SCORES])
        most, factor = highest(scores, count), as_floats(table[Choice.PARAMETERS])[0]
        total = exponentials(scores, count, most, np.float32(1), shares)
        wanted, top = scores, most
        if table[Choice.PENALIZED]:
            wanted = as_floats(table[Choice.WANTED])
            penalize(table, scores, wanted)
            top = highest(wanted, count)
        symbol = np.int64(0)
        if table[Choice.GREEDY]:
            while symbol < count - 1 and wanted[symbol] != top:
                symbol += 1
        else:
            if table[Choice.PENALIZED] or factor != 1:
                exponentials(wanted, count, top, factor, shares)
            symbol = draw(table, shares)
        logs[place] = (scores[symbol] - most) - logarithm(total)
        return symbol

    return choose


def _penalize() -> Any:
    """Build a helper that divides scores of symbols that have occurred by the penalty, or multiplies those below 0."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import as_floats, as_int32s

    @helper
    def penalize(table, scores, wanted):  # type: ignore[no-untyped-def]
        seen, penalty = as_int32s(table[Choice.SEEN]), as_floats(table[Choice.PARAMETERS])[1]
        for i in range(table[Choice.SYMBOLS]):
            score = scores[i]
            if seen[i]:
                score = score / penalty if score > 0 else score * penalty
            wanted[i] = min(max(score, -_LARGEST), _LARGEST)

    return penalize


def _draw() -> Any:
    """Build a helper that samples a symbol within the limits."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import as_int32s
    from edge_rnn.kernels.vectors.philox import philox, share

    keep_largest = _keep_largest()

    @helper
    def draw(table, shares):  # type: ignore[no-untyped-def]
        count, weights, total = table[Choice.SYMBOLS], as_int32s(table[Choice.WEIGHTS]), np.int64(0)
        for i in range(count):
            share_of_best = shares[i] if shares[i] < _WHOLE else _WHOLE
            weight = np.int32(share_of_best * _ONE) if shares[i] > _NONE else np.int32(0)  # 0 for NaN too
            weights[i] = weight
            total += weight
        if table[Choice.TOP_K] < count:
            total = keep_largest(weights, count, table[Choice.TOP_K], True)
        if table[Choice.TOP_P] < _ALL:
            total = keep_largest(weights, count, max(share(table[Choice.TOP_P], total), 1), False)
        if table[Choice.MIN_WEIGHT] > 1:
            total = np.int64(0)
            for i in range(count):
                weight = weights[i] if weights[i] >= table[Choice.MIN_WEIGHT] else np.int32(0)
                weights[i] = weight
                total += weight
        point, symbol = share(philox(table[Choice.SEED], table[Choice.DRAWN]), total) - weights[0], np.int64(0)
        table[Choice.DRAWN] += 1
        while point >= 0 and symbol < count - 1:
            symbol += 1
            point -= weights[symbol]
        return symbol

    return draw


def _keep_largest() -> Any:
    """Build a helper that keeps the fewest largest weights that reach a goal, by number or by sum, and zeros others."""
    from edge_rnn.kernels.compile.compiler import helper

    @helper
    def keep_largest(weights, count, goal, by_number):  # type: ignore[no-untyped-def]
        """Zero the other weights; return the sum. Of equal weights, those of lower ids are kept.

        The least weight to keep is found bit by bit: weights of at least ``low`` reach the goal, those of at least
        ``high`` do not. It takes at most 31 passes for any number of symbols, usually about log2 of that number, until
        only one weight is in between.
        """
        low, high, bit = np.int64(0), np.int64(2 * ONE), np.int64(ONE)
        from_low, from_high, reached = np.int64(count), np.int64(0), np.int64(0)
        while bit and from_low - from_high > 1:
            trial, number, total = low | bit, np.int64(0), np.int64(0)
            for i in range(count):
                weight = np.int64(weights[i])
                inside = weight >= trial
                number += inside
                total += weight if inside else 0
            found = number if by_number else total
            if found >= goal:
                low, from_low = trial, number
            else:
                high, from_high, reached = trial, number, found
            bit >>= 1
        total = np.int64(0)
        for i in range(count):
            weight = np.int64(weights[i])
            if weight < high:
                if weight < low or reached >= goal:
                    weights[i] = np.int32(0)
                    continue
                reached += 1 if by_number else weight
            total += weight
        return total

    return keep_largest
