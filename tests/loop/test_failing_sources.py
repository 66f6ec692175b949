"""Sources that fail, hang or fall silent, and sinks that fail."""

from __future__ import annotations

import queue
import threading
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn.loop import SinkClosed, sinks, sources
from edge_rnn.loop.backoff import Backoff
from edge_rnn.loop.input import feed, hanging, thread_feed
from edge_rnn.loop.input.thread_feed import ThreadFeed
from loop_fakes import FakeClock, Gate, Kept, Script, loop, outputs
from loop_helpers import XS, ys


def test_failing_source_is_retried_with_backoff() -> None:
    clock, said, tried = FakeClock(), [], []
    items: list[Any] = [[1.0]]
    for _ in range(12):
        items += [lambda: tried.append(clock.ns), OSError("unplugged")]
    items += [[2.0], [3.0]]
    sink = Kept()
    source = Script(items, live=True)
    made = loop(source, sink, 100, clock=clock, report=said.append)
    counters = made.run()
    assert ys(sink) == outputs([1, 2, 3])
    assert counters.source_failures == 12
    pauses = np.diff(tried) / 1e9
    expected = np.array([0, *np.minimum(0.1 * 2.0 ** np.arange(10), 30)])
    assert np.all(pauses >= expected)
    assert np.all(pauses <= expected + 0.06)  # the slice after which the loop looks again, and a tick
    assert said[0] == "the source failed: unplugged; retrying immediately, then with increasing delays."
    assert made.status()["source"] == "ended"


def test_failing_source_is_re_created_by_its_factory() -> None:
    made: list[Script] = []

    def make() -> Script:
        made.append(Script([OSError("no"), [9.0]] if len(made) < 3 else [[1.0]], live=True))
        return made[-1]

    sink = Kept()
    counters = loop(make, sink, 10).run()
    assert (len(made), ys(sink), counters.source_failures) == (4, outputs([1]), 3)
    assert [each.closed for each in made[:3]] == [1, 1, 1]


def test_failing_source_in_a_thread() -> None:
    said: list[str] = []
    sink = Kept()
    source = Script([[1.0], OSError("one"), ValueError(), [2.0]], blocks=True)
    counters = loop(source, sink, report=said.append).run()
    assert (ys(sink), counters.source_failures) == (outputs([1, 2]), 2)
    assert said[:2] == [
        "the source failed: one; retrying immediately, then with increasing delays.",
        "the source is back.",
    ]


@pytest.mark.parametrize("blocks", [False, True])
def test_iterator_that_is_exhausted_is_the_end(blocks: bool) -> None:
    rows = iter([[x] for x in XS])
    sink = Kept()
    loop(sources.Call(lambda: next(rows), blocks=blocks, live=False), sink).run()
    assert ys(sink) == outputs(XS)


def test_source_that_wants_to_end_its_thread_is_a_failing_one() -> None:
    sink = Kept()
    counters = loop(Script([[1.0], SystemExit(3), [2.0]], blocks=True), sink).run()
    assert (ys(sink), counters.source_failures) == (outputs([1, 2]), 1)


def test_stuck_source_is_abandoned_and_re_created() -> None:
    clock, gates, said = FakeClock(), [], []

    class Stuck(Gate):
        def close(self) -> None:  # it hangs forever
            self.closed = True

    def make() -> Gate:
        gates.append(Stuck())
        if len(gates) == 3:
            gates[-1].open.release(5)
        return gates[-1]

    sink = Kept()
    made = loop(make, sink, clock=clock, stall_after_s=5.0, report=said.append)
    real_wait = made._feed.wait

    def wait(seconds: float) -> None:
        real_wait(seconds)
        clock.pass_s(1.0)
        if len(sink.ys) == 5:
            made.stop()

    made._feed.wait = wait  # type: ignore[method-assign]
    counters = made.run()
    assert len(gates) == 3
    assert ys(sink) == outputs([1.0] * 5)
    assert counters.stalls == 2
    assert said[0] == "the source has been silent for 5.0 s since the start; reopening it."
    for gate in gates:
        gate.open.release(100)


