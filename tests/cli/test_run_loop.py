"""``edge-rnn run`` as a loop, and the service that ``edge-rnn setup`` writes, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Model, Stream
from edge_rnn.cli import main
from run_loops import ROOT

pytestmark = pytest.mark.may_use("systemd-analyze")
XS = np.random.default_rng(3).standard_normal((20, 3)).astype(np.float32)
CSV = "".join(",".join(map(str, x)) + "\n" for x in XS)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Function that starts ``edge-rnn run m.safetensors`` with options, in the test's folder."""
    started = []

    def start(*options: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_rnn", "run", "m.safetensors", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        alarm = threading.Timer(120, process.kill)  # so that what never ends does not hang the tests
        alarm.start()
        started.append((process, alarm))
        return process

    yield start
    for process, alarm in started:
        alarm.cancel()
        process.kill()
        process.communicate()


def results(out: bytes) -> np.ndarray:
    return np.array([json.loads(line)["y"] for line in out.splitlines()], np.float32)


def test_state_goes_on_from_run_to_run(model: Model, start: Any) -> None:
    half = CSV.splitlines(keepends=True)
    options = ("--source", "csv:-", "--sink", "jsonl:-", "--snapshot", "state")
    found = []
    for part in (half[:9], half[9:]):
        process = start(*options)
        out, err = process.communicate("".join(part).encode())
        assert (process.returncode, err) == (0, b"")
        found.append(results(out))
    assert np.array_equal(np.vstack(found), Stream(model).run(XS))


@pytest.mark.slow
def test_file_at_a_rate_in_the_formats_of_run(model: Model, start: Any, tmp_path: Path) -> None:
    (tmp_path / "xs.csv").write_text(CSV)
    process = start("xs.csv", "--rate", "500", "--any-rate", "--output", "json")
    out, _ = process.communicate()  # a busy machine may miss deadlines, and says so
    assert process.returncode == 0
    assert np.array_equal(results(out), Stream(model).run(XS))
    process = start("xs.csv", "--rate", "500", "--any-rate", "--no-header")
    assert len(process.communicate()[0].splitlines()) == 20


@pytest.mark.slow
def test_garbage_is_reported_and_summed_up(model: Model, start: Any) -> None:
    text = CSV + "".join(f"garbage {i}\n" for i in range(1000)) + "1,nan,3\n" + CSV
    process = start("--source", "csv:-", "--sink", "null:")
    out, err = process.communicate(text.encode())
    assert (process.returncode, out) == (0, b"")
    lines = err.decode().splitlines()
    assert lines[0].startswith("edge-rnn: sample 21: line 21: ")
    assert lines[-1] == "edge-rnn: 41 steps; 1,000 samples bad, 1 sample not finite."
    assert len(lines) == 3
    process = start("--source", "csv:-", "--sink", "null:", "--on-bad", "raise")
    _, err = process.communicate(text.encode())
    assert process.returncode == 1
    assert "edge-rnn: sample 21: line 21: " in err.decode()


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.sampled(1)
def test_signals(model: Model, start: Any, tmp_path: Path, number: signal.Signals) -> None:
    process = start(
        "--source", "proc:cpu,memory,load", "--sink", "jsonl:-", "--status", "status.json", "--snapshot", "state"
    )  # fmt: skip
    for _ in range(10):
        assert process.stdout.readline()
    process.send_signal(signal.SIGUSR1)
    assert process.stderr.readline() == b"edge-rnn: stepping at 200 Hz, the model's rate.\n"
    told = json.loads(process.stderr.readline().decode().removeprefix("edge-rnn: status "))
    assert told["counters"]["steps"] >= 10
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert b"Traceback" not in err
    assert all(json.loads(line) for line in out.splitlines())  # the last one is whole
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["stopped_by"]) == ("stopped", number.name)
    assert status["counters"]["snapshots"] >= 1
    assert (tmp_path / "state").exists()


