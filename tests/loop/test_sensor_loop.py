"""SensorLoop on a clock that the tests set: policies, gaps, bad samples, failures, signals."""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import queue
import resource
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn.errors import FileError, InputError
from edge_rnn.loop import Realtime, SampleError, SinkClosed, Timed, sinks, sources
from edge_rnn.loop.backoff import Backoff
from edge_rnn.loop.input import feed, hanging, thread_feed
from edge_rnn.loop.input.ring import Item
from edge_rnn.loop.input.thread_feed import ThreadFeed
from edge_rnn.loop.report.status import write_status
from edge_rnn.loop.system.garbage import SlackCollector, off_the_hot_path
from edge_rnn.loop.system.realtime import applied
from loop_fakes import FakeClock, Gate, Kept, Script, loop, outputs, stream

XS = [float(x) for x in np.random.default_rng(1).standard_normal(8).astype(np.float32)]


def ys(sink: Kept) -> list[float]:
    return [float(y[0]) for y in sink.ys]


def test_public_name() -> None:
    from edge_rnn.loop import SensorLoop

    assert edge_rnn.loop.SensorLoop is SensorLoop


@pytest.mark.parametrize("blocks", [False, True])
def test_a_recording_is_stepped_through(blocks: bool) -> None:
    sink = Kept()
    counters = loop(Script(([x] for x in XS), blocks=blocks), sink).run()
    assert ys(sink) == outputs(XS)
    assert (counters.samples, counters.steps, counters.written) == (8, 8, 8)


@pytest.mark.parametrize("policy", ["catch_up", "drop", "hold"])
def test_ticks_are_on_time(policy: Any) -> None:
    clock, at = FakeClock(), []
    items = [each for x in XS for each in (lambda: at.append(clock.ns), [x])]
    sink = Kept()
    made = loop(Script(items, live=True), sink, 10, clock=clock, policy=policy)
    made.run()
    assert [ns - at[0] for ns in at] == [int(k * 1e8) for k in range(8)]
    assert ys(sink) == outputs(XS)
    assert made.lateness.max_ns == 0


# The third sample takes 2.5 periods: two deadlines pass during its work.
LATE = {
    "catch_up": ([0, 1, 2, 3, 4, 5, 6, 7], 0),
    "drop": ([0, 1, 2, 3, 4, 5, 6, 7], 1),
    "hold": ([0, 1, 2, 2, 3, 4, 5, 6, 7], 0),
}


@pytest.mark.parametrize("policy", LATE)
@pytest.mark.parametrize("live", [True, False])
def test_deadlines_that_pass(policy: Any, live: bool) -> None:
    clock, sink, at = FakeClock(), Kept(), []
    items: list[Any] = []
    for i, x in enumerate(XS):
        items += [lambda: at.append(clock.ns), [x]]
        if i == 2:
            items.insert(-1, lambda: clock.pass_s(0.25))
    made = loop(Script(items, live=live), sink, 10, clock=clock, policy=policy)
    counters = made.run()
    expected, skipped = LATE[policy]
    assert ys(sink) == outputs([XS[i] for i in expected])
    assert counters.skipped_ticks == skipped
    assert (counters.overruns, counters.missed_deadlines) == (1, 1)
    # The tick after next begins late; those after it are on the grid of the first again.
    assert [(ns - at[0]) % 10**8 for ns in at[5:]] == [0] * (len(at) - 5)
    ticks = counters.steps + counters.skipped_ticks
    assert (at[-1] - at[0]) // 10**8 == ticks - 1


def test_no_more_than_the_backlog_is_made_up() -> None:
    clock = FakeClock()
    items: list[Any] = [[1.0], lambda: clock.pass_s(100.0), [2.0], *([3.0] for _ in range(6))]
    counters = loop(Script(items, live=True), None, 10, clock=clock, backlog=5).run()
    assert counters.steps == 8
    assert counters.missed_deadlines == 999  # ticks 3 to 1001, when tick 2 begins
    assert counters.skipped_ticks == 1000 - 5


