"""Parts of the loop: deadlines, decisions, ring, histogram, journal, disk thread."""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rnn.loop import SampleError, Timed
from edge_rnn.loop.backoff import Backoff
from edge_rnn.loop.input.rhythm import Rhythm
from edge_rnn.loop.input.ring import Item, Ring
from edge_rnn.loop.input.sample import fill
from edge_rnn.loop.persist.disk_thread import Clerk
from edge_rnn.loop.report.journal import Journal
from edge_rnn.loop.report.log_histogram import LogHistogram
from edge_rnn.loop.schedule import POLICIES, Decision, Schedule, decide
from edge_rnn.loop.sources.line_buffer import LineBuffer
from loop_fakes import FakeClock

YEAR_S = 365 * 86400


@pytest.mark.parametrize("rate_hz", [1000.0, 3.0, 44100 / 64, 0.1])
def test_deadlines_do_not_drift_in_a_year(rate_hz: float) -> None:
    schedule = Schedule(7, rate_hz)
    ticks = int(YEAR_S * rate_hz)
    for _ in range(100):
        schedule.advance(1)
    schedule.advance(ticks - 100)
    exact = 7 + ticks * Fraction(10**9) / Fraction(rate_hz)
    assert (
        abs(schedule.deadline_ns - exact) < 16
    )  # ns: half a unit in the last place of a double at 3e16, and the floor


@given(st.floats(0.1, 5000), st.integers(0, 10**6), st.integers(0, 10**4))
def test_missed_counts_the_deadlines_that_have_passed(rate_hz: float, tick: int, missed: int) -> None:
    schedule = Schedule(1000, rate_hz)
    schedule.advance(tick)
    assert schedule.missed(schedule.deadline_ns) == 0
    later = Schedule(1000, rate_hz)
    later.advance(tick + missed)
    middle = later.deadline_ns + int(0.5e9 / rate_hz)
    assert schedule.missed(middle) == missed


# policy, kind, missed, waiting -> discard, hold, take, wait, skipped; the backlog is 4
TABLE = [
    ("catch_up", "arriving", 0, 1, (0, 0, 1, False, 0)),
    ("catch_up", "arriving", 2, 3, (0, 0, 3, False, 0)),
    ("catch_up", "arriving", 0, 0, (0, 0, 0, True, 0)),
    ("catch_up", "polled", 0, 1 << 62, (0, 0, 1, False, 0)),
    ("catch_up", "polled", 3, 1 << 62, (0, 0, 4, False, 0)),
    ("catch_up", "polled", 9, 1 << 62, (0, 0, 4, False, 6)),
    ("catch_up", "polled", 1, 0, (0, 0, 0, True, 0)),
    ("catch_up", "stored", 2, 2, (0, 0, 2, False, 0)),
    ("drop", "arriving", 0, 1, (0, 0, 1, False, 0)),
    ("drop", "arriving", 2, 3, (2, 0, 1, False, 2)),
    ("drop", "arriving", 0, 0, (0, 0, 0, False, 1)),
    ("drop", "polled", 5, 1 << 62, (0, 0, 1, False, 5)),
    ("drop", "stored", 1, 9, (0, 0, 1, False, 1)),
    ("hold", "arriving", 0, 1, (0, 0, 1, False, 0)),
    ("hold", "arriving", 2, 3, (2, 2, 1, False, 0)),
    ("hold", "arriving", 0, 0, (0, 1, 0, False, 0)),
    ("hold", "polled", 9, 1 << 62, (0, 4, 1, False, 5)),
    ("hold", "stored", 1, 0, (0, 2, 0, False, 0)),
]


@pytest.mark.parametrize(("policy", "kind", "missed", "waiting", "expected"), TABLE)
def test_decision(policy: Any, kind: Any, missed: int, waiting: int, expected: tuple[Any, ...]) -> None:
    assert decide(policy, kind, missed, waiting, 4) == Decision(*expected)


