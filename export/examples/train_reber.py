"""Train the networks in ``devices/reber``: Elman, GRU and LSTM learn which letter follows in embedded Reber strings.

    python export/examples/train_reber.py               # needs the extra `train`; 2 minutes on one core
    python export/examples/train_reber.py --seeds 5     # the same recipe with other seeds too, none of them written

The grammar is in ``reber.py`` beside this; strings are drawn while training, so none is seen twice but by chance. Each
network reads a letter (one-hot) and puts out scores of the next one; each string starts from the initial state. The
recipe is the same for the three. What is told in the end is about strings that were not trained on: at how many letters
the likeliest ones are those that may follow, how often the last letter but one, which hangs on the second alone, is
right, by how far back that is, and how many of the strings that a network writes by itself are of the grammar.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reber import LETTERS, accepts, allowed, draw, lag
from torch import nn
from torch.nn import functional

from edge_rnn import Model, Stream, files
from edge_rnn.sampling import Sampler, decode, encode
from edge_rnn_export import from_torch

__all__ = ["main", "score", "train"]

CELLS: dict[str, Any] = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
HIDDEN = 16
BATCH = 32
UPDATES = 3000
LEARNING_RATE = 0.01
BACK = 0.75  # half of the strings have 14 letters or more between the two that hang together
TEST_STRINGS = 2000
TEST_SEED = 2**32  # of no training
WRITTEN = 1000
MAX_LENGTH = 200
LAGS = ((5, 9), (10, 19), (20, 29), (30, 10**9))


class Network(nn.Module):  # type: ignore[misc, unused-ignore]
    def __init__(self, cell: str) -> None:
        super().__init__()
        self.rnn = CELLS[cell](len(LETTERS), HIDDEN)
        self.head = nn.Linear(HIDDEN, len(LETTERS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.rnn(x)[0])
        return scores


def train(cell: str, seed: int = 0) -> Model:
    """Train one network: whole strings, cross-entropy at every letter but the first."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    network = Network(cell)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=UPDATES, pct_start=0.1)
    for _ in range(UPDATES):
        strings = [[LETTERS.index(letter) for letter in draw(rng, BACK)] for _ in range(BATCH)]
        padded = nn.utils.rnn.pad_sequence([torch.tensor(string) for string in strings], padding_value=-1)
        reads, follows = padded[:-1], padded[1:]
        scores = network(functional.one_hot(reads.clamp(min=0), len(LETTERS)).float())
        loss = functional.cross_entropy(scores.flatten(0, 1), follows.flatten(), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return from_torch(network.eval(), name=f"embedded Reber grammar {cell}", labels=tuple(LETTERS), vocabulary=LETTERS)


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
    """How well a network knows the grammar."""
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
    """Strings that a network writes after B, as its own probabilities say; TE or PE ends a string, nothing else does."""
    stream = Stream(model)
    sampler, texts = Sampler(stream, stop=("TE", "PE"), seed=0), []
    for _ in range(count):
        stream.reset()
        texts.append("B" + decode(model, sampler.generate("B", max_length=MAX_LENGTH).symbols))
    return texts


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Train the networks in devices/reber and write them.",
        epilog="example: python export/examples/train_reber.py --out here",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: devices/reber)")
    parser.add_argument("--seeds", type=int, metavar="N", default=1, help="also tell of seeds 1 to N - 1")
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(1)  # as fast for networks this small, and sums always in one order
    out: Path = options.out or Path(__file__).resolve().parents[2] / "devices" / "reber"
    out.mkdir(parents=True, exist_ok=True)
    for cell in CELLS:
        for seed in range(options.seeds):
            started_s = time.perf_counter()
            model = train(cell, seed)
            trained_s = time.perf_counter() - started_s
            if seed == 0:
                files.save(model, out / f"{cell}.safetensors")
            print(f"{cell:6}seed {seed}: {score(model)}; {model.parameters} numbers, {trained_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