def arriving(policy: Any, arrivals: dict[int, list[float]], ticks: int) -> tuple[Kept, Any]:
    """A loop at 10 Hz whose ring is filled by hand: what arrives by tick k, -1 for before the first."""
    clock, sink = FakeClock(), Kept()
    made = loop(Gate(), sink, 10, clock=clock, policy=policy)
    feed = made._feed
    assert isinstance(feed, ThreadFeed)
    feed._going_on.set()
    feed.start = lambda: None  # type: ignore[method-assign]
    start_ns = clock.ns + 5 * 10**7  # the first tick is half a period after the first sample

    def put(tick: int) -> None:
        for value in arrivals.get(tick, []):
            feed._ring.put(np.array([value], np.float32), Item("", math.nan, clock.elapsed_ns()), feed._going_on)

    def on_sleep(seconds: float) -> None:
        tick, rest = divmod(clock.ns - start_ns, 10**8)
        if rest == 0:
            put(tick)
        if tick >= ticks:
            made.stop()

    def wait(seconds: float) -> None:
        if not feed._ring.waiting:
            clock.sleep(seconds)

    feed.wait = wait  # type: ignore[method-assign]
    clock.on_sleep = on_sleep
    put(-1)
    made.run()
    return sink, made.counters


@pytest.mark.parametrize(("policy", "taken"), [("catch_up", [1, 2, 3, 4]), ("drop", [3, 4]), ("hold", [3, 4])])
def test_newest_of_the_samples_that_wait_is_taken_or_all_of_them(policy: Any, taken: list[float]) -> None:
    sink, counters = arriving(policy, {-1: [1.0, 2.0, 3.0], 1: [4.0]}, 2)
    assert ys(sink) == outputs(taken)
    assert counters.dropped == 4 - len(taken)


@pytest.mark.parametrize(
    ("policy", "taken", "late"), [("catch_up", [1, 2], 1), ("drop", [1, 2], 2), ("hold", [1, 1, 1, 2], 2)]
)
def test_late_sample_is_waited_for_left_out_or_held(policy: Any, taken: list[float], late: int) -> None:
    sink, counters = arriving(policy, {-1: [1.0], 3: [2.0]}, 4)
    assert ys(sink) == outputs(taken)
    assert counters.late_samples == late
    assert counters.skipped_ticks == (2 if policy == "drop" else 0)
    assert counters.held == (2 if policy == "hold" else 0)


def test_schedule_follows_a_source_that_begins_anew_at_another_moment() -> None:
    clock, sink = FakeClock(), Kept()
    made = loop(Gate(), sink, 10, clock=clock)
    feed = made._feed
    assert isinstance(feed, ThreadFeed)
    feed._going_on.set()
    feed.start = lambda: None  # type: ignore[method-assign]
    # Every 100 ms, but for one pause of 430 ms: as of a sensor that was plugged in again.
    due = [clock.ns + 10**8 * k + (33 * 10**7 if k > 5 else 0) for k in range(20)]
    lags = []

    def sleep(seconds: float) -> None:
        for _ in range(round(seconds * 1000)):
            clock.ns += 10**6
            while due and due[0] <= clock.ns:
                feed._ring.put(np.ones(1, np.float32), Item("", math.nan, due.pop(0)), feed._going_on)
        if not due and not feed.waiting:
            made.stop()

    def write(y: np.ndarray, t_s: float) -> None:
        lags.append(clock.ns - made._stepper._last_ns)

    clock.sleep = sleep  # type: ignore[method-assign]
    feed.wait = sleep  # type: ignore[method-assign]
    sink.write = write  # type: ignore[method-assign]
    counters = made.run()
    assert (counters.steps, counters.late_samples) == (20, 1)
    assert max(lags) <= 10**8  # half a period, and the time that passes before the loop looks


BAD = ["x", [1, 2], b"\xff", [[1]], {"a": 1}, SampleError("what the source says")]


@pytest.mark.parametrize("blocks", [False, True])
def test_bad_samples(blocks: bool) -> None:
    said: list[str] = []
    items = [[XS[0]], *BAD, [XS[1]]]
    sink = Kept()
    counters = loop(Script(list(items), blocks=blocks), sink, report=said.append).run()
    assert (ys(sink), counters.bad) == (outputs(XS[:2]), len(BAD))
    assert said[0].startswith("sample 2: a sample holds <U1, expected numbers")

    sink = Kept()
    counters = loop(Script(list(items), blocks=blocks), sink, on_bad="hold").run()
    assert ys(sink) == outputs([XS[0]] * (1 + len(BAD)) + [XS[1]])
    assert counters.held == len(BAD)

    sink = Kept()
    with pytest.raises(InputError, match="sample 2: "):
        loop(Script(list(items), blocks=blocks), sink, on_bad="raise").run()
    assert ys(sink) == outputs(XS[:1])