def test_stuck_source_without_a_factory_is_reported_and_awaited() -> None:
    clock, said = FakeClock(), []
    gate, sink = Gate(), Kept()
    made = loop(gate, sink, clock=clock, stall_after_s=5.0, report=said.append)
    real_wait, states = made._feed.wait, []

    def wait(seconds: float) -> None:
        clock.pass_s(1.0)
        states.append(made.status()["source"])
        if clock.ns == int(1020e9):
            gate.open.release()
        real_wait(60.0 if clock.ns >= 1020e9 and not sink.ys else 0.0)
        if sink.ys:
            made.stop()

    made._feed.wait = wait  # type: ignore[method-assign]
    counters = made.run()
    assert ys(sink) == outputs([1])
    assert counters.stalls == 2  # after 5 s, and 10 s later
    assert "stalled" in states
    assert said[0] == "the source has been silent for 5.0 s since the start; still waiting."


@pytest.mark.parametrize("steady", [False, True])
def test_silent_source_stays_open_unless_it_is_never_silent(steady: bool) -> None:
    """A sample every 9 s: none is lost or reported; then 99 s of silence are reported, and nothing is reopened."""
    clock, gates, said = FakeClock(), [], []

    def make() -> Gate:
        gates.append(Gate())
        gates[-1].steady = steady  # type: ignore[attr-defined]
        return gates[-1]

    sink = Kept()
    made = loop(make, sink, clock=clock, report=said.append)
    real_wait = made._feed.wait
    seconds = 0

    def wait(_: float) -> None:
        nonlocal seconds
        clock.pass_s(1.0)
        seconds += 1
        if seconds <= 90 and seconds % 9 == 0:
            gates[0].open.release()
            real_wait(60)
        if seconds == 90 + 99:
            made.stop()

    made._feed.wait = wait  # type: ignore[method-assign]
    counters = made.run()
    assert (counters.steps, counters.gaps, counters.stalls) == (10, 0, 1)
    assert len(gates) == 1 + steady
    answer = "reopening it" if steady else "still waiting"
    assert said == [f"the source has been silent for 90.0 s; {answer}."]
    for gate in gates:
        gate.close()


