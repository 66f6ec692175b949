"""Code that the training scripts share: a network with an output at every sample, and its training on streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["WEIGHT_DECAY", "Network", "fit"]

WEIGHT_DECAY = 0.1
_CELLS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "elman": nn.RNN}


class Network(nn.Module):  # type: ignore[misc, unused-ignore]
    """A recurrent layer and a head, from samples and a state to logits and the next state."""

    def __init__(self, cell: str, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.rnn = _CELLS[cell](inputs, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        h, state = self.rnn(x, state)
        return self.head(h), state


def fit(
    network: Network,
    streams: Iterable[tuple[torch.Tensor, torch.Tensor]],
    epochs: int,
    length: int,
    chunk: int,
    learning_rate: float,
    step: Callable[[torch.Tensor, Any], tuple[torch.Tensor, Any]] | None = None,
) -> None:
    """Truncated backpropagation through streams, cross-entropy at every sample.

    ``streams`` gives for each epoch samples (stream, time, channel) and labels (stream, time); ``length`` is their
    time. The gradient goes back through ``chunk`` samples, the state goes on. ``step`` takes the place of
    ``network(x, state)``.
    """
    step = step or network
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    begins = range(0, length, chunk)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * len(begins), pct_start=0.2
    )
    for _, (xs, ys) in zip(range(epochs), streams, strict=False):
        state = None
        for begin in begins:
            logits, state = step(xs[:, begin : begin + chunk], state)
            state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
            loss = functional.cross_entropy(logits.flatten(0, 1), ys[:, begin : begin + chunk].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
