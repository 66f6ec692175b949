"""A stream that two threads use at once raises an error: in every call, in any order."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Dense, Model, Stream, StreamBank
from edge_rnn.errors import StateError
from edge_rnn.kernels.entry import python_function
from edge_rnn.kernels.program.record import FREE, MIXED, Handle
from edge_rnn.sampling import Sampler, beam_search, generate, rollout
from edge_rnn.streams import WindowedStream
from edge_rnn.streams.one_thread import OneThread

Build = Callable[..., Model]

IN_USE = r"was called while another thread is in the stream; nothing has changed\. Give each thread one of its own"
ANOTHER = 1
"""The number of a call that never ends."""


def word(stream: Stream) -> int:
    return int(stream._memory.handle[Handle.IN_USE])


@pytest.fixture
def model(make_model: Build) -> Model:
    return make_model("gru", 4, 9)


CALLS: dict[str, Callable[[Stream], Any]] = {
    "step": lambda stream: stream.step(np.ones(4, np.float32)),
    "step of a list": lambda stream: stream.step([1.0] * 4),
    "run": lambda stream: stream.run(np.ones((3, 4), np.float32)),
    "run into": lambda stream: stream.run(np.ones((3, 4)), np.zeros((3, 4), np.float32)),
    "classify": lambda stream: stream.classify(np.ones((3, 4))),
    "reset": lambda stream: stream.reset(),
    "state": lambda stream: stream.state,
    "set_state": lambda stream: stream.set_state({"gru1.h": np.zeros(9)}),
    "snapshot": lambda stream: stream.snapshot(),
    "restore": lambda stream: stream.restore(Stream(stream.model).snapshot()),
    "clone": lambda stream: stream.clone(),
    "copy_from": lambda stream: stream.copy_from(Stream(stream.model)),
    "rollout": lambda stream: rollout(stream, np.ones(4), 3),
    "generate": lambda stream: generate(stream, [1], max_length=3),
    "beam_search": lambda stream: beam_search(stream, [1], width=2, max_length=3),
}
MAKE_WHOLE = ("classify", "reset", "restore", "copy_from")
"""After these a stream that two threads were in is as good as new."""


@pytest.mark.parametrize("call", CALLS)
def test_a_call_into_a_stream_in_use_is_refused_and_changes_nothing(model: Model, call: str) -> None:
    stream = Stream(model)
    stream.step(np.ones(4, np.float32))
    before = stream._memory.arena.copy()
    stream._memory.handle[Handle.IN_USE] = ANOTHER
    with pytest.raises(StateError, match=IN_USE):
        CALLS[call](stream)
    assert word(stream) == ANOTHER
    assert np.array_equal(stream._memory.arena, before, equal_nan=True)
    stream._memory.handle[Handle.IN_USE] = FREE
    CALLS[call](stream)
    assert word(stream) == FREE


@pytest.mark.parametrize("call", CALLS)
def test_a_mixed_up_stream_is_unusable_until_it_is_reset(model: Model, call: str) -> None:
    stream, xs = Stream(model), np.ones((2, 4), np.float32)
    expected = stream.run(xs)
    stream._memory.handle[Handle.IN_USE] = MIXED
    if call in MAKE_WHOLE:
        CALLS[call](stream)
    else:
        for _ in range(2):
            with pytest.raises(StateError, match=r"two threads were in the same stream at once.*until reset"):
                CALLS[call](stream)
    stream.reset()
    assert np.array_equal(stream.run(xs), expected)


def test_leaving_a_stream_that_another_call_claimed_is_an_error(model: Model) -> None:
    """Another call claims the stream while this one is inside, having found the word free at the same moment."""
    stream = Stream(model)
    with (
        pytest.raises(StateError, match="two threads"),
        edge_rnn.streams.stream.claimed(stream._memory.handle, "stream.reset"),
    ):
        stream._memory.handle[Handle.IN_USE] = ANOTHER
    assert word(stream) == MIXED


@pytest.mark.parametrize("other", ["run", "step", "reset", "snapshot"])
def test_threads_that_meet_in_a_stream(model: Model, other: str) -> None:
    """Many runs, which release the GIL, against another call: every result without an error is right."""
    xs = np.random.default_rng(0).standard_normal((60_000, 4)).astype(np.float32)
    stream, errors, over = Stream(model), [], threading.Event()
    running = threading.Event()

    def work() -> None:
        running.wait()
        while not over.is_set():
            try:
                CALLS[other](stream)
            except StateError as error:
                errors.append(str(error))
                over.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        running.set()
        for _ in range(200):
            if over.is_set():
                break
            try:
                stream.run(xs)
            except StateError as error:
                errors.append(str(error))
                over.set()
    finally:
        over.set()
        thread.join()
    assert errors
    stream.reset()
    assert np.array_equal(stream.run(xs[:500]), Stream(model).run(xs[:500]))


@pytest.mark.parametrize("path", ["fast", "plain"])
def test_steps_of_several_threads_are_refused_or_taken_whole(
    model: Model, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a free-threaded build, steps really meet; on any other, the GIL keeps them apart."""
    if path == "plain":
        monkeypatch.setattr(python_function, "why_not", lambda: "a test says so")
    stream, x = Stream(model), np.ones(4, np.float32)
    taken, together = [0] * 4, threading.Barrier(4)

    def work(thread: int) -> None:
        together.wait()
        for _ in range(3000):
            try:
                stream.step(x)
            except StateError as error:
                assert re.search(IN_USE, str(error))
            else:
                taken[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(taken)
    expected = Stream(model)
    expected.run(np.ones((sum(taken), 4), np.float32))
    assert stream.snapshot() == expected.snapshot()


def test_a_bank_refuses_one_stream_in_use_and_moves_none(model: Model) -> None:
    bank, xs = StreamBank(model, 9), np.ones((9, 4), np.float32)
    bank.step(xs)
    before = [stream.snapshot() for stream in bank]
    bank[5]._memory.handle[Handle.IN_USE] = ANOTHER
    with pytest.raises(StateError, match=rf"bank\[5\]\.step {IN_USE}"):
        bank.step(xs)
    assert [word(stream) for stream in bank] == [ANOTHER if place == 5 else FREE for place in range(9)]
    bank.leave(5)
    bank.step(xs)  # it takes no part
    bank.join(5)
    bank[5]._memory.handle[Handle.IN_USE] = FREE
    for stream, snapshot in zip(bank, before, strict=True):
        stream.restore(snapshot)
    bank.step(xs)
    bank[5]._memory.handle[Handle.IN_USE] = MIXED
    with pytest.raises(StateError, match=r"bank\[5\]\.step found that two threads"):
        bank.step(xs)


def test_a_compiled_loop_is_refused_too(model: Model) -> None:
    import numba

    step = edge_rnn.step

    @numba.njit
    def loop(handle: int, x: Any, y: Any) -> None:
        step(handle, x, y)

    stream, x, y = Stream(model), np.ones(4, np.float32), np.zeros(4, np.float32)
    loop(stream.handle, x, y)
    for found in (ANOTHER, MIXED):
        stream._memory.handle[Handle.IN_USE] = found
        with pytest.raises(StateError, match="a stream that another thread is in, or was"):
            loop(stream.handle, x, y)
    stream.reset()
    loop(stream.handle, x, y)
    assert np.array_equal(y, Stream(model).step(x))


def test_what_is_python_alone_is_claimed_by_a_lock(model: Model) -> None:
    windows = WindowedStream(model, window=2, hop=1)
    sampler = Sampler(Stream(model))
    for claim, call in (
        (windows._alone, lambda: windows.step(np.ones(4))),
        (windows._alone, lambda: windows.run(np.ones((3, 4)))),
        (windows._alone, windows.reset),
        (sampler._alone, lambda: sampler.generate([1], max_length=2)),
        (sampler._alone, lambda: sampler.iterate([1], max_length=2)),
    ):
        with claim, pytest.raises(StateError, match="while another call of it is running; nothing has changed"):
            call()
        call()
    claim = OneThread("This")
    with claim, pytest.raises(StateError, match=r"^This was called"), claim:
        pass


def test_a_stream_without_layers_that_keep_anything_is_claimed_as_well() -> None:
    stream = Stream(Model([Dense([[1.0]])]))
    stream._memory.handle[Handle.IN_USE] = ANOTHER
    with pytest.raises(StateError, match=IN_USE):
        stream.step(1.0)