@pytest.mark.parametrize("policy", ["hold", "skip"])
def test_nonfinite_samples_are_the_streams_business_and_counted(policy: Any) -> None:
    xs = [XS[0], math.nan, math.inf, 1e300, XS[1]]
    expected = stream(on_nonfinite=policy).run(np.array([*xs[:2], math.inf, math.inf, *xs[4:]], np.float32)[:, None])
    sink = Kept()
    counters = loop(Script([x] for x in xs), sink, network=stream(on_nonfinite=policy)).run()
    assert np.array_equal(np.array(sink.ys), expected)
    assert (counters.nonfinite, counters.steps) == (3, 5)


def test_nonfinite_samples_that_the_stream_refuses() -> None:
    xs = [XS[0], math.nan, XS[1]]
    sink = Kept()
    counters = loop(Script([x] for x in xs), sink).run()
    assert (ys(sink), counters.nonfinite, counters.steps) == (outputs(XS[:2]), 1, 2)
    with pytest.raises(InputError, match="sample 2: "):
        loop(Script([x] for x in xs), on_bad="raise").run()


@pytest.mark.parametrize("reset_after_s", [None, 10.0])
@pytest.mark.parametrize("how", ["clock", "asleep", "stamps"])
def test_gap(reset_after_s: float | None, how: str) -> None:
    clock, sink, said = FakeClock(), Kept(), []
    if how == "stamps":
        items: list[Any] = [Timed([XS[0]], 5.0), Timed([XS[1]], 14.9), Timed([XS[2]], 25.0), Timed([XS[3]], 26.0)]
    else:

        def pause() -> None:
            if how == "clock":
                clock.pass_s(10.5)
            else:
                clock.asleep_ns += int(10.5e9)

        items = [[XS[0]], [XS[1]], pause, [XS[2]], [XS[3]]]
    counters = loop(
        Script(items), sink, clock=clock, reset_after_s=reset_after_s, stall_after_s=10.0, report=said.append
    ).run()
    expected = outputs(XS[:2]) + outputs(XS[2:4]) if reset_after_s else outputs(XS[:4])
    assert ys(sink) == expected
    assert (counters.gaps, counters.resets) == (1, int(bool(reset_after_s)))
    assert ("starts anew" if reset_after_s else "carries on") in said[0]


def test_times_are_handed_on_and_lies_are_counted() -> None:
    sink = Kept()
    items = [Timed([1.0], 5.0), [1.0], Timed([1.0], 4.0), Timed([1.0], math.inf), Timed([1.0], 6.0)]
    clock = FakeClock()
    counters = loop(Script(items), sink, clock=clock).run()
    assert sink.times == [5.0, clock.wall_s(), 4.0, math.inf, 6.0]
    assert (counters.bad_times, counters.gaps) == (2, 0)


def test_failing_source_is_tried_again_ever_more_seldom() -> None:
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
    assert said[0] == "the source failed: unplugged; it is tried again at once, and then less and less often."
    assert made.status()["source"] == "ended"


def test_failing_source_is_made_anew_by_the_function_that_makes_it() -> None:
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
        "the source failed: one; it is tried again at once, and then less and less often.",
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


def test_stuck_source_is_given_up_and_made_anew() -> None:
    clock, gates, said = FakeClock(), [], []

    class Stuck(Gate):
        def close(self) -> None:  # it hangs for good, whatever is done
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
    assert said[0] == "the source has been silent for 5.0 s, from the start; it is opened again."
    for gate in gates:
        gate.open.release(100)


def test_stuck_source_that_cannot_be_made_anew_is_told_and_waited_for() -> None:
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
    assert said[0] == "the source has been silent for 5.0 s, from the start; it is waited for."


