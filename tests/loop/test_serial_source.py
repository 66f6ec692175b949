"""Samples from a serial port: a real pseudo-terminal, and ports that misbehave."""

from __future__ import annotations

import errno
import math
import os
import termios
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import InputError
from edge_rnn.loop import SampleError, open_source, sources
from edge_rnn.loop.sources.remedies import device_problem, listed
from loop_fakes import Kept, loop, stream
from source_helpers import CSV, XS, garbage, model, with_close, within


def test_serial_line(port: tuple[int, str]) -> None:
    ours, name = port
    kept, said = Kept(), []

    def make() -> sources.SerialLine:
        source = sources.SerialLine(name, 3)
        source._enough_quiet_s = math.inf  # however long this thread takes to send the first line
        return source

    made = loop(make, kept, network=stream(3), report=said.append, clock=None, backlog=2000)

    def send() -> None:
        within(60, lambda: made._feed._source is not None and made._feed._source._port is not None)
        os.write(ours, b"7,1.5\n" + CSV.encode())  # the end of a line that began before we listened
        within(60, lambda: len(kept.ys) == 20)
        for line in garbage():
            os.write(ours, line + b"\n")
        os.write(ours, b"1,2,3\n")
        within(60, lambda: len(kept.ys) == 21)
        made.stop()

    thread = threading.Thread(target=send)
    thread.start()
    counters = made.run()
    thread.join()
    expected = stream(3).run(np.vstack([XS, [[1, 2, 3]]]).astype(np.float32))
    assert np.array_equal(np.array(kept.ys), expected)
    assert counters.bad == 1000
    assert "a line from the port" in said[0]


def test_serial_line_that_is_unplugged_and_comes_back(tmp_path: Path) -> None:
    needs.package("pyserial")
    import tty

    name = tmp_path / "tty"
    kept, said = Kept(), []
    made = loop(lambda: sources.SerialLine(str(name), 1), kept, report=said.append, clock=None)
    ends = []

    def plug() -> int:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        name.unlink(missing_ok=True)
        name.symlink_to(os.ttyname(theirs))
        ends.extend([theirs])
        return ours

    def send(ours: int, count: int) -> None:
        end = time.monotonic() + 60
        while len(kept.ys) < count and time.monotonic() < end:
            os.write(ours, b"1\n")
            time.sleep(0.01)

    def play() -> None:
        within(60, lambda: made._feed.failures > 1)  # it does not exist yet
        first = plug()
        send(first, 5)
        name.unlink()
        os.close(first)
        os.close(ends.pop())
        failures = made._feed.failures
        within(60, lambda: made._feed.failures > failures)
        second = plug()
        send(second, len(kept.ys) + 5)
        made.stop()
        os.close(second)

    thread = threading.Thread(target=play)
    thread.start()
    made.run()
    thread.join()
    assert len(kept.ys) >= 10
    assert said[0].startswith("the source failed: ")
    assert said[1] == "the source is back."
    with_close(ends[0])


def test_serial_line_that_floods_without_an_end() -> None:
    class Noise:
        in_waiting = 4096
        reads = 0

        def read(self, size: int) -> bytes:
            self.reads += 1
            return b"\xaa" * size if self.reads < 50 else b"\n1,2,3\n4,5,6\n"

        def close(self) -> None:
            pass

    needs.package("pyserial")
    source = sources.SerialLine("/dev/nowhere", 3)
    source._open = Noise
    assert source.read() == [1, 2, 3]  # the flood came before the first whole line
    source._whole = True
    source._buffer.clear()
    source._port.reads = 0
    with pytest.raises(SampleError, match="longer than 4096 bytes"):
        source.read()


@pytest.mark.parametrize(
    ("pieces", "taken"),
    [
        ([b"", b"1,2", b",3\n"], [1, 2, 3]),  # it began after we came: silence was before it
        ([b"1,2", b"", b",3\n4,5,6\n"], [4, 5, 6]),  # silence within it says nothing
        ([b"1,2,3\n4,5,6\n"], [4, 5, 6]),  # it may have begun as 21,2,3
        ([b'{"x": [1, 2, 3]}\n'], [1, 2, 3]),  # without its beginning it would be no JSON
        ([b'{"x": [1, 2, 3]\n', b'{"x": [7, 8, 9]}\n'], [7, 8, 9]),
        ([b"2, 3]\n[4, 5, 6]\n"], [4, 5, 6]),
    ],
)
def test_first_line_from_a_port_is_taken_where_it_is_whole(pieces: list[bytes], taken: list[float]) -> None:
    class Pieces:
        in_waiting = 100

        def read(self, size: int) -> bytes:
            return pieces.pop(0)

    needs.package("pyserial")
    source = sources.SerialLine("/dev/nowhere", 3)
    source._open = Pieces
    assert source.read() == taken


