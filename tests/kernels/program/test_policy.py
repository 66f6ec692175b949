"""Input and output by the policy of a stream: sizes around a vector's, bad values at every index."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba.core import types

from edge_rnn.kernels.compile.compiler import FLOATS, WORDS
from edge_rnn.kernels.program.policy import REFUSED, hand_over, is_finite, repeat_last, take
from edge_rnn.kernels.program.record import Handle, Policy
from kernel_calls import aligned, compiled

SIZES = [1, 2, 7, 8, 9, 15, 16, 17]
BAD = [np.nan, np.inf, -np.inf]
EXTREMES = np.array([3.4028235e38, -3.4028235e38, 1e-45, -0.0, 1.5], np.float32)  # finite, all of them

MARK = np.float32(-77.5)
"""Value of every float of an arena that nothing has been written to."""

LEFT = np.float32(123)
"""Value of every float of an output that nothing has been written to."""

ROOM = 32
"""Floats from one place in an arena to the next: the largest size, and a vector beyond it."""

PLACES = ("INPUT", "HELD", "LAST_OUTPUT", "OUTPUT_EVEN", "OUTPUT_ODD", "STATES_EVEN", "STATES_ODD")

sizes = pytest.mark.parametrize("size", SIZES)
policies = pytest.mark.parametrize("policy", Policy, ids=lambda policy: policy.name.lower())


@cache
def calls() -> dict[str, Callable[..., Any]]:
    def take_sample(handle, x):  # type: ignore[no-untyped-def]
        return take(handle, x)

    def look(handle):  # type: ignore[no-untyped-def]
        return 1 if is_finite(handle) else 0

    def put_out(handle, y, held):  # type: ignore[no-untyped-def]
        hand_over(handle, y, held)

    def put_out_again(handle, y):  # type: ignore[no-untyped-def]
        repeat_last(handle, y)

    return {
        "take": compiled(take_sample, types.int32(WORDS, FLOATS)),
        "is_finite": compiled(look, types.int32(WORDS)),
        "hand_over": compiled(put_out, types.void(WORDS, FLOATS, types.int64)),
        "repeat_last": compiled(put_out_again, types.void(WORDS, FLOATS)),
    }


class Memory:
    """Handle and arena, with marks around each place that must stay unchanged."""

    def __init__(self, inputs: int = 1, outputs: int = 1, policy: Policy = Policy.RAISE, **words: int) -> None:
        self.arena = aligned(np.full(ROOM * (1 + len(PLACES)), MARK))
        self.handle = np.zeros(len(Handle), np.int64)
        self.handle[Handle.ARENA] = self.arena.ctypes.data
        self.handle[[Handle.INPUT_SIZE, Handle.OUTPUT_SIZE, Handle.POLICY]] = inputs, outputs, policy
        for number, name in enumerate(PLACES):
            self.handle[Handle[name]] = ROOM * number + 8
        for name, value in words.items():
            self.handle[Handle[name.upper()]] = value

    def __getitem__(self, name: str) -> np.ndarray:
        """The floats from a place on to the next one."""
        start = int(self.handle[Handle[name]])
        return self.arena[start : start + ROOM]

    def untouched(self, *names: str) -> bool:
        """Return True if the arena is unchanged except for these places, padded to whole vectors."""
        other = np.ones(self.arena.size, bool)
        for name in names:
            start = int(self.handle[Handle[name]])
            size = self.handle[Handle.INPUT_SIZE if name in ("INPUT", "HELD") else Handle.OUTPUT_SIZE]
            other[start : start + -(-size // 8) * 8] = False
        return bool((self.arena[other] == MARK).all())


def users(values: Any) -> np.ndarray:
    """Array as from a user: aligned only to one float, with NaN after it."""
    return aligned(np.concatenate([[np.nan], values]))[1:]


def good(size: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng([size, seed]).standard_normal(size).astype(np.float32)
    values[: EXTREMES.size] = EXTREMES[:size]
    return values


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    return np.asarray(found, np.float32).tobytes() == np.asarray(expected, np.float32).tobytes()


# ---- take


@policies
@sizes
def test_a_finite_sample_is_copied_bit_for_bit(policy: Policy, size: int) -> None:
    memory, x = Memory(inputs=size, policy=policy), good(size)
    assert calls()["take"](memory.handle, users(x)) == 0
    assert same(memory["INPUT"][:size], x)
    assert memory.untouched("INPUT", *(["HELD"] if policy == Policy.HOLD else []))
    assert memory.handle[Handle.REFUSED] == 0  # counted where the step ends


@pytest.mark.parametrize("policy", [Policy.RAISE, Policy.SKIP])
@pytest.mark.parametrize("bad", BAD)
@sizes
def test_a_value_that_is_not_finite_at_any_place_refuses_the_sample(policy: Policy, bad: float, size: int) -> None:
    for place in range(size):
        memory, x = Memory(inputs=size, policy=policy), good(size)
        x[place] = bad
        assert calls()["take"](memory.handle, users(x)) == REFUSED, place
        assert memory.untouched("INPUT")


def test_infinities_of_both_signs_do_not_cancel() -> None:
    for places in ((0, 1), (0, 8), (8, 16), (16, 17)):
        memory, x = Memory(inputs=18), good(18)
        x[list(places)] = np.inf, -np.inf
        assert calls()["take"](memory.handle, users(x)) == REFUSED


@pytest.mark.parametrize("bad", BAD)
@sizes
def test_a_channel_that_is_not_finite_is_held_at_its_last_finite_value(bad: float, size: int) -> None:
    for place in range(size):
        memory = Memory(inputs=size, policy=Policy.HOLD)
        memory["LAST_OUTPUT"][0] = 0.25
        first, second = good(size), good(size, seed=1)[::-1].copy()
        assert calls()["take"](memory.handle, users(first)) == 0
        second[place] = bad
        assert calls()["take"](memory.handle, users(second)) == 1
        second[place] = first[place]
        assert same(memory["INPUT"][:size], second)
        assert same(memory["HELD"][:size], second)
        third = np.full(size, bad, np.float32)
        assert calls()["take"](memory.handle, users(third)) == 1  # nothing new at all: the last values again
        assert same(memory["INPUT"][:size], second)


@pytest.mark.parametrize("bad", BAD)
@sizes
def test_before_the_first_output_a_sample_without_a_finite_value_is_refused_and_not_held(bad: float, size: int) -> None:
    memory = Memory(inputs=size, policy=Policy.HOLD)
    memory["LAST_OUTPUT"][0] = np.nan
    memory["HELD"][:size] = 0
    x = np.full(size, bad, np.float32)
    assert calls()["take"](memory.handle, users(x)) == REFUSED
    assert same(memory["HELD"][:size], np.zeros(size))
    if size > 1:
        x[-1] = 2
        assert calls()["take"](memory.handle, users(x)) == 1
        assert same(memory["INPUT"][:size], np.array([0] * (size - 1) + [2]))


# ---- is_finite


@pytest.mark.parametrize("parity", [0, 1])
@sizes
def test_a_lane_of_the_output_that_is_not_finite_is_seen_and_padding_is_not(parity: int, size: int) -> None:
    memory = Memory(outputs=size, parity=parity)
    now, other = ("OUTPUT_EVEN", "OUTPUT_ODD")[:: 1 - 2 * parity]
    memory[other][:] = np.nan
    memory[now][:] = np.nan
    memory[now][:size] = good(size)
    assert calls()["is_finite"](memory.handle) == 1
    for place in range(size):  # the last lane too
        for bad in BAD:
            memory[now][:size] = good(size)
            memory[now][place] = bad
            assert calls()["is_finite"](memory.handle) == 0, (place, bad)


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("floats", [0, 8, 16])
def test_states_are_looked_at_as_far_as_the_handle_says(parity: int, floats: int) -> None:
    memory = Memory(outputs=3, parity=parity, state_floats=floats)
    now, other = ("STATES_EVEN", "STATES_ODD")[:: 1 - 2 * parity]
    memory[other][:] = np.nan
    memory[now][:] = np.nan
    memory[now][:floats] = 0.5
    assert calls()["is_finite"](memory.handle) == 1
    for place in range(floats):
        memory[now][:floats] = 0.5
        memory[now][place] = np.inf
        assert calls()["is_finite"](memory.handle) == 0, place


# ---- hand_over and repeat_last


@pytest.mark.parametrize("parity", [0, 1])
@sizes
def test_a_step_that_counts_hands_its_output_over_and_changes_places(parity: int, size: int) -> None:
    memory, y = Memory(outputs=size, parity=parity, refused=5), users(np.full(size + 9, LEFT))
    now, other = ("OUTPUT_EVEN", "OUTPUT_ODD")[:: 1 - 2 * parity]
    memory[now][:size], memory[other][:size] = good(size), 99
    calls()["hand_over"](memory.handle, y, 1)
    assert same(y[:size], good(size))
    assert (y[size:] == LEFT).all()
    assert same(memory["LAST_OUTPUT"][:size], good(size))
    assert memory.untouched(now, other, "LAST_OUTPUT")
    assert memory.handle[Handle.REFUSED] == 6
    assert memory.handle[Handle.PARITY] == 1 - parity
    calls()["hand_over"](memory.handle, y, 0)  # the next step
    assert (y[:size] == 99).all()
    assert memory.handle[Handle.REFUSED] == 6
    assert memory.handle[Handle.PARITY] == parity


@pytest.mark.parametrize("parity", [0, 1])
@sizes
def test_a_step_that_does_not_count_repeats_the_last_output_and_changes_no_places(parity: int, size: int) -> None:
    memory, y = Memory(outputs=size, parity=parity, refused=5), users(np.full(size + 9, LEFT))
    memory["LAST_OUTPUT"][:size] = good(size)
    before = memory.arena.copy()
    calls()["repeat_last"](memory.handle, y)
    assert same(y[:size], good(size))
    assert (y[size:] == LEFT).all()
    assert same(memory.arena, before)
    assert memory.handle[Handle.REFUSED] == 6
    assert memory.handle[Handle.PARITY] == parity
    memory["LAST_OUTPUT"][:size] = np.nan  # there is no output yet
    calls()["repeat_last"](memory.handle, y)
    assert np.isnan(y[:size]).all()