@pytest.mark.parametrize("steady", [False, True])
def test_silent_source_stays_open_unless_it_is_never_silent(steady: bool) -> None:
    """A sample every 9 s: none is lost, none is reported; then 99 s of silence are, and nothing is opened again."""
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
    answer = "it is opened again" if steady else "it is waited for"
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
        """Of a reader: between its failure and what it does about it the loop gives it up."""

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
        "the sink failed: No space left on device; it is tried again at once, and then less and less often.",
        "the sink is back.",
    ]


def test_output_that_explodes_while_samples_are_held() -> None:
    """h = relu(2 h + x) leaves float32 after some 127 steps; the loop stays, and says so."""
    network = edge_rnn.Stream(edge_rnn.Model([edge_rnn.Elman([[1.0]], [[2.0]], activation="relu")]))
    said: list[str] = []
    items = [[1.0], *("x" for _ in range(200))]
    counters = loop(Script(items), network=network, on_bad="hold", report=said.append).run()
    assert counters.steps + counters.nonfinite == 201
    assert 60 < counters.nonfinite < 80
    assert any("the last sample once more" in text for text in said)


def test_sink_that_wants_no_more_ends_the_loop() -> None:
    def write(y: Any, t_s: float) -> None:
        raise SinkClosed

    made = loop(Script([x] for x in XS), sinks.Call(write))
    assert made.run().samples == 1
    assert made.status()["stopped_by"] == "the sink"


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("rate_hz", [None, 10])
def test_signal_finishes_the_sample_and_ends_the_loop(number: signal.Signals, rate_hz: float | None) -> None:
    before = signal.getsignal(number)
    items = [[1.0], lambda: os.kill(os.getpid(), number), [2.0], [3.0], [4.0]]
    sink, source = Kept(), Script(items)
    made = loop(source, sink, rate_hz)
    made.run()
    assert ys(sink) == outputs([1, 2])
    assert made.status()["stopped_by"] == number.name
    assert signal.getsignal(number) is before
    assert source.closed == 1


@pytest.mark.usefixtures("default_signals")
def test_hangup_that_comes_again_and_again_lets_the_loop_finish() -> None:
    """A session that closes often sends it twice, and SIGTERM between."""
    hang_up = lambda: os.kill(os.getpid(), signal.SIGHUP)  # noqa: E731
    items = [[1.0], hang_up, hang_up, lambda: os.kill(os.getpid(), signal.SIGTERM), hang_up, [2.0], [3.0]]
    sink = Kept()
    made = loop(Script(items), sink)
    made.run()
    assert ys(sink) == outputs([1, 2])
    assert made.status()["stopped_by"] == "SIGHUP"


@pytest.mark.usefixtures("default_signals")
def test_sigusr1_tells_the_status() -> None:
    said: list[str] = []
    items = [[1.0], lambda: os.kill(os.getpid(), signal.SIGUSR1), [2.0], [3.0]]
    loop(Script(items), report=said.append).run()
    (line,) = said
    status = json.loads(line.removeprefix("status "))
    assert status["counters"]["samples"] >= 2


def test_stop_from_another_thread_ends_a_long_sleep() -> None:
    class Stop:
        """A sink that has the loop stopped once it sleeps: the next sample is due after 1000 s."""

        def write(self, y: Any, t_s: float) -> None:
            threading.Timer(0.05, made.stop).start()

    made = loop(Script(([1.0] for _ in range(9)), live=True), Stop(), 0.001, clock=None)
    assert made.run().samples == 1


def test_loop_outside_of_the_main_thread_handles_no_signals() -> None:
    before = signal.getsignal(signal.SIGTERM)
    made = loop(Script([x] for x in XS))
    thread = threading.Thread(target=made.run)
    thread.start()
    thread.join(60)
    assert made.counters.steps == 8
    assert signal.getsignal(signal.SIGTERM) is before


def test_status_file_is_json_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    network = stream()
    loop(Script([x] for x in XS), None, 10, status=path, network=network).run()
    status = json.loads(path.read_text())
    assert status["state"] == "stopped"
    assert status["source"] == "ended"
    assert status["counters"]["steps"] == 8
    assert status["lateness_ns"]["count"] == 9  # the tick that found the end is one
    assert status["work_ns"]["count"] == 8
    assert status["fingerprint"] == network.model.fingerprint
    assert status["y"] == pytest.approx(outputs(XS)[-1:])
    assert list(tmp_path.iterdir()) == [path]


