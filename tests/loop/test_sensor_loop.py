"""SensorLoop on a simulated clock: policies, gaps, bad samples, failures, signals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn.errors import InputError
from edge_rnn.loop import SampleError, Timed
from edge_rnn.loop.input.ring import Item
from edge_rnn.loop.input.thread_feed import ThreadFeed
from loop_fakes import FakeClock, Gate, Kept, Script, loop, outputs, stream
from loop_helpers import XS, ys


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
    """Loop at 10 Hz whose ring is filled by hand: samples that arrive by tick k, -1 for before the first."""
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


def test_schedule_follows_a_source_that_restarts_at_another_moment() -> None:
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
    assert said[0].startswith("sample 2: a sample has dtype <U1, expected numbers")

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
    assert ("is reset" if reset_after_s else "is kept") in said[0]


def test_times_are_handed_on_and_lies_are_counted() -> None:
    sink = Kept()
    items = [Timed([1.0], 5.0), [1.0], Timed([1.0], 4.0), Timed([1.0], math.inf), Timed([1.0], 6.0)]
    clock = FakeClock()
    counters = loop(Script(items), sink, clock=clock).run()
    assert sink.times == [5.0, clock.wall_s(), 4.0, math.inf, 6.0]
    assert (counters.bad_times, counters.gaps) == (2, 0)
