"""Signals, status, garbage collection and real-time settings of a loop."""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import resource
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import edge_rnn
from edge_rnn.errors import FileError, InputError
from edge_rnn.loop import Realtime, sinks, sources
from edge_rnn.loop.report.status import write_status
from edge_rnn.loop.system.garbage import SlackCollector, off_the_hot_path
from edge_rnn.loop.system.realtime import applied
from loop_fakes import FakeClock, Kept, Script, loop, outputs, stream
from loop_helpers import XS, ys


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
    """A closing session often sends SIGHUP twice, with SIGTERM in between."""
    hang_up = lambda: os.kill(os.getpid(), signal.SIGHUP)  # noqa: E731
    items = [[1.0], hang_up, hang_up, lambda: os.kill(os.getpid(), signal.SIGTERM), hang_up, [2.0], [3.0]]
    sink = Kept()
    made = loop(Script(items), sink)
    made.run()
    assert ys(sink) == outputs([1, 2])
    assert made.status()["stopped_by"] == "SIGHUP"


@pytest.mark.usefixtures("default_signals")
def test_sigusr1_prints_the_status() -> None:
    said: list[str] = []
    items = [[1.0], lambda: os.kill(os.getpid(), signal.SIGUSR1), [2.0], [3.0]]
    loop(Script(items), report=said.append).run()
    (line,) = said
    status = json.loads(line.removeprefix("status "))
    assert status["counters"]["samples"] >= 2


def test_stop_from_another_thread_ends_a_long_sleep() -> None:
    class Stop:
        """Sink that stops the loop while it sleeps: the next sample is due after 1000 s."""

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


def test_unwritable_status_is_reported_at_the_start(tmp_path: Path) -> None:
    for name, words in {
        "no/file": "No such folder; create it with mkdir -p .*/no",
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
    assert gc.get_freeze_count() <= frozen  # fewer where an earlier test's frozen objects went meanwhile


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
        assert frozen - 100 <= gc.get_freeze_count() <= frozen  # deleted objects are gone
        gc.disable()
        with off_the_hot_path("never"):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_realtime_settings_are_requested_and_refusals_reported(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert "SCHED_FIFO 50 is not permitted (Operation not permitted)" in made.status()["warnings"][1]
    assert "cannot run on processors [4095]" in said[0]


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
    """The loop's thread has the priority, if permitted, and threads that it starts do not."""
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
def test_invalid_options_are_refused(options: dict[str, Any], words: str) -> None:
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
    with pytest.raises(InputError, match="called twice"):
        made.run()


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate_hz", "5"), ("rate_hz", 1e-300), ("rate_hz", True), ("backlog", 1.5), ("backlog", 10**12), ("spin_s", None)],
)
def test_options_of_another_kind_are_refused_in_words(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"SensorLoop (got )?{name} "):
        edge_rnn.loop.SensorLoop(stream(), Script([]), Kept(), **{name: value})