def test_status_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    for name, words in {
        "no/file": "No such folder; mkdir -p .*/no makes it",
        ".": "it is a folder or a device",
    }.items():
        for option in ("status", "snapshot") if "no" in name else ("status",):
            source = Script([x] for x in XS)
            with pytest.raises(FileError, match=words):
                loop(source, **{option: tmp_path / name}).run()
            assert next(source.items) == [XS[0]]  # said before the first sample
    said: list[str] = []
    (tmp_path / "sub").mkdir()
    items = [[1.0], lambda: (tmp_path / "sub/status").unlink(), lambda: (tmp_path / "sub").rmdir(), [2.0]]
    loop(Script(items), status=tmp_path / "sub" / "status", report=said.append).run()
    assert "status: cannot be written: there is no folder" in said[0]
    with pytest.raises(FileError, match="it is a folder or a device"):
        write_status(Path("/dev/null"), {})
    assert not list(Path("/dev").glob(".null*"))


def test_uptime_does_not_follow_a_clock_that_is_set() -> None:
    clock = FakeClock()
    made = loop(Script([lambda: clock.pass_s(5), [1.0]]), clock=clock)
    wall_s = clock.wall_s
    made.run()
    clock.wall_s = lambda: wall_s() + 1e9  # type: ignore[method-assign]
    assert made.status()["uptime_s"] == 5


def test_garbage_is_collected_in_slack_and_put_back_as_it_was() -> None:
    clock = FakeClock()
    frozen, was_on, seen = gc.get_freeze_count(), gc.isenabled(), []

    class Node:
        def __init__(self) -> None:
            self.me = self

    def litter() -> None:
        seen.append(gc.isenabled())
        for _ in range(2000):
            Node()

    items = [each for _ in range(5) for each in (litter, [1.0])]
    counters = loop(Script(items, live=True), None, 1, clock=clock, collect="slack").run()
    assert seen == [False] * 5
    assert counters.collections >= 4
    assert gc.isenabled() is was_on
    assert gc.get_freeze_count() == frozen


def test_garbage_waits_for_slack_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = SlackCollector()
    made = {"count": 10_000}
    monkeypatch.setattr(gc, "get_count", lambda: (made["count"], 0, 0))
    collector.offer(1000)
    assert collector.collections == 0
    collector.offer(10**9)
    assert collector.collections == 1
    made["count"] = 10**6
    collector.offer(0)
    assert collector.collections == 2


def test_one_slow_collection_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    collector, made, took_ns = SlackCollector(), {"count": 10**6}, [10**9] + [10**5] * 20
    ends = iter([each for ns in took_ns for each in (0, ns)])
    monkeypatch.setattr(gc, "get_count", lambda: (made["count"], 0, 0))
    monkeypatch.setattr(gc, "collect", lambda: 0)
    monkeypatch.setattr("edge_rnn.loop.system.garbage.time.perf_counter_ns", lambda: next(ends))
    collector.offer(0)  # forced, and takes a second
    made["count"] = 10_000
    collector.offer(10**7)
    assert collector.collections == 1  # too little slack for another such
    made["count"] = 10**6
    for _ in range(12):
        collector.offer(0)
    made["count"] = 10_000
    collector.offer(10**7)
    assert collector.collections == 14
    collector.offer(799_999)
    assert collector.collections == 14  # but it is never taken to be shorter than 0.2 ms


def test_loops_that_overlap_put_garbage_collection_back_when_the_last_one_ends() -> None:
    frozen, was_on = gc.get_freeze_count(), gc.isenabled()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(off_the_hot_path("never"))
        second.enter_context(off_the_hot_path("slack"))
        first.close()
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 1000
        with off_the_hot_path("never"):
            pass
        assert not gc.isenabled()
        second.close()
    assert (gc.get_freeze_count(), gc.isenabled()) == (frozen, was_on)


