"""Score networks on the embedded Reber grammar: predictions, memory, and generated strings.

    python export/examples/reber_score.py devices/reber/lstm.safetensors

All figures are for strings that are not in the training set: the number of letters at which the most likely ones are
those allowed; the accuracy of the last letter but one, which depends only on the second, by its distance; and the
number of generated strings that belong to the grammar.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass

import numpy as np
from reber import LETTERS, accepts, allowed, draw, lag

from edge_rnn import Model, Stream, load
from edge_rnn.sampling import Sampler, decode, encode

__all__ = ["BACK", "LAGS", "Score", "score", "write"]

BACK = 0.75
"""Chance of ways back in the strings: half of them have 14 letters or more between the two that hang together."""

TEST_STRINGS = 2000
TEST_SEED = 2**32  # of no training
WRITTEN = 1000
MAX_LENGTH = 200
LAGS = ((5, 9), (10, 19), (20, 29), (30, 10**9))


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over strings that were not trained on.

    Parameters
    ----------
    letters, of_letters
        At how many places the likeliest letters, as many as may follow, are those that may follow.
    far, of_far
        For each range of ``LAGS`` in how many strings the right one of T and P is the likelier at the last letter but
        one.
    written, of_written
        How many strings that the network wrote after B are of the grammar.
    """

    letters: int
    of_letters: int
    far: tuple[int, ...]
    of_far: tuple[int, ...]
    written: int
    of_written: int

    def __str__(self) -> str:
        ranges = [f"{low} to {high}" if high < 10**9 else f"{low} and more" for low, high in LAGS]
        far = [f"{a}/{b} {name}" for a, b, name in zip(self.far, self.of_far, ranges, strict=True)]
        return (
            f"{self.letters / self.of_letters:.2%} of letters; T or P {sum(self.far)} of {sum(self.of_far)} "
            f"({', '.join(far)} letters back); {self.written} of {self.of_written} written strings are of the grammar"
        )


def score(model: Model, strings: int = TEST_STRINGS, written: int = WRITTEN) -> Score:
    """Score a network."""
    rng, stream = random.Random(TEST_SEED), Stream(model)
    right = places = 0
    far, of_far = [0] * len(LAGS), [0] * len(LAGS)
    one_hot = np.eye(len(LETTERS), dtype=np.float32)
    for _ in range(strings):
        text = draw(rng, BACK)
        stream.reset()
        scores = stream.run(one_hot[encode(model, text)])
        for place in range(1, len(text)):
            truth = allowed(text[:place])
            best = np.argsort(-scores[place - 1], kind="stable")[: len(truth)]
            right += {LETTERS[i] for i in best} == set(truth)
        places += len(text) - 1
        of_t, of_p = scores[-3, LETTERS.index("T")], scores[-3, LETTERS.index("P")]
        bin_ = next(k for k, (low, high) in enumerate(LAGS) if low <= lag(text) <= high)
        of_far[bin_] += 1
        far[bin_] += bool(of_t > of_p) == (text[1] == "T")
    texts = write(model, written)
    return Score(right, places, tuple(far), tuple(of_far), sum(map(accepts, texts)), written)


def write(model: Model, count: int) -> list[str]:
    """Generate strings after B by the network's own probabilities; only TE or PE ends a string."""
    stream = Stream(model)
    sampler, texts = Sampler(stream, stop=("TE", "PE"), seed=0), []
    for _ in range(count):
        stream.reset()
        texts.append("B" + decode(model, sampler.generate("B", max_length=MAX_LENGTH).symbols))
    return texts


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(f"{path}: {score(load(path))}")
