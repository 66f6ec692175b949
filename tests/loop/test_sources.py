"""Sources and sinks on real files, pipes, a pty, /proc and WAV, and on a fake bus."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import FileError, InputError, InputTypeError
from edge_rnn.loop import sources
from loop_fakes import Kept, loop, stream
from source_helpers import CSV, XS, all_of, garbage, numbers, within

# Lines from a file, a pipe, a file that grows


def test_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "xs.csv"
    path.write_text(CSV)
    source = sources.Lines(path, 3)
    assert (source.blocks, source.live) == (False, False)
    assert np.array_equal(numbers(all_of(source)), XS)
    path.write_text("t,z,y,x\n" + "".join(f"{i / 10},{x[2]},{x[1]},{x[0]}\n" for i, x in enumerate(XS)))
    found = all_of(sources.Lines(path, 3, ("x", "y", "z"), time="t"))
    assert np.array_equal(np.array([each.x for each in found], np.float32), XS)
    assert [each.t_s for each in found] == [i / 10 for i in range(20)]


def test_a_model_is_no_size(tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match=r"Lines size got <Model .*>, expected a whole number of 1 or more"):
        sources.Lines(tmp_path / "a.csv", stream().model)  # type: ignore[arg-type]  # sinks.Lines takes the model here


def test_file_full_of_garbage_is_gone_through(tmp_path: Path) -> None:
    path = tmp_path / "xs.csv"
    path.write_bytes(b"1,2,3\n" + b"\n".join(garbage()) + b"\n4,5,6\n")
    kept, said = Kept(), []
    counters = loop(sources.Lines(path, 3), kept, network=stream(3), report=said.append).run()
    assert len(kept.ys) == counters.steps == 2
    assert counters.bad == counters.samples - 2 == 1000
    assert "line 2: " in said[0]


def test_pipe_loses_nothing_and_its_silence_is_noticed() -> None:
    read_end, write_end = os.pipe()
    stdin = os.dup(0)
    os.dup2(read_end, 0)
    try:
        source = sources.Lines("-", 3)
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
        os.close(read_end)
    assert source.blocks
    kept, said = Kept(), []
    made = loop(source, kept, network=stream(3), backlog=2, report=said.append, stall_after_s=0.05, clock=None)
    many = CSV.encode() * 500

    def feed() -> None:
        within(60, lambda: made._feed.stalls > 0)
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(many)

    thread = threading.Thread(target=feed)
    thread.start()
    counters = made.run()
    thread.join()
    assert counters.steps == 10_000
    assert counters.dropped == 0
    assert "the source has been silent" in said[0]


def test_pipe_of_a_process_with_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("needs a limit of 2000 open files or more")
    reading, writing = os.pipe()
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
    try:
        source = sources.Lines("-", 1)
        os.close(source._descriptor)
        source._descriptor = fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, 1500)
        source.blocks = True
        os.write(writing, b"1\n2")
        os.close(writing)
        assert all_of(source) == [[1.0], [2.0]]
    finally:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(CSV))
    writer.start()
    source = sources.Lines(tmp_path / "pipe", 3)
    assert source.blocks
    assert np.array_equal(numbers(all_of(source)), XS)
    writer.join(60)


def followed(path: Path, **options: Any) -> tuple[list[list[float]], sources.Lines, threading.Thread]:
    """Samples that a thread has read so far from a file that is followed."""
    source = sources.Lines(path, 1, follow=True, **options)
    found: list[list[float]] = []

    def read() -> None:
        while (value := source.read()) is not None:
            found.append(value)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return found, source, thread


def test_file_that_is_followed_through_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("0\n1\n")
    found, source, thread = followed(path, from_start=True)
    within(60, lambda: len(found) == 2)
    with path.open("a") as log:
        log.write("2\n3")
        log.flush()
        within(60, lambda: len(found) == 3)  # a line that is not finished is not taken
        log.write("1\n4\n")
    within(60, lambda: len(found) == 5)
    old = path.open("a")
    path.rename(tmp_path / "log.1")
    old.write("5\n")  # who writes has not noticed yet
    old.flush()
    within(60, lambda: len(found) == 6)
    old.write("6\n")
    old.close()
    path.write_text("7\n")
    within(60, lambda: len(found) == 8)
    path.unlink()
    time.sleep(0.15)
    path.write_text("8\n9\n")
    within(60, lambda: len(found) == 10)
    os.truncate(path, 0)
    time.sleep(0.3)
    with path.open("a") as log:
        log.write("10\n")
    within(60, lambda: len(found) == 11)
    source.close()
    thread.join(60)
    assert not thread.is_alive()
    assert [value for (value,) in found] == [0, 1, 2, 31, 4, 5, 6, 7, 8, 9, 10]


def test_file_that_is_followed_begins_at_its_end_and_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("0\n1\n")
    found, source, _ = followed(path)
    other, late, _ = followed(tmp_path / "later")
    within(60, lambda: source._descriptor is not None and os.lseek(source._descriptor, 0, os.SEEK_CUR) == 4)
    within(60, lambda: not late._at_end)  # it has looked
    with path.open("a") as log:
        log.write("2\n")
    within(60, lambda: found == [[2]])
    (tmp_path / "later").write_text("5\n")
    within(60, lambda: other == [[5]])
    source.close()
    late.close()


def test_only_a_file_is_followed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match=f"Lines got follow for {path}, expected a growing file"):
            sources.Lines(path, 1, follow=True)
    source = sources.Lines(tmp_path / "later", 1, follow=True)
    pipe.rename(tmp_path / "later")
    for _ in range(2):
        with pytest.raises(InputError, match=r"follow for .*later, expected a growing file"):
            source.read()
    (tmp_path / "later").unlink()
    (tmp_path / "later").write_text("5\n")
    assert source.read() == [5]


@pytest.mark.parametrize(("name", "words"), [("none", "No such file"), (".", "is a folder"), ("a\0b", "null")])
def test_file_that_cannot_be_read(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(FileError, match=words):
        sources.Lines(f"{tmp_path}/{name}", 3)