def test_what_the_user_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with off_the_hot_path("slack"):
            assert not gc.isenabled()
            assert gc.get_freeze_count() <= frozen
        assert frozen - 100 <= gc.get_freeze_count() <= frozen  # objects that were deleted are not there any more
        gc.disable()
        with off_the_hot_path("never"):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_realtime_is_asked_for_and_what_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, affinity, seen = os.sched_getscheduler(0), os.sched_getaffinity(0), {}
    cpu = min(affinity)

    def look() -> None:
        seen.update(affinity=os.sched_getaffinity(0))

    made = loop(Script([look, [1.0]]), realtime=Realtime(cpus=[cpu]))
    made.run()
    assert seen["affinity"] == {cpu}
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0)) == (affinity, policy)

    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    said: list[str] = []
    made = loop(Script([[1.0]]), realtime=Realtime(priority=50, cpus=[4095]), report=said.append)
    assert made.run().steps == 1
    assert len(made.status()["warnings"]) == 2
    assert "SCHED_FIFO 50 is not allowed (Operation not permitted)" in made.status()["warnings"][1]
    assert "[4095] cannot be had" in said[0]


def test_loops_that_overlap_put_the_switch_interval_back() -> None:
    before = sys.getswitchinterval()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(applied(Realtime(), 100.0))
        second.enter_context(applied(Realtime(), 1000.0))
        assert sys.getswitchinterval() == pytest.approx(50e-6)
        first.close()
        assert sys.getswitchinterval() == pytest.approx(50e-6)
        second.close()
        assert sys.getswitchinterval() == before


def test_priority_is_that_of_the_loop_alone() -> None:
    """Where it is allowed: the loop's thread has it, those that it starts do not."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pytest.skip("needs the right to SCHED_FIFO")
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    seen: dict[str, Any] = {}

    def write(y: Any, t_s: float) -> None:
        seen["loop"] = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    def look() -> None:
        seen["source"] = os.sched_getscheduler(0)

    made = loop(Script([look, [1.0]], blocks=True), sinks.Call(write), realtime=Realtime(priority=7))
    made.run()
    assert seen == {"loop": (os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 7), "source": os.SCHED_OTHER}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert made.status()["warnings"] == []


def test_memory_is_not_locked_below_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that lets the call through would let a later allocation fail."""
    monkeypatch.setattr("edge_rnn.loop.system.realtime._has_capability", lambda: False)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 26, 1 << 26))
    made = loop(Script([[1.0]]), realtime=Realtime(lock_memory=True))
    assert made.run().steps == 1
    assert "memory cannot be locked (there is a limit)" in made.status()["warnings"][0]


def test_source_and_sink_are_closed_even_if_that_hangs_or_fails() -> None:
    class Bad(Script):
        def close(self) -> None:
            raise OSError("cannot close")

    assert loop(Bad([[1.0]])).run().steps == 1


def test_messages_go_to_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "edge_rnn.loop"):
        loop(Script(["x", [1.0]]), report=None).run()
    assert "expected numbers" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "wait"}, "policy got 'wait', expected one of 'catch_up', 'drop', 'hold'"),
        ({"on_bad": "ignore"}, "on_bad got 'ignore'"),
        ({"rate_hz": 0}, "rate_hz got 0"),
        ({"rate_hz": math.nan}, "rate_hz got nan"),
        ({"reset_after_s": -1}, "reset_after_s got -1"),
        ({"snapshot_every_s": math.inf}, "snapshot_every_s got inf"),
        ({"backlog": 0}, "backlog got 0"),
        ({"collect": "often"}, "collect got 'often'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        loop(Script([]), **options)
    assert words in str(caught.value)


def test_source_without_a_pace_takes_a_rate() -> None:
    with pytest.raises(InputError, match="give rate_hz"):
        loop(sources.Call(lambda: [1.0]))
    with pytest.raises(InputError, match="expected an object with read"):
        loop(5)


def test_run_is_for_once() -> None:
    made = loop(Script([]))
    made.run()
    with pytest.raises(InputError, match="second time"):
        made.run()


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate_hz", "5"), ("rate_hz", 1e-300), ("rate_hz", True), ("backlog", 1.5), ("backlog", 10**12), ("spin_s", None)],
)
def test_options_of_another_kind_are_refused_in_words(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"SensorLoop (got )?{name} "):
        edge_rnn.loop.SensorLoop(stream(), Script([]), Kept(), **{name: value})
