"""Train the networks in ``devices/reber``: Elman, GRU and LSTM learn which letter follows in embedded Reber strings.

    python export/examples/train_reber.py               # needs the extra `train`; 4 minutes on one core
    python export/examples/train_reber.py --seeds 5     # the same recipe with other seeds too, none of them written

``reber.py`` has the grammar, ``reber_score.py`` computes the figures at the end. Strings are drawn during training, so
that a string is repeated only by coincidence. Each network reads a letter (one-hot) and outputs scores of the next
one; each string starts from the initial state. The recipe is the same for all three, except that an Elman network has
no gates to initialize open.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from reber import LETTERS, draw
from reber_score import BACK, score
from torch import nn
from torch.nn import functional

from edge_rnn import Model
from edge_rnn.storage import model_file
from edge_rnn_export import from_torch

__all__ = ["main", "train"]

CELLS: dict[str, Any] = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
HIDDEN = 16
BATCH = 32
UPDATES = 3000
LEARNING_RATE = 0.01
REMEMBERED = 40


class Network(nn.Module):  # type: ignore[misc, unused-ignore]
    def __init__(self, cell: str) -> None:
        super().__init__()
        self.rnn = CELLS[cell](len(LETTERS), HIDDEN)
        self.head = nn.Linear(HIDDEN, len(LETTERS))
        if cell != "elman":
            remember(self.rnn)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.rnn(x)[0])
        return scores


def remember(rnn: Any) -> None:
    """Let gates that keep the state start open, for 1 to REMEMBERED letters: chrono initialization.

    C. Tallec, Y. Ollivier, "Can recurrent neural networks warp time?", ICLR (2018), arXiv:1804.11188, section 2; biases
    spread evenly in place of random ones. The second gate is f of an LSTM and z of a GRU.
    """
    keep = torch.log(torch.linspace(1, REMEMBERED - 1, HIDDEN))
    with torch.no_grad():
        rnn.bias_hh_l0[HIDDEN : 2 * HIDDEN] = keep
        if isinstance(rnn, nn.LSTM):
            rnn.bias_hh_l0[:HIDDEN] = -keep


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
                model_file.save(model, out / f"{cell}.safetensors")
            print(
                f"{cell:6}seed {seed}: {score(model)}; {model.num_parameters} parameters, {trained_s:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()