@given(
    st.sampled_from(POLICIES),
    st.sampled_from(["polled", "stored", "arriving"]),
    st.integers(0, 1000),
    st.integers(0, 300),
    st.integers(1, 256),
)
def test_decisions_keep_their_promises(policy: Any, kind: Any, missed: int, waiting: int, backlog: int) -> None:
    todo = decide(policy, kind, missed, waiting, backlog)
    steps = todo.hold + todo.take
    assert min(todo) >= 0
    assert todo.take + todo.discard <= waiting
    assert todo.wait == (policy == "catch_up" and not waiting)
    if kind != "arriving":
        assert todo.discard == 0  # of a recording nothing is lost
    if policy == "hold":
        assert steps + todo.skipped == 1 + missed
    if policy == "drop":
        assert (steps <= 1, steps + todo.skipped) == (True, 1 + missed)
    if policy == "catch_up":
        assert (todo.hold, todo.discard) == (0, 0)
    assert todo.hold <= backlog + 1


@given(st.lists(st.integers(0, 1 << 62), min_size=1, max_size=300), st.floats(0.001, 1))
def test_quantile_is_the_exact_one_within_an_eighth(values: list[int], share: float) -> None:
    histogram = LogHistogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    got = histogram.quantile_ns(share)
    assert exact <= got * (1 + 1e-12)
    assert got <= max(exact * 1.125 + 1, 1)
    assert (histogram.count, histogram.max_ns) == (len(values), max(values))
    whole = histogram.histogram()
    assert sum(whole.counts) == len(values)
    assert whole.edges_ns[0] <= min(values)
    assert max(values) < whole.edges_ns[-1] * (1 + 1e-12)


def test_histograms_add_up() -> None:
    one, two, both = LogHistogram(), LogHistogram(), LogHistogram()
    for value in range(1000):
        (one if value % 3 else two).record(value * value)
        both.record(value * value)
    one.add(two)
    assert (one.as_json(), one.histogram()) == (both.as_json(), both.histogram())


def test_histogram_takes_anything() -> None:
    histogram = LogHistogram()
    assert histogram.as_json() == {"p50": 0, "p99": 0, "p99.9": 0, "max": 0, "count": 0}
    assert histogram.histogram().counts == ()
    for value in (-5, 0, 1 << 63, 1 << 70):
        histogram.record(value)
    assert histogram.count == 4
    assert histogram.quantile_ns(0.5) <= 1