def test_threads_that_hang_are_bounded() -> None:
    clock, gates = FakeClock(), []

    def make() -> Gate:
        gates.append(Gate())
        gates[-1].close = lambda: None  # type: ignore[method-assign]
        return gates[-1]

    made = loop(make, clock=clock, stall_after_s=1.0)
    rounds = 0

    def wait(seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        clock.pass_s(100.0)
        if rounds == 40:
            made.stop()

    made._feed.wait = wait  # type: ignore[method-assign]
    counters = made.run()
    assert counters.stalls == 40
    assert len(gates) <= 10
    for gate in gates:
        gate.open.release(10)


@pytest.mark.parametrize("blocks", [True, False])
def test_threads_that_hang_in_closing_are_bounded(blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    real, end = hanging.close_aside, threading.Event()
    monkeypatch.setattr(hanging, "close_aside", lambda thing, wait_s: real(thing, 0.001))
    for module in (feed, thread_feed):
        monkeypatch.setattr(module, "Backoff", lambda *_: Backoff(0.001, 0.001))
    reads = made_so_far = 0

    class Stuck(Script):
        def read(self) -> Any:
            nonlocal reads
            reads += 1
            if reads == 60:
                return None
            raise OSError("gone")

        def close(self) -> None:
            end.wait()

    def make() -> Stuck:
        nonlocal made_so_far
        made_so_far += 1
        return Stuck([], blocks=blocks, live=blocks)

    made = loop(make, None, None if blocks else 10)
    assert made.run().source_failures == 59
    assert made_so_far == 1 + hanging.MAX_HANGING
    end.set()


def test_reader_that_is_let_go_of_as_it_fails_leaves_the_next_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, made_so_far = FakeClock(), []

    class LetGo(Backoff):
        """Reader that the loop abandons between its failure and its reaction to it."""

        def failed(self) -> float:
            nonlocal failing
            if threading.current_thread() is failing:
                failing = None  # once
                clock.pass_s(10)
                made._feed.watch(clock.ns)
            return super().failed()

    class Failing(Script):
        def read(self) -> Any:
            nonlocal failing
            failing = threading.current_thread()
            readers.put(failing)
            raise OSError("gone")

    def make() -> Any:
        made_so_far.append(Gate() if made_so_far else Failing([], blocks=True, live=True))
        return made_so_far[-1]

    failing: threading.Thread | None = None
    readers: queue.Queue[threading.Thread] = queue.Queue()
    monkeypatch.setattr(thread_feed, "Backoff", LetGo)
    made = loop(make, clock=clock, stall_after_s=5)
    feed = made._feed
    assert isinstance(feed, ThreadFeed)
    feed.start()
    first = readers.get(timeout=60)  # feed._thread may be the next one's by now
    first.join(60)
    assert not first.is_alive()
    assert (feed.state, feed.failures, feed.stalls) == ("stalled", 0, 1)
    clock.pass_s(100)
    feed.watch(clock.ns)  # the silent one is given up as well
    assert feed.stalls == 2
    feed.close()


def test_class_is_a_function_that_makes_a_source() -> None:
    class Three(Script):
        def __init__(self) -> None:
            super().__init__([[1.0]] * 3)

    assert loop(Three).run().steps == 3


def test_flood_in_a_full_ring_is_counted_and_the_newest_stay() -> None:
    given = threading.Event()
    items = [*([float(i)] for i in range(1000)), given.set, lambda: time_out.wait(60)]
    time_out = threading.Event()
    sink = Kept()
    made = loop(Script(items, blocks=True, live=True), sink, backlog=16)
    taken = made._feed.take

    def take(x: Any) -> Any:
        assert given.wait(60)
        return taken(x)

    made._feed.take = take  # type: ignore[method-assign]
    made._feed.wait = lambda seconds: time_out.set() if given.is_set() else None  # type: ignore[method-assign]
    counters = made.run()
    assert counters.dropped == 1000 - 16
    assert ys(sink) == outputs([float(i) for i in range(984, 1000)])


def test_failing_sink_loses_outputs_and_nothing_else() -> None:
    clock, said = FakeClock(), []
    kept = Kept()
    failing = {"now": False}

    def write(y: Any, t_s: float) -> None:
        if failing["now"]:
            raise OSError("No space left on device")
        kept.write(y, t_s)

    items: list[Any] = [[1.0], lambda: failing.update(now=True), *([2.0] for _ in range(50))]
    items += [lambda: failing.update(now=False), *([3.0] for _ in range(200))]
    counters = loop(Script(items, live=True), sinks.Call(write), 100, clock=clock, report=said.append).run()
    assert counters.steps == 251
    assert counters.written + counters.unwritten == 251
    assert counters.sink_failures == 4  # at 0.01, 0.02, 0.12, 0.32 s
    assert ys(kept)[-1] == outputs([1.0] + [2.0] * 50 + [3.0] * 200)[-1]
    assert said == [
        "the sink failed: No space left on device; retrying immediately, then with increasing delays.",
        "the sink is back.",
    ]


def test_output_that_explodes_while_samples_are_held() -> None:
    """h = relu(2 h + x) overflows float32 after about 127 steps; the loop continues and reports it."""
    network = edge_rnn.Stream(edge_rnn.Model([edge_rnn.Elman([[1.0]], [[2.0]], activation="relu")]))
    said: list[str] = []
    items = [[1.0], *("x" for _ in range(200))]
    counters = loop(Script(items), network=network, on_bad="hold", report=said.append).run()
    assert counters.steps + counters.nonfinite == 201
    assert 60 < counters.nonfinite < 80
    assert any("repeating the last sample" in text for text in said)


def test_sink_that_wants_no_more_ends_the_loop() -> None:
    def write(y: Any, t_s: float) -> None:
        raise SinkClosed

    made = loop(Script([x] for x in XS), sinks.Call(write))
    assert made.run().samples == 1
    assert made.status()["stopped_by"] == "the sink"
