"""Sinks that write lines: rotation, full disks, readers that leave."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn.errors import EdgeRnnError
from edge_rnn.loop import SinkClosed, Timed, open_sink, sinks
from source_helpers import model

# Sinks


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_are_appended_and_survive_rotation(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    names = model(labels=("rest", "walk"))
    y = np.array([0.25, 0.75], np.float32)
    header = "t_s,label,rest,walk\n" if kind == "csv" else ""
    line = "1.500000,walk,0.25,0.75\n" if kind == "csv" else '{"t_s": 1.500000, "label": "walk", "y": [0.25, 0.75]}\n'
    sink = open_sink(f"{kind}:{path}", names)
    sink.write(y, 1.5)
    assert path.read_text() == header + line
    path.rename(tmp_path / "out.1")
    sink.write(y, 1.5)
    sink.write(y, 1.5)
    assert path.read_text() == header + 2 * line
    path.unlink()
    sink.write(y, 1.5)
    assert path.read_text() == header + line
    sink.close()  # type: ignore[attr-defined]
    open_sink(f"{kind}:{path}", names).write(y, 1.5)
    assert path.read_text() == header + 2 * line


def test_line_that_was_torn_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = sinks.Lines(tmp_path / "out", model(), kind="csv", header=False)
    y = np.zeros(2, np.float32)
    real, calls = os.write, []

    def full(descriptor: int, data: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            return real(descriptor, bytes(data)[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        sink.write(y, 1.0)
    with pytest.raises(OSError, match="No space left"):
        sink.write(y, 2.0)
    monkeypatch.undo()
    sink.write(y, 3.0)
    assert (tmp_path / "out").read_text() == "1.00\n3.000000,0.0,0.0\n"


def test_full_disk_and_sinks_that_are_misspelled() -> None:
    sink = sinks.Lines("/dev/full", model(), header=False)
    with pytest.raises(OSError, match="No space left"):
        sink.write(np.zeros(2, np.float32), 1.0)
    open_sink("null:", model()).write(np.zeros(2, np.float32), 1.0)
    for url, words in {
        "proc:": "has an unknown form",
        "csv:/no/such/folder/x": "cannot be written",
        "mqtt://host/a/+": "contains a wildcard",
        "null": "has an unknown form",
    }.items():
        with pytest.raises(EdgeRnnError, match=words):
            open_sink(url, model())


def test_header_that_could_not_be_written_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, real = np.zeros(2, np.float32), os.write

    def full(descriptor: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    sink = sinks.Lines(tmp_path / "out", model())
    with pytest.raises(OSError, match="No space left"):
        sink.write(y, 1.0)
    monkeypatch.setattr(os, "write", real)
    sink.write(y, 2.0)
    sink.write(y, 3.0)
    assert (tmp_path / "out").read_text() == "t_s,y0,y1\n2.000000,0.0,0.0\n3.000000,0.0,0.0\n"


def test_closed_stdout_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    sink = sinks.Lines("/dev/null", model(), header=False)
    sink._path = None
    os.close(sink._descriptor)
    sink._descriptor = write_end
    os.close(read_end)
    with pytest.raises(SinkClosed):
        sink.write(np.zeros(2, np.float32), 1.0)
    sink.close()


def test_timed_is_a_sample_with_its_time() -> None:
    assert Timed([1.0], 2.0).t_s == 2.0