def test_backoff_begins_at_once_doubles_up_to_its_cap_and_starts_again() -> None:
    backoff = Backoff(0.1, 1.0)
    assert [backoff.failed() for _ in range(7)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.succeeded()
    assert [backoff.failed() for _ in range(2)] == [0.0, 0.1]


def paused(*pauses_s: float) -> float:
    """The bound after these pauses."""
    rhythm = Rhythm(None)
    for pause_s in pauses_s:
        rhythm.note(pause_s)
    return rhythm.bound_s


def test_bound_of_silence_follows_the_pauses_that_were_seen() -> None:
    assert paused() == 60  # nothing is known
    assert paused(0.01) == paused(*[0.01] * 19) == 60  # it may be a burst
    assert paused(*[0.01] * 20) == 5
    assert paused(*[9.0] * 3) == paused(*[9.0] * 30) == 90
    assert paused(*[0.001] * 500, 8.0, *[0.001] * 500, 8.0, *[0.001] * 500) == 80  # bursts, 8 s apart
    outage = paused(*[1.0] * 30, 3600.0)
    assert outage == 4 * 10  # four times what it was
    assert paused(*[1.0] * 30, 3600.0, *[1.0] * 82) == 10  # and forgotten after 20 times the 4 s that counted
    fixed = Rhythm(2.5)
    fixed.note(100.0)
    assert fixed.bound_s == 2.5


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_bound_of_silence_keeps_its_promises(pauses_s: list[float]) -> None:
    rhythm = Rhythm(None)
    for pause_s in pauses_s:
        before = rhythm.bound_s
        rhythm.note(pause_s)
        assert 5 <= rhythm.bound_s <= max(4 * before, 60)
        assert rhythm.bound_s >= min(10 * pause_s, 4 * before) * (1 - 1e-12)


def test_ring_that_is_full() -> None:
    going_on = threading.Event()
    going_on.set()
    row, x = np.zeros(1, np.float32), np.zeros(1, np.float32)
    ring = Ring(3, 1, drops_oldest=True)
    for i in range(5):
        row[0] = i
        assert ring.put(row, Item("", i, i), going_on)
    assert (ring.waiting, ring.dropped) == (3, 2)
    assert (ring.take(x).t_s, x[0]) == (2, 2)
    ring.discard(1)
    assert (ring.take(x).t_s, ring.waiting, ring.dropped) == (4, 0, 3)

    full = Ring(1, 1, drops_oldest=False)
    assert full.put(row, Item("", 0, 0), going_on)
    done = []
    thread = threading.Thread(target=lambda: done.append(full.put(row, Item("", 1, 1), going_on)))
    thread.start()
    full.take(x)
    thread.join(60)
    assert (done, full.waiting, full.dropped) == ([True], 1, 0)
    going_on.clear()
    assert not full.put(row, Item("", 2, 2), going_on)  # put does not wait for a place after the end


@pytest.mark.parametrize(
    "value",
    [
        "1,2",
        b"12",
        [1, 2, 3],
        [[1, 2]],
        1.0,
        [1, [2]],
        ["a", "b"],
        {},
        object(),
        [None, None],
        np.array([1, 2j]),
        np.array(["1", "2"]),
        Timed([1, 2], "noon"),  # type: ignore[arg-type]
    ],
)
def test_values_that_are_not_samples(value: Any) -> None:
    with pytest.raises(SampleError):
        fill(np.zeros(2, np.float32), value)


def test_samples_of_many_kinds() -> None:
    row = np.zeros(2, np.float32)
    for value in ([1, 2], (1.0, 2.0), np.array([1, 2], np.int8), np.array([1, 2], np.float64), [True, 2]):
        assert math.isnan(fill(row, value))
        assert row.tolist() == [1, 2]
    assert fill(row, Timed([3, 4], 7.5)) == 7.5
    assert row.tolist() == [3, 4]
    assert math.isnan(fill(row[:1], 5))


def test_journal_does_not_say_the_same_a_thousand_times() -> None:
    clock, said = FakeClock(), []
    journal = Journal(said.append, clock, every_s=60)
    for i in range(1000):
        journal.tell("bad", f"sample {i}.")
    journal.tell("gap", "a gap.")
    assert said == ["sample 0.", "a gap."]
    clock.pass_s(61)
    journal.tell("bad", "sample 1000.")
    assert said[2] == "sample 1000. (999 more of this kind since)"
    assert journal.as_json()["bad"]["count"] == 1001
    assert journal.as_json()["bad"]["last"] == "sample 1000."


@pytest.mark.parametrize("error", [BrokenPipeError, RuntimeError])
def test_report_that_fails_does_not_matter(error: type[Exception]) -> None:
    def broken(text: str) -> None:
        raise error

    Journal(broken, FakeClock()).tell("bad", "unheard")


def test_clerk_does_the_latest_of_each_kind() -> None:
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(60)
        done.append("slow")

    clerk = Clerk(Journal(lambda text: done.append(f"journal: {text}"), FakeClock()))
    clerk.start()
    clerk.post("a", slow)
    assert begun.wait(60)
    clerk.post("a", lambda: done.append("old"))
    clerk.post("b", lambda: 1 / 0)
    clerk.post("a", lambda: done.append("new"))
    assert not clerk.wait(0.0)
    go_on.set()
    assert clerk.close(60)
    assert sorted(done) == ["journal: division by zero", "new", "slow"]


@given(st.lists(st.binary(max_size=30), max_size=20), st.lists(st.integers(1, 40), max_size=30))
def test_lines_do_not_depend_on_how_the_bytes_come(lines: list[bytes], cuts: list[int]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    data = b"".join(line + b"\n" for line in lines)
    buffer = LineBuffer(12)
    for cut in [*cuts, len(data)]:
        part, data = data[:cut], data[cut:]
        buffer.feed(part)
    buffer.feed(data)
    found = list(iter(buffer.take, None))
    assert found == [line if len(line) <= 12 else line[:13] for line in lines]
    buffer.feed(b"rest")
    assert buffer.take() is None
    buffer.end()
    assert buffer.take() == b"rest"


def test_endless_line_takes_no_memory() -> None:
    buffer = LineBuffer(100)
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
    buffer.feed(b"\nnext\n")
    first = buffer.take()
    assert first is not None
    assert (len(first), buffer.take()) == (101, b"next")
