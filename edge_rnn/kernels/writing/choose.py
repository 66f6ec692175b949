"""Choice of the next symbol from the scores of all: the likeliest, or one that is drawn.

Scores become weights, whole numbers of 2^-30 of the likeliest symbol's; sums of weights are exact in any order, and the
point where a draw falls is a whole number too. So a choice depends on the bits of the scores, on the seed, and on
nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.words import Words

__all__ = ["ONE", "Choice", "choose"]

ONE = 2**30
"""Weight of the likeliest symbol."""


class Choice(Words):
    """Where the table of a sampler (an array of ``intptr_t``) keeps what; float arrays are padded to 8."""

    HANDLE = 0
    """Address of the stream's handle."""
    ADVANCE = 1
    """Address of ``int32_t advance(handle, x, y)``."""
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
    TOP_K = 16
    """How many symbols may be drawn; all of them if there is no limit."""
    TOP_P = 17
    """Share of all that symbols which may be drawn make up, in 2^-32."""
    MIN_WEIGHT = 18
    """Least weight of a symbol that may be drawn."""
    SEED = 19
    DRAWN = 20
    """How many symbols were drawn so far."""
    STOPS = 21
    """Address of int32: for each row of symbols that ends a text its length and the symbols; then 0."""
    OUTCOME = 22
    """An :class:`edge_rnn.kernels.writing.generate.Outcome`."""


_ONE, _LARGEST = np.float32(ONE), np.float32(np.finfo(np.float32).max)
_NONE, _WHOLE = np.float32(0), np.float32(1)
_ALL = 2**32


def choose() -> Any:
    """``choose(table, logarithms, place)``: the symbol, and at ``place`` the logarithm of its own probability.

    That is the probability which the network gives it, before temperature, penalty and all that may not be drawn.
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
    """Scores of symbols that were there divided by the penalty, or multiplied if they are below 0."""
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
    """Draw a symbol, all or some of them being possible."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import as_int32s
    from edge_rnn.kernels.vectors.philox import philox, share

    keep_largest = _keep_largest()

    @helper
    def draw(table, shares):  # type: ignore[no-untyped-def]
        count, weights, total = table[Choice.SYMBOLS], as_int32s(table[Choice.WEIGHTS]), np.int64(0)
        for i in range(count):
            share_of_best = shares[i] if shares[i] < _WHOLE else _WHOLE
            weight = np.int32(share_of_best * _ONE) if shares[i] > _NONE else np.int32(0)  # NaN is nothing
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
    """Keep the fewest largest weights that reach a goal, by number or by sum; the others become 0."""
    from edge_rnn.kernels.compile.compiler import helper

    @helper
    def keep_largest(weights, count, goal, by_number):  # type: ignore[no-untyped-def]
        """Their sum; of equal weights those of lower numbers are kept.

        The least weight to keep is found bit by bit: weights from ``low`` on reach the goal, those from ``high`` on do
        not. At most 31 passes, however many symbols there are, and some log2 of these until one weight is in between.
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
