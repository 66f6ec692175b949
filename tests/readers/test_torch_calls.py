"""Modules whose calls differ, by their number, by the batch, or because each starts afresh, are refused."""

from __future__ import annotations

from typing import Any

import pytest

import needs
from edge_rnn.errors import UnsupportedError
from edge_rnn_export import from_torch

torch = needs.package("torch")
pytestmark = pytest.mark.torch


class Counting(torch.nn.Module):
    """State and number of calls in buffers."""

    def __init__(self, reads: str) -> None:
        super().__init__()
        self.cell, self.reads = torch.nn.GRUCell(3, 6), reads
        self.register_buffer("h", torch.zeros(1, 6))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Any) -> Any:
        h = self.h * (self.calls < 250) if self.reads == "state" else self.h
        self.h = self.cell(x, h)
        self.calls += 1
        return self.h * (1 + (self.calls > 250).float()) if self.reads == "output" else self.h * 1.0


@pytest.mark.parametrize("reads", ["state", "output"])
def test_a_number_of_calls_that_forward_computes_with(reads: str) -> None:
    with pytest.raises(UnsupportedError, match=r"it counts in the buffer 'calls' \(int64\) and computes with it"):
        from_torch(Counting(reads).eval())


def test_a_number_of_calls_that_nothing_reads() -> None:
    assert [layer.kind for layer in from_torch(Counting("nothing").eval()).layers] == ["GRU"]


class Layers(torch.nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.rnn, self.what = torch.nn.GRU(3, 6, batch_first=True), what

    def forward(self, x: Any) -> Any:
        y = self.rnn(x.flip(1) if self.what == "backward" else x)[0]
        return y * 2 if self.what == "alone" and x.shape[0] == 1 else y


def test_another_result_for_a_batch_of_one() -> None:
    with pytest.raises(UnsupportedError, match="computes something else for a batch of one"):
        from_torch(Layers("alone").eval())


@pytest.mark.parametrize(("what", "shape"), [("backward", (5, 1, 3)), ("forward", (1, 1, 3))])
def test_an_example_of_one_step_hides_what_sequences_do(what: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedError, match="starts afresh at each call, of a single step"):
        from_torch(Layers(what).eval(), example=torch.zeros(shape))


def test_scales_in_front_are_folded_and_rounded() -> None:
    class Scaled(Layers):
        def forward(self, x: Any) -> Any:
            return self.rnn(x * 3)[0]

    assert [layer.kind for layer in from_torch(Scaled("").eval()).layers] == ["GRU"]