@pytest.mark.usefixtures("default_signals")
def test_signal_while_the_source_is_silent(model: Model, start: Any) -> None:
    process = start("--source", "csv:-", "--sink", "jsonl:-")
    process.stdin.write(CSV.encode())
    process.stdin.flush()
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert process.stderr.read() == b""


@pytest.mark.usefixtures("default_signals")
def test_signal_that_was_ignored_at_the_start_stays_ignored(model: Model, tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["nohup", sys.executable, "-m", "edge_rnn", "run", "m.safetensors", "--source", "csv:-", "--sink", "jsonl:-"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(CSV.encode())
    process.stdin.flush()
    before = [process.stdout.readline() for _ in range(20)]
    process.send_signal(signal.SIGHUP)
    after, _ = process.communicate(CSV.encode(), timeout=60)
    assert process.returncode == 0
    assert len(before) + len(after.splitlines()) == 40


@pytest.mark.usefixtures("default_signals")
def test_lost_results_make_a_finite_run_fail(model: Model, start: Any, tmp_path: Path) -> None:
    process = start("--source", "csv:-", "--sink", "csv:/dev/full")
    _, err = process.communicate(CSV.encode())
    assert process.returncode == 1
    assert "20 results are lost" in err.decode()
    process = start("--source", "proc:cpu,memory,load", "--sink", "csv:/dev/full", "--rate", "200")
    assert b"No space left" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)  # what is asked to stop has not failed, and says what was lost
    _, err = process.communicate()
    assert (process.returncode, b" lost" in err, b"for good" in err) == (0, True, False)


@pytest.mark.slow
def test_full_stdout_makes_a_run_through_a_pipe_fail(model: Model, tmp_path: Path) -> None:
    for options, words in {(): "from sample 0 on", ("--no-header",): "from sample 0 on"}.items():
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "edge_rnn", "run", str(tmp_path / "m.safetensors"), *options],
                input=CSV.encode(),
                stdout=full,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                check=False,
            )
        err = done.stderr.decode()
        assert done.returncode == 1
        assert err.startswith("edge-rnn: stdout cannot be written: No space left on device;")
        assert words in err
        assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_reader_that_leaves_ends_the_loop_quietly(model: Model, start: Any) -> None:
    process = start("--source", "proc:cpu,memory,load", "--rate", "200")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert b"Traceback" not in process.stderr.read()
    process = start("--source", "proc:cpu,memory,load", "--rate", "200")
    process.stdout.close()  # before the header
    assert process.wait() == 0
    assert b"unexpected" not in process.stderr.read()


@pytest.mark.usefixtures("default_signals")
def test_systemd_is_notified(model: Model, start: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        process = start(
            "--source", "proc:cpu,memory,load", "--sink", "null:",
            NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000",
        )  # fmt: skip
        assert listener.recv(100) == b"READY=1"
        assert [listener.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        process.send_signal(signal.SIGTERM)
        while (text := listener.recv(100)) == b"WATCHDOG=1":
            pass
        assert text == b"STOPPING=1"
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--source", "nonsense"], "has an unknown form, expected one of csv:FILE"),
        (["xs.csv", "--source", "csv:-"], "give one of them"),
        (["--source", "proc:cpu"], "got 1 field"),
        (["--source", "csv:-", "--snapshot", "no/such/state"], "cannot be written"),
        (["--source", "csv:-", "--priority", "100"], "priority got 100"),
        (["--on-bad", "hold"], "is for a loop"),
    ],
)
def test_misspelled_arguments_are_refused(
    model: Model, options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["run", str(tmp_path / "m.safetensors"), *options]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert err.startswith("edge-rnn: ")
    assert "Traceback" not in err


def test_sources_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--sources"]) == 0
    out = capsys.readouterr().out
    assert "serial:PORT" in out
    assert "mqtt://HOST/TOPIC" in out
