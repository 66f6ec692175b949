"""Modules whose calls differ, by their number, by the batch, or because each starts afresh, are refused."""

from __future__ import annotations

from typing import Any

import pytest

import needs
from edge_rnn.errors import InputError, UnsupportedError
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


class Plain(torch.nn.Module):
    """Number of calls in a plain attribute, of a module inside."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.cell, self.what, self.inner = torch.nn.GRUCell(3, 6), what, torch.nn.Module()
        self.register_buffer("h", torch.zeros(1, 6))
        self.inner.calls = 0

    def forward(self, x: Any) -> Any:
        h = torch.zeros_like(self.h) if self.what == "state" and self.inner.calls % 400 == 399 else self.h
        self.h = self.cell(x, h)
        self.inner.calls += 1
        return self.h * (1 + (self.what == "output" and self.inner.calls > 250))


@pytest.mark.parametrize("what", ["state", "output"])
def test_a_number_of_calls_in_a_plain_attribute(what: str) -> None:
    with pytest.raises(
        UnsupportedError, match=r"it counts in the attribute 'inner\.calls' \(int\) and computes with it"
    ):
        from_torch(Plain(what).eval())


def test_a_number_of_calls_in_a_plain_attribute_that_nothing_reads() -> None:
    assert from_torch(Plain("nothing").eval()).layers[0].kind == "GRU"


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


@pytest.mark.parametrize(
    "changed", [lambda y: y[:, :512], lambda y: torch.cat([y[:, :700], 2 * y[:, 700:]], 1) if y.shape[1] > 700 else y]
)
def test_a_change_beyond_the_steps_that_most_sequences_have(changed: Any) -> None:
    class Far(Layers):
        def forward(self, x: Any) -> Any:
            return changed(self.rnn(x)[0])

    with pytest.raises(UnsupportedError, match="computes something else for sequences of 1100 steps than for shorter"):
        from_torch(Far("").eval())


@pytest.mark.parametrize(("what", "shape"), [("backward", (5, 1, 3)), ("forward", (1, 1, 3))])
def test_an_example_of_one_step_hides_what_sequences_do(what: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedError, match=r"starts afresh at each call, of a single step.* batch_first=True says"):
        from_torch(Layers(what).eval(), example=torch.zeros(shape))


def test_scales_in_front_are_folded_and_rounded() -> None:
    class Scaled(Layers):
        def forward(self, x: Any) -> Any:
            return self.rnn(x * 3)[0]

    assert [layer.kind for layer in from_torch(Scaled("").eval()).layers] == ["GRU"]


class Mixed(torch.nn.Module):
    """One axis for time in recurrent parts, another one in the rest of forward."""

    def __init__(self, first: Any, batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.second = (torch.nn.GRU(3, 3, batch_first=each) for each in (batch_first, not batch_first))
        self.first = first

    def forward(self, x: Any) -> Any:
        return self.first(self, x)


MIXED: dict[str, tuple[Any, bool]] = {
    "last along the second": (lambda net, x: net.rnn(x)[0][:, -1], False),
    "last along the first": (lambda net, x: net.rnn(x)[0][-1], True),
    "states for the first": (lambda net, x: net.rnn(x, torch.zeros(1, x.shape[0], 3))[0], False),
    "two parts": (lambda net, x: net.second(net.rnn(x)[0])[0], False),
}


@pytest.mark.parametrize("shape", [None, (4, 9, 3)])
@pytest.mark.parametrize("name", MIXED)
def test_a_forgotten_batch_first_is_named(name: str, shape: tuple[int, ...] | None) -> None:
    forward, flag = MIXED[name]
    module = Mixed(forward, flag).eval()
    axes = ("second", "first") if flag else ("first", "second")
    takes = "forward takes" if shape is None else "forward or example= takes"
    told = (
        rf"^from_torch: nn\.GRU 'rnn' runs along the {axes[0]} axis, as batch_first={flag} says, and {takes} "
        rf"the {axes[1]} one for time; it can be read with batch_first={not flag}\. If it was trained as it is"
    )
    with pytest.raises((UnsupportedError, InputError), match=told):
        from_torch(module, example=None if shape is None else torch.zeros(shape))
    module.rnn.batch_first = not flag  # as the message says
    assert from_torch(module).output_size == 3


def test_other_causes_leave_batch_first_alone() -> None:
    with pytest.raises(UnsupportedError) as told:
        from_torch(Mixed(lambda net, x: net.rnn(x)[0].mean(1), False).eval())
    assert "batch_first" not in str(told.value)
