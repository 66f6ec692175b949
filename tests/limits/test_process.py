"""Process in which libraries handle untrusted files: its restrictions, and how it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import FileError, ModelError, UnsupportedError
from edge_rnn_export.limits import process
from edge_rnn_export.limits.process import Limits, Worker

JOB = """
import os, socket, time
import numpy as np
from edge_rnn.errors import ModelError

state = []

def prepare():
    pass

def double(about, arrays):
    return {"text": about["text"] * 2}, {name: array * 2 for name, array in arrays.items()}

def count(about, arrays):
    state.append(1)
    return {"count": len(state), "process": os.getpid()}, {}

def spin(about, arrays):
    while True:
        pass

def sleep(about, arrays):
    time.sleep(1000)

def refused(work):
    try:
        work()
    except OSError as error:
        return {"refused": error.strerror}, {}
    return {"refused": ""}, {}

def refuse(about, arrays):
    raise ModelError("the weights do not fit.")

def allocate(about, arrays):
    return {}, {"x": np.ones(about["bytes"], np.uint8)}

def write(about, arrays):
    def work():
        with open(about["path"], "wb", buffering=0) as file:
            file.write(b"x" * about["bytes"])
    return refused(work)

CALLS = {
    "abort": lambda about, arrays: os.abort(),
    "allocate": allocate,
    "bug": lambda about, arrays: 1 / 0,
    "connect": lambda about, arrays: refused(lambda: socket.socket().connect(("127.0.0.1", 9))),
    "count": count,
    "double": double,
    "open": lambda about, arrays: refused(lambda: open(about["path"]).read()),
    "refuse": refuse,
    "sleep": sleep,
    "spin": spin,
    "write": write,
}
"""
LIMITS = Limits(seconds=5, memory_bytes=2**27)


@pytest.fixture(scope="module", autouse=True)
def _job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("job")
    (folder / "a_limited_job.py").write_text(JOB)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def worker(limits: Limits = LIMITS) -> Worker:
    return Worker("a_limited_job", "the library", limits)


def test_values_and_arrays_go_there_and_back() -> None:
    given = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.array([1.5], np.float16), "c": np.zeros((0, 3))}
    with worker() as one:
        about, arrays = one.call("double", given, text="ab")
    assert about == {"text": "abab"}
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        name: (array.dtype, (array * 2).tolist()) for name, array in given.items()
    }


def test_a_worker_remembers_and_the_next_one_does_not() -> None:
    with worker() as one, worker() as other:
        assert [one.call("count")[0]["count"] for _ in range(3)] == [1, 2, 3]
        assert other.call("count")[0]["count"] == 1


@pytest.mark.parametrize("name", ["spin", "sleep"])
def test_an_endless_call_is_ended(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    limits = Limits(seconds=0.1, memory_bytes=2**24)  # the system counts whole seconds, and ten by the clock
    with worker(limits) as one, pytest.raises(FileError, match=r"^the library took more than 0\.1 s of CPU time"):
        one.call(name)
    assert time.monotonic() - began < 20


def test_a_call_that_crashes_is_reported() -> None:
    with worker() as one, pytest.raises(FileError, match=r"^the library crashed on it; it is damaged"):
        one.call("abort")


def test_memory_beyond_the_limit_is_refused_and_the_worker_lives_on() -> None:
    with worker(Limits(5, 2**26)) as one:
        with pytest.raises(FileError, match=r"^the library took more than 64 MiB of memory"):
            one.call("allocate", bytes=2**28)
        assert one.call("allocate", bytes=2**20)[1]["x"].sum() == 2**20


def test_nothing_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("text")
    with worker() as one:
        assert one.call("open", path=str(path))[0] == {"refused": os.strerror(24)}  # too many open files
        assert one.call("connect")[0] == {"refused": os.strerror(24)}
        assert one.call("write", path=str(tmp_path / "new"), bytes=1)[0] == {"refused": os.strerror(24)}
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


def test_a_worker_that_may_open_files_writes_no_longer_ones_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("text")
    with worker(Limits(5, 2**27, opens_files=True, written_bytes=10)) as one:
        assert one.call("open", path=str(path))[0] == {"refused": ""}
        one.call("write", path=str(tmp_path / "new"), bytes=11)
    assert (tmp_path / "new").stat().st_size == 10


def test_errors_come_through_by_their_kind() -> None:
    with worker() as one:
        with pytest.raises(ModelError, match=r"^the weights do not fit\.$"):
            one.call("refuse")
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):  # ours, and not the file's
            one.call("bug")


def test_a_process_that_has_ended_is_followed_by_another() -> None:
    with worker() as one:
        first = one.call("count")[0]["process"]
    process._processes["a_limited_job"]._process.kill()
    process._processes["a_limited_job"]._process.wait()
    with worker() as one:
        assert one.call("count")[0]["process"] != first


@pytest.mark.parametrize(
    ("code", "message"),
    [("def prepare(): import no_such_library", "No module named 'no_such_library'"), ("1 / 0", "ended during startup")],
)
def test_a_library_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    (tmp_path / "a_job_that_fails.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnsupportedError, match=rf"^the library cannot be loaded: .*{message}"):
        Worker("a_job_that_fails", "the library", LIMITS)


@pytest.mark.parametrize("answer", [b"", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"{}", b"\x04" + b"\0" * 7 + b"null"])
def test_an_answer_of_a_process_that_was_taken_over_is_held_against_its_form(answer: bytes) -> None:
    found: Any = process._decoded(answer)
    assert found is None
