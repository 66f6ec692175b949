"""Snapshots: bounded loss, refused snapshots, and exclusive writers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import loop_child
from edge_rnn.errors import FileError, InputError, StateError
from edge_rnn.layers import Elman
from edge_rnn.loop.persist import snapshot_file
from edge_rnn.model import Model
from edge_rnn.streams.stream import Stream
from loop_fakes import FakeClock, Kept, Script, loop, outputs, stream

ROOT = Path(__file__).parents[2]
XS = [float(x) for x in np.random.default_rng(2).standard_normal(10).astype(np.float32)]


def run(folder: Path, xs: list[float], **options: Any) -> tuple[list[float], list[str], Any]:
    """Outputs, messages, and the loop."""
    sink, said = Kept(), []
    made = loop(Script([x] for x in xs), sink, snapshot=folder / "state", report=said.append, **options)
    made.run()
    return [float(y[0]) for y in sink.ys], said, made


def test_next_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    first, said, _ = run(tmp_path, XS[:4])
    second, _, made = run(tmp_path, XS[4:])
    assert first + second == outputs(XS)
    assert said == []
    assert made.status()["steps_before"] == 4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["state", "state.lock", "state.previous"]


def test_snapshots_are_taken_at_their_interval(tmp_path: Path) -> None:
    clock, network = FakeClock(), stream()
    found = []

    def look() -> None:
        made._chores._clerk.wait(60)
        if (tmp_path / "state").exists():
            found.append(snapshot_file.read(tmp_path / "state", network.model.fingerprint).steps)
        else:
            found.append(0)

    items = [each for x in XS for each in (look, [x])]
    made = loop(
        Script(items, live=True), None, 10, network=network, clock=clock, snapshot=tmp_path / "state",
        snapshot_every_s=0.3,
    )  # fmt: skip
    counters = made.run()
    assert found == [0, 0, 0, 0, 4, 4, 4, 7, 7, 7]
    assert counters.snapshots == 3  # nothing is new at the end
    assert snapshot_file.read(tmp_path / "state", network.model.fingerprint).steps == 10


def test_nothing_is_written_while_nothing_is_new(tmp_path: Path) -> None:
    """A source that fails for days does not wear out the memory card."""
    clock = FakeClock()
    items = [[1.0], [2.0], *(OSError("broken") for _ in range(50)), [3.0]]
    made = loop(
        Script(items, live=True), None, 10, clock=clock, snapshot=tmp_path / "state", snapshot_every_s=1.0
    )  # fmt: skip
    counters = made.run()
    assert clock.ns > 1000e9 + 50e9
    assert (counters.steps, counters.snapshots) == (3, 2)


def test_snapshot_of_another_model_is_reported_and_not_loaded(tmp_path: Path) -> None:
    run(tmp_path, XS[:4])
    other = Stream(Model([Elman([[0.2]], [[0.5]])]))
    ys, said, _ = run(tmp_path, XS[4:], network=other)
    fresh = Stream(other.model)
    assert ys == [float(fresh.step(np.array([x], np.float32))[0]) for x in XS[4:]]
    assert "is of model" in said[0]


@pytest.mark.parametrize("state_too", [False, True])
@pytest.mark.sampled(1)
def test_damage_anywhere_is_found_and_the_previous_one_taken(tmp_path: Path, state_too: bool) -> None:
    network = stream()
    for steps, at_s in ((1, 5.0), (2, 6.0)):
        network.step(np.ones(1, np.float32))
        snapshot_file.write(tmp_path / "state", snapshot_file.encode(network, steps, at_s))
    whole = (tmp_path / "state").read_bytes()
    fresh = stream()
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:n] + bytes([whole[n] ^ 1 << bit]) + whole[n + 1 :] for n in range(len(whole)) for bit in (0, 7)]
    damaged += [whole + b"\0", b"", b"\0" * len(whole), os.urandom(1000)]
    for data in damaged:
        (tmp_path / "state").write_bytes(data)
        if state_too:
            (tmp_path / "state.previous").write_bytes(data)
        said: list[str] = []
        fresh.reset()
        saved = snapshot_file.restore(fresh, tmp_path / "state", said.append)
        if state_too:
            assert saved is None
            assert fresh.snapshot() == stream().snapshot()
            assert len(said) == 2
        else:
            assert saved is not None
            assert (saved.steps, saved.at_s, len(said)) == (1, 5.0, 2)
            assert fresh.snapshot() == saved.state


def test_snapshot_has_its_name_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between the two renames: the last snapshot is then also the previous one, and still the last."""
    network = stream()
    snapshot_file.write(tmp_path / "state", snapshot_file.encode(network, 1, 5.0))

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        snapshot_file.write(tmp_path / "state", snapshot_file.encode(network, 2, 6.0))
    monkeypatch.undo()
    for name in ("state", "state.previous"):
        assert snapshot_file.read(tmp_path / name, network.model.fingerprint).steps == 1
    snapshot_file.write(tmp_path / "state", snapshot_file.encode(network, 3, 7.0))
    assert [
        snapshot_file.read(tmp_path / name, network.model.fingerprint).steps for name in ("state", "state.previous")
    ] == [3, 1]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["state", "state.previous"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_disk_that_fails_leaves_what_was_there(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = stream()
    snapshot_file.write(tmp_path / "state", snapshot_file.encode(network, 1, 5.0))

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(FileError, match="cannot be written: No space left on device"):
        snapshot_file.write(tmp_path / "state", snapshot_file.encode(network, 2, 6.0))
    monkeypatch.undo()
    saved = snapshot_file.restore(stream(), tmp_path / "state", lambda text: None)
    assert saved is not None
    assert saved.steps in (1, 2)


def test_disk_that_fails_does_not_stop_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    ys, said, made = run(tmp_path, XS, rate_hz=10, snapshot_every_s=0.2)
    assert ys == outputs(XS)
    assert made.counters.snapshot_failures >= 1
    assert said[0].endswith("state: cannot be written: Input/output error.")


def test_snapshot_that_is_too_old_is_ignored(tmp_path: Path) -> None:
    run(tmp_path, XS[:4])
    ys, _, _ = run(tmp_path, XS[4:6], clock=FakeClock(1005.0), reset_after_s=10.0)
    assert ys == outputs(XS[:6])[4:]
    ys, said, made = run(tmp_path, XS[6:], clock=FakeClock(1016.0), reset_after_s=10.0)
    assert ys == outputs(XS[6:])
    assert said == ["the snapshot is 11.0 s old; the state is reset."]
    assert made.counters.resets == 1
    ys, said, _ = run(tmp_path, XS[:1], clock=FakeClock(0.0), reset_after_s=10.0)  # a clock that was set back
    assert said == []


def test_two_loops_do_not_share_a_snapshot(tmp_path: Path) -> None:
    locked = snapshot_file.locked(tmp_path / "state")
    with locked, pytest.raises(InputError, match="in use by another loop"):
        run(tmp_path, XS)
    assert run(tmp_path, XS)[0] == outputs(XS)


def test_missing_folder_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written: No such folder; create it with mkdir -p"):
        run(tmp_path / "no", XS)


def test_last_one_outlives_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, XS[:3])
    path, network = tmp_path / "state", stream()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space"):
        snapshot_file.write(path, b"a part")
    found = snapshot_file.restore(network, path, lambda text: None)
    assert found is not None
    assert found.steps == 3


def test_folder_or_device_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(FileError, match="it is a folder or a device"):
        run(tmp_path, XS)
    with pytest.raises(FileError, match="it is a folder or a device"):
        snapshot_file.write(tmp_path / "state", b"")
    assert (tmp_path / "state").is_dir()
    with pytest.raises(FileError, match="it is a folder or a device"), snapshot_file.locked(Path("/dev/null")):
        pass


def test_loop_that_cannot_start_lets_go_of_everything(tmp_path: Path) -> None:
    source, status = Script([[1.0]]), tmp_path / "status"
    with snapshot_file.locked(tmp_path / "state"):
        made = loop(source, snapshot=tmp_path / "state", status=status)
        with pytest.raises(InputError, match="another loop"):
            made.run()
    assert source.closed == 1
    assert made.status()["state"] == "stopped"
    assert not status.exists()  # it may be the other loop's


def test_restoring_takes_no_more_memory_than_the_file_has(tmp_path: Path) -> None:
    run(tmp_path, XS)
    tracemalloc.start()
    snapshot_file.read(tmp_path / "state", stream().model.fingerprint)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20


def test_bad_sample_that_ends_the_loop_saves_before(tmp_path: Path) -> None:
    network = stream()
    made = loop(
        Script([[XS[0]], [XS[1]], "x"]), None, network=network, snapshot=tmp_path / "state", on_bad="raise"
    )  # fmt: skip
    with pytest.raises(InputError):
        made.run()
    assert snapshot_file.read(tmp_path / "state", network.model.fingerprint).steps == 2


def kill_at_random(folder: Path, times: int) -> None:
    """Kill a loop repeatedly; each time the snapshot has to be whole, recent, and exact."""
    every = 20
    rng = np.random.default_rng(4)
    truth = stream(loop_child.WIDTH)
    states = {0: truth.snapshot()}

    def state(steps: int) -> bytes:
        for i in range(max(states), steps):
            truth.step(loop_child.sample(i))
            states[i + 1] = truth.snapshot()
        return states[steps]

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "runtime")])}
    command = [sys.executable, str(Path(loop_child.__file__)), str(folder), str(every)]
    saved_steps = 0
    for _ in range(times):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            begin = child.stdout.readline()
            assert begin == f"begin {saved_steps}\n".encode()
            time.sleep(rng.uniform(0, 0.25))
            child.send_signal(signal.SIGKILL)
            said = child.stdout.read().split(b"\n")[:-1]
        done = int(said[-1]) if said else saved_steps
        fresh, told = stream(loop_child.WIDTH), []
        saved = snapshot_file.restore(fresh, folder / "state", told.append)
        assert told == []
        most = every + 1  # an interval of 20 periods from the first tick has 21 ticks in it, both ends counted
        if saved is None:
            assert done <= most
            continue
        assert fresh.snapshot() == saved.state == state(saved.steps)
        assert saved_steps <= saved.steps <= done + 1  # the last step may have been killed before it was reported
        assert done - saved.steps <= most
        saved_steps = saved.steps
    assert saved_steps > 0
    names = {each.name for each in folder.iterdir()}
    assert names <= {"state", "state.previous", "state.lock"} | {n for n in names if n.startswith(".edge_rnn-")}
    assert len(names) <= 4  # what the last kill left behind; earlier ones are removed


def test_kill_at_random_moments(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 4)


@pytest.mark.slow
def test_kill_at_many_random_moments(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 20)


def test_files_that_are_not_snapshots(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("hello")
    with pytest.raises(StateError, match="state: got bytes that are not a snapshot of this version"):
        snapshot_file.read(tmp_path / "state", "00" * 32)