def test_silence_before_a_line_is_longer_at_a_slow_rate() -> None:
    class Slow:
        in_waiting = 0
        reads = 0

        def read(self, size: int) -> bytes:
            self.reads += 1
            return b"" if self.reads < 3 else b"1\n2\n"

    needs.package("pyserial")
    source = sources.SerialLine("/dev/nowhere", 1, baud=300)  # 0.4 s are 12 bytes there
    source._open = Slow
    assert source.read() == [2]


class FakePort:
    """A serial port as pyserial makes it, unopened."""

    def __init__(self, error: OSError | None = None) -> None:
        self.error = error
        self.done: list[str] = []

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in ("dtr", "rts"):
            self.done.append(f"{name}={value}")

    def open(self) -> None:
        if self.error is not None:
            raise self.error
        self.done.append("open")


@pytest.mark.parametrize(("query", "lines"), [("", True), ("?dtr=0&rts=0", False)])
def test_control_lines_are_settled_before_a_port_is_opened(
    query: str, lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial = needs.package("pyserial")
    asked: dict[str, Any] = {}
    port = FakePort()
    monkeypatch.setattr(serial, "serial_for_url", lambda url, **options: asked.update(options) or port)
    maker = open_source(f"serial:/dev/ttyUSB7{query}", model())
    assert callable(maker)
    assert maker()._open() is port
    assert asked["do_not_open"] is True
    assert port.done == [f"dtr={lines}", f"rts={lines}", "open"]


def test_control_lines_stay_when_a_port_is_closed(port: tuple[int, str]) -> None:
    _, name = port
    descriptor = os.open(name, os.O_RDWR | os.O_NOCTTY)
    try:
        settings = termios.tcgetattr(descriptor)
        settings[2] |= termios.HUPCL
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
        sources.SerialLine(name, 1)._open()
        assert not termios.tcgetattr(descriptor)[2] & termios.HUPCL
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "Permission denied; sudo usermod -aG dialout"),
        (errno.ENOENT, "there is no /dev/ttyUSB7; serial ports here: "),
        (errno.EBUSY, "in use by another program; sudo fuser -v /dev/ttyUSB7"),
        (errno.EAGAIN, "in use by another program"),
        (errno.EIO, "cannot be opened: Input/output error"),
    ],
)
def test_port_that_cannot_be_opened_says_what_to_do(
    number: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    serial = needs.package("pyserial")
    failing = FakePort(serial.SerialException(number, f"could not open port: {os.strerror(number)}"))
    monkeypatch.setattr(serial, "serial_for_url", lambda url, **options: failing)
    with pytest.raises(OSError, match=words):
        sources.SerialLine("/dev/ttyUSB7", 1).read()


def test_file_that_is_no_port(tmp_path: Path) -> None:
    needs.package("pyserial")
    (tmp_path / "recording.csv").write_text("1\n")
    with pytest.raises(OSError, match=r"recording.csv is not a serial port .*; serial ports here: "):
        sources.SerialLine(str(tmp_path / "recording.csv"), 1).read()
    with pytest.raises(InputError, match="protocol 'usb' not known; expected a port such as /dev/ttyUSB0"):
        sources.SerialLine("usb://0", 1)


def test_port_in_use_is_reported(port: tuple[int, str]) -> None:
    _, name = port
    first = sources.SerialLine(name, 1)
    first._port = first._open()
    with pytest.raises(OSError, match="in use by another program"):
        sources.SerialLine(name, 1).read()
    first.close()


def test_rights_name_the_group_that_the_device_belongs_to(tmp_path: Path) -> None:
    import grp

    owner = grp.getgrgid(tmp_path.stat().st_gid).gr_name
    error = OSError(errno.EACCES, "Permission denied")
    text = device_problem(error, str(tmp_path), "i2c", "")
    assert f"sudo usermod -aG {'i2c' if owner == 'root' else owner} " in text
    assert "log in again" in text


def test_names_that_there_are_are_listed_but_not_all() -> None:
    assert listed("ports", []) == "ports here: none"
    assert listed("ports", ["a", "b"]) == "ports here: a, b"
    assert listed("ports", map(str, range(11))) == "ports here: 0, 1, 2, 3, 4, 5, 6, 7 and 3 more"
